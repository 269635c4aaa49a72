from pathlib import Path

import pytest

from edge_mri.errors import OptionError
from edge_mri.labels import Label, LabelSpace
from edge_mri_train.data.folders import read_folders
from edge_mri_train.data.label_source import MOST_TYPES, read_label_file, read_layout
from edge_mri_train.data.layout import Layout
from edge_mri_train.errors import UnknownClassError


def touch(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def layout_of(root: Path, recorder, labels="folders", maps=(), index=None, pattern=None) -> Layout:
    return read_layout(labels, [root], maps, index, pattern, recorder)


def labels_of(root: Path, layout: Layout) -> dict[str, str]:
    return {one.path.as_posix(): str(one.label) for one in read_folders([root], layout)}


def test_folders_are_types_under_their_own_names(tmp_path, recorder):
    names = ("train/MS lesion/a.png", "val/normal/b.png", "train/🧠.x/images/c.png")
    touch(tmp_path, *names, "train/🧠.x/masks/c.png", "T1/MS lesion/d.png")
    layout = layout_of(tmp_path, recorder)
    expected = LabelSpace(("MS lesion", "normal", "🧠.x"), (), "normal", "present")
    assert layout.vocabulary.space == expected
    assert recorder.lines == [
        "3 types, read off the folders: MS lesion, normal, 🧠.x; normal means that nothing was "
        "found."
    ]
    assert labels_of(tmp_path, layout) == {
        "T1/MS lesion/d.png": "MS lesion",
        "train/MS lesion/a.png": "MS lesion",
        "train/🧠.x/images/c.png": "🧠.x",
        "val/normal/b.png": "normal",
    }


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        (["a/1.png", "a/2.png"], "all images are of one type, a; expected folders of two or more"),
        (["a/1.png", "masks/2.png"], "all images are of one type, a; expected folders of two"),
        (["-/1.png", "a/2.png"], "a type or plane cannot be called '-': that word has a meaning"),
        (["a\nb/1.png", "c/2.png"], "a type or plane cannot be called 'a\\nb': it has characters"),
        (["Ab/1.png", "aB/2.png"], "'Ab' and 'aB' are told apart by their case alone; rename"),
        (["no/1.png", "normal/2.png", "x/3.png"], "no and normal both say that nothing was found"),
        (
            [f"{n}/1.png" for n in range(MOST_TYPES + 1)],
            "501 types, such as 0, 1, 10 and 498 more;",
        ),
    ],
)
def test_folders_that_make_no_labels_are_one_line(tmp_path, recorder, names, reason):
    with pytest.raises(OptionError) as refusal:
        layout_of(touch(tmp_path, *names), recorder)
    assert str(refusal.value).startswith(f"--labels folders: {reason}")
    assert "\n" not in str(refusal.value)


def test_a_map_makes_two_folders_one_type_and_leaves_others_out(tmp_path, recorder):
    touch(tmp_path, "Ab/1.png", "aB/2.png", "rest/3.png", "x/4.png", "unsure/5.png")
    layout = layout_of(tmp_path, recorder, maps=("ab=Ab", "rest=skip", "unsure=Ab|x"))
    assert layout.vocabulary.space.types == ("Ab", "x")
    assert labels_of(tmp_path, layout) == {
        "Ab/1.png": "Ab", "aB/2.png": "Ab", "unsure/5.png": "Ab|x", "x/4.png": "x",
    }  # fmt: skip


def test_an_index_names_the_types_too(tmp_path, recorder):
    touch(tmp_path, "a.png", "b.png")
    (tmp_path / "i.csv").write_text("path,label\na.png,stroke\nb.png,none\n")
    layout = layout_of(tmp_path, recorder, index=tmp_path / "i.csv")
    assert layout.vocabulary.space == LabelSpace(("none", "stroke"), (), "none", "stroke")


