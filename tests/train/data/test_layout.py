from pathlib import Path

import pytest

from edge_mri.errors import OptionError
from edge_mri.labels import Label
from edge_mri_train.data.layout import IndexRow, Layout, parse_split
from edge_mri_train.errors import IndexFileError


def index(tmp_path: Path, text: str, encoding: str = "utf-8") -> Layout:
    (tmp_path / "index.csv").write_text(text, encoding=encoding)
    return Layout(index=tmp_path / "index.csv")


def refusal(layout: Layout) -> str:
    with pytest.raises(IndexFileError) as caught:
        list(layout.rows())
    start = f"the index {layout.index} cannot be used: "
    assert str(caught.value).startswith(start)
    assert caught.value.exit_code == 2
    return str(caught.value).removeprefix(start)


def test_a_map_names_folders_whatever_their_case():
    layout = Layout.from_options(("Tumor=glioma", "gesund=No-Tumour_transverse", "rest=skip"), None)
    assert layout.label_of("TUMOR") == Label("glioma")
    assert layout.label_of("Gesund") == Label("no_tumor", "axial")
    assert layout.label_of("pituitary_coronal") == Label("pituitary", "coronal")
    assert layout.label_of("other") is None
    assert [layout.skips(name) for name in ("Rest", "tumor", "other")] == [True, False, False]


def test_a_map_goes_before_the_known_spelling():
    layout = Layout.from_options(("glioma=meningioma", "pituitary=skip"), None)
    assert layout.label_of("glioma") == Label("meningioma")
    assert layout.skips("pituitary")


def test_a_map_may_hold_an_equals_sign_in_neither_half():
    assert Layout.from_options(("ä b=glioma",), None).label_of("Ä B") == Label("glioma")


@pytest.mark.parametrize("text", ["", "glioma", "=glioma", "a=", "a=cat", "a=glioma=b", "a=SKIP"])
def test_a_map_that_says_nothing_is_refused(text):
    with pytest.raises(OptionError) as caught:
        Layout.from_options((text,), None)
    assert str(caught.value) == (
        f"--map {text!r}; expected FOLDER=LABEL with a label such as glioma, meningioma, "
        "pituitary, no_tumor, several of them joined by |, or FOLDER=skip"
    )


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("Training", "train"),
        ("valid", "val"),
        (" TEST ", "test"),
        ("Testing", "test"),
        ("holdout", None),
        ("", None),
    ],
)
def test_splits_have_several_spellings(name, split):
    assert parse_split(name) == split


def test_without_an_index_there_are_no_rows():
    assert list(Layout().rows()) == []


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_an_index_says_label_plane_group_split_and_tags(tmp_path, encoding):
    layout = index(
        tmp_path,
        "path,label,plane,patient,split,contrast,age\n"
        '"a dir/ü, 1.png",glioma,transverse,P1,Training,t1,\n'
        "b.png,no_tumor_coronal,,,,flair,7\n",
        encoding,
    )
    assert list(layout.rows()) == [
        IndexRow(
            Path("a dir/ü, 1.png"),
            Label("glioma", "axial"),
            "P1",
            "train",
            {"contrast": "t1", "age": ""},
        ),
        IndexRow(
            Path("b.png"),
            Label("no_tumor", "coronal"),
            None,
            None,
            {"contrast": "flair", "age": "7"},
        ),
    ]


@pytest.mark.parametrize("label", ["label", "type", "class"])
@pytest.mark.parametrize("group", ["group", "patient", "patient_id"])
def test_columns_have_several_names(tmp_path, label, group):
    (row,) = index(tmp_path, f"{group},path,{label}\nP1,a.png,glioma\n").rows()
    assert (row.path, row.label, row.group, row.tags) == (Path("a.png"), Label("glioma"), "P1", {})


def test_a_map_says_what_the_labels_of_an_index_mean(tmp_path):
    layout = index(tmp_path, "path,label\na.png,tumor\nb.png,no_tumor\nc.png,unsure\n")
    mapped = Layout.from_options(("tumor=glioma", "unsure=skip"), layout.index)
    assert [(row.path.name, str(row.label)) for row in mapped.rows()] == [
        ("a.png", "glioma"),
        ("b.png", "no_tumor"),
    ]


def test_a_short_row_has_no_tags_and_a_long_one_no_others(tmp_path):
    layout = index(tmp_path, "path,label,contrast\na.png,glioma\nb.png,glioma,t1,more\n")
    assert [row.tags for row in layout.rows()] == [{"contrast": ""}, {"contrast": "t1"}]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "columns path and label expected, got none"),
        ("path,plane\na.png,axial\n", "columns path and label expected, got path, plane"),
        ("file,label\na.png,glioma\n", "columns path and label expected, got file, label"),
        (
            "path,label\na.png,glioma\nb.png,cat\n",
            "line 3: label 'cat'; say what it means with --map cat=LABEL, or take the labels as "
            "they are with --labels folders",
        ),
        (
            "path,label\na.png\n",
            "line 2: label ''; say what it means with --map NAME=LABEL, or take the labels as "
            "they are with --labels folders",
        ),
        (
            "path,label,plane\na.png,glioma,above\n",
            "line 2: plane 'above'; expected one of axial, coronal, sagittal",
        ),
        (
            "path,label,split\na.png,glioma,holdout\n",
            "line 2: split 'holdout'; expected train, val or test",
        ),
        ("path,label\n,glioma\n", "line 2: it names no file"),
        ("label,path\nglioma\n", "line 2: it names no file"),
    ],
)
def test_what_is_wrong_with_an_index_is_named_with_its_line(tmp_path, text, reason):
    assert refusal(index(tmp_path, text)) == reason


def test_an_index_that_is_not_there_a_folder_or_no_text_is_refused(tmp_path):
    assert refusal(Layout(index=tmp_path / "gone.csv")) == "No such file or directory"
    assert refusal(Layout(index=tmp_path)) == "Is a directory"
    (tmp_path / "index.csv").write_bytes(b"path,label\n\xff\xfe,glioma\n")
    assert "codec can't decode" in refusal(Layout(index=tmp_path / "index.csv"))
