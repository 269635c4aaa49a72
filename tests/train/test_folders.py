from pathlib import Path

import pytest

from edge_mri.errors import FolderNotFoundError, NoImagesError, UnknownClassError
from edge_mri.labels import Label
from edge_mri_train.folders import Sample, breakdown, read_folders


def touch(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


@pytest.mark.parametrize(
    ("file", "label", "split"),
    [
        ("Training/notumor/Tr-no_1.jpg", Label("no_tumor"), "train"),
        ("Testing/glioma/Te-gl_1.jpg", Label("glioma"), "test"),
        ("Training/no_transverse/a.jpg", Label("no_tumor", "axial"), "train"),
        ("Testing/pituitary_coronal/a.jpg", Label("pituitary", "coronal"), "test"),
        ("meningioma_tumor/a.JPEG", Label("meningioma"), None),
        ("valid/Sagittal-Glioma/a.png", Label("glioma", "sagittal"), "val"),
        ("test/patient7/no_tumour/a.tif", Label("no_tumor"), "test"),
        ("train/val/glioma/a.bmp", Label("glioma"), "val"),
    ],
)
def test_folders_say_label_and_split(tmp_path, file, label, split):
    touch(tmp_path, file)
    assert read_folders([tmp_path]) == [Sample(tmp_path, Path(file), label, split)]


def test_samples_come_root_by_root_sorted_by_folder_and_name(tmp_path):
    one = touch(tmp_path / "one", "pituitary/b.png", "glioma/c.png", "glioma/a.png")
    two = touch(tmp_path / "two", "glioma/0.png")
    assert [sample.file for sample in read_folders([two, one])] == [
        two / "glioma/0.png",
        one / "glioma/a.png",
        one / "glioma/c.png",
        one / "pituitary/b.png",
    ]


def test_a_root_may_be_the_split_folder_or_the_class_folder_itself(tmp_path, monkeypatch):
    touch(tmp_path, "Testing/glioma_axial/a.png")
    assert [one.split for one in read_folders([tmp_path / "Testing"])] == ["test"]
    (sample,) = read_folders([tmp_path / "Testing" / "glioma_axial"])
    assert sample.label == Label("glioma", "axial")
    monkeypatch.chdir(tmp_path / "Testing" / "glioma_axial")
    (sample,) = read_folders([Path()])
    assert sample.label == Label("glioma", "axial")
    assert sample.file.is_file()


def test_what_is_no_image_or_hidden_is_passed_over(tmp_path):
    touch(tmp_path, "glioma/a.png", "glioma/notes.txt", "glioma/.b.png", ".cache/other/c.png")
    assert [sample.path.name for sample in read_folders([tmp_path])] == ["a.png"]


def test_every_unknown_class_folder_is_named_even_beside_known_ones(tmp_path):
    touch(tmp_path, "glioma/a.png", "cats/b.png", "dogs/c.png", "dogs/d.png", "loose.png")
    with pytest.raises(UnknownClassError) as caught:
        read_folders([tmp_path])
    assert str(caught.value) == (
        f"class folders that match no label: {tmp_path}/cats, {tmp_path}/dogs, {tmp_path}; "
        "expected a tumour type (glioma, meningioma, pituitary, no_tumor), alone or with a plane "
        "(axial, coronal, sagittal), such as glioma_axial"
    )


def test_many_unknown_class_folders_are_counted(tmp_path):
    touch(tmp_path, *(f"class{number}/a.png" for number in range(8)))
    with pytest.raises(UnknownClassError, match=r"class4 and 3 more; expected"):
        read_folders([tmp_path])


def test_no_image_at_all_names_the_folders_and_the_suffixes(tmp_path):
    touch(tmp_path, "glioma/notes.txt")
    with pytest.raises(NoImagesError) as caught:
        read_folders([tmp_path])
    assert str(caught.value) == (
        f"no images below {tmp_path}; looked for .bmp, .jpeg, .jpg, .png, .tif, .tiff, .webp"
    )


def test_a_missing_root_is_named(tmp_path):
    with pytest.raises(FolderNotFoundError, match=f"no such file or folder: {tmp_path}/gone"):
        read_folders([tmp_path / "gone"])


def test_breakdown_counts_types_down_and_planes_across(tmp_path):
    touch(
        tmp_path,
        "glioma_axial/1.png",
        "glioma_axial/2.png",
        "glioma_sagittal/3.png",
        "no_axial/4.png",
        "pituitary/5.png",
    )
    assert breakdown(read_folders([tmp_path])).splitlines() == [
        "                 axial  sagittal  no plane       all",
        "glioma               2         1         0         3",
        "meningioma           0         0         0         0",
        "pituitary            0         0         1         1",
        "no_tumor             1         0         0         1",
    ]


def test_breakdown_without_planes_has_no_plane_columns(tmp_path):
    touch(tmp_path, "glioma/1.png", "notumor/2.png")
    assert breakdown(read_folders([tmp_path])).splitlines()[:2] == [
        "              no plane       all",
        "glioma               1         1",
    ]