def test_a_file_says_order_spellings_planes_and_the_absent_type(tmp_path, recorder):
    file = tmp_path / "labels.toml"
    file.write_text(
        'absent = "HC"\npresent = "lesion"\n[planes]\naxial = ["AX"]\nup = ["oben"]\n'
        '[types]\nstroke = ["st", "ischemia"]\nHC = ["gesund"]\nMS = []\n'
        '[several]\nunclear = ["MS", "stroke"]\n'
    )
    root = touch(
        tmp_path / "set", "ischemia/a.png", "Gesund_oben/b.png", "unclear/axial/c.png",
        "lesion/d.png", "transverse/ms/e.png",
    )  # fmt: skip
    layout = layout_of(root, recorder, str(file))
    space = LabelSpace(("stroke", "HC", "MS"), ("axial", "up"), "HC", "lesion")
    assert layout.vocabulary.space == space
    assert labels_of(root, layout) == {
        "Gesund_oben/b.png": "HC_up", "ischemia/a.png": "stroke", "lesion/d.png": "stroke|MS",
        "transverse/ms/e.png": "MS_axial", "unclear/axial/c.png": "stroke|MS_axial",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("types = 3", "types: expected a table of names, each with a list of spellings, two or"),
        ('types = ["a"]', "types: expected a table of names"),
        ('types = ["a", "b"]\nabsent = "c"', "absent is 'c'; expected one of the types a, b"),
        ('types = ["a", "b"]\ncolour = 1', "it has colour; expected some of absent, present, pla"),
        ('types = ["a", "A"]', "'a' and 'A' are told apart by their case alone"),
        ('types = ["a", "b"]\nplanes = ["b"]', "'b' is there twice; choose another name for one"),
        ('types = ["a", "b", "a"]', "'a' is there twice; choose another name for one"),
        ('types = ["a", "b", 3]', "types: expected a table of names"),
        ('[types]\na = ["x"]\nb = ["X"]', "'X' means both a and b; expected one type"),
        ('[types]\na = ["B"]\nb = []', "'B' means both b and a; expected one type"),
        ('types = ["a", "b"]\n[several]\na = ["b"]', "several: 'a' means a already; choose an"),
        ('types = ["a", "b"]\npresent = ""', "present is '': it is empty, or begins or ends"),
        ('types = ["a", "b"]\npresent = "x/y"', "present is 'x/y': it has a | or a /; expected"),
        ('types = ["a", "."]', "a type or plane cannot be called '.': that word"),
        ('types = ["a", "masks"]', "a type or plane cannot be called 'masks': that word"),
        ('types = ["a", " b"]', "a type or plane cannot be called ' b': it is empty, or begins"),
        ('types = ["a", "b"]\n[several]\nx = ["c"]', "several: 'x' means ['c']; expected names"),
        ("[types]\na = 1\nb = []", "types: a is 1; expected a list of names"),
        ("types = [", "it is no TOML ("),
    ],
)
def test_what_is_wrong_with_a_file_is_named(tmp_path, text, reason):
    (tmp_path / "l.toml").write_text(text)
    with pytest.raises(OptionError) as refusal:
        read_label_file(tmp_path / "l.toml")
    assert str(refusal.value).startswith(f"--labels {tmp_path}/l.toml: {reason}")


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(OptionError, match=r"gone: No such file or directory; expected a .toml fi"):
        read_label_file(tmp_path / "gone")


def test_a_pattern_reads_type_plane_patient_and_split_out_of_names(tmp_path, recorder):
    root = touch(tmp_path, "set_train_00010_gl_ax_t1.jpg", "set_test_00011_nt_sa_t1.jpg")
    pattern = r"set_(?P<split>[a-z]+)_(?P<group>\d+)_(?P<type>[a-z]+)_(?P<plane>[a-z]+)"
    samples = read_folders([root], layout_of(root, recorder, None, pattern=pattern))
    assert [(str(one.label), one.split, one.group) for one in samples] == [
        ("no_tumor_sagittal", "test", "00011"),
        ("glioma_axial", "train", "00010"),
    ]


def test_an_image_whose_name_the_pattern_does_not_match_is_not_guessed(tmp_path, recorder):
    root = touch(tmp_path, "glioma/p1_gl.png", "glioma/scan.png")
    layout = layout_of(root, recorder, None, pattern=r"(?P<group>p\d)_(?P<type>[a-z]+)")
    with pytest.raises(UnknownClassError) as refusal:
        read_folders([root], layout)
    assert str(refusal.value).startswith(
        f"--pattern reads no known label in the names of files in {root}/glioma; expected a type ("
    )
    with pytest.raises(OptionError, match="--pattern finds no type in the name of any image"):
        layout_of(root, recorder, pattern=r"_(?P<type>zz)")


@pytest.mark.parametrize("pattern", ["(", "gl", "(gl)", "(?P<kind>gl)"])
def test_a_pattern_without_known_groups_is_refused(tmp_path, recorder, pattern):
    with pytest.raises(OptionError, match=r"expected named groups such as .*type, plane, group"):
        layout_of(tmp_path, recorder, None, pattern=pattern)


def test_planes_may_be_what_is_asked_for(tmp_path, recorder):
    touch(tmp_path, "axial/1.png", "coronal/2.png", "other/sagittal/3.png")
    layout = layout_of(tmp_path, recorder)
    assert [str(one.label) for one in read_folders([tmp_path], layout)] == [
        "axial", "coronal", "sagittal",
    ]  # fmt: skip


def test_the_nearest_folder_that_says_something_counts(tmp_path):
    touch(tmp_path, "glioma/images/a.png", "no_tumor/meningioma/b.png", "coronal/yes/T1/c.png")
    assert labels_of(tmp_path, Layout()) == {
        "coronal/yes/T1/c.png": str(Label(LabelSpace().present_types, "coronal")),
        "glioma/images/a.png": "glioma",
        "no_tumor/meningioma/b.png": "meningioma",
    }
