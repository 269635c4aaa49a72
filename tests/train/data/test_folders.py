from pathlib import Path

import pytest

from edge_mri.errors import FolderNotFoundError, NoImagesError, OptionError
from edge_mri.labels import Label
from edge_mri_train.data.folders import Listing, Sample, breakdown, list_folders, read_folders
from edge_mri_train.data.layout import Layout
from edge_mri_train.errors import IndexFileError, UnknownClassError


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
        "expected a type (glioma, meningioma, pituitary, no_tumor), alone or with a plane (axial, "
        "coronal, sagittal), such as glioma_axial; to take the folders' own names as the types, "
        "type: --labels folders (of train, split and audit); to say what one means: "
        "--map 'cats=LABEL'"
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
        f"no images below {tmp_path}; looked for .bmp, .jfif, .jpe, .jpeg, .jpg, .png, .tif, "
        ".tiff, .webp"
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


def listed(root: Path, *maps: str, index: Path | None = None) -> Listing:
    return list_folders([root], Layout.from_options(maps, index))


def test_a_map_says_what_further_folders_mean_and_which_to_skip(tmp_path):
    touch(tmp_path, "train/YES/a.png", "train/no/b.png", "train/masks/c.png", "train/odd/d.png")
    listing = listed(tmp_path, "yes=glioma_axial", "masks=skip")
    assert [(one.path.as_posix(), str(one.label), one.split) for one in listing.samples] == [
        ("train/YES/a.png", "glioma_axial", "train"),
        ("train/no/b.png", "no_tumor", "train"),
    ]
    assert listing.unknown == {tmp_path / "train" / "odd": 1}


def test_listing_counts_the_images_of_each_unknown_folder(tmp_path):
    touch(tmp_path, "glioma/a.png", "cats/b.png", "cats/c.png", "loose.png")
    listing = listed(tmp_path)
    assert len(listing.samples) == 1
    assert listing.unknown == {tmp_path / "cats": 2, tmp_path: 1}


@pytest.fixture
def indexed(tmp_path):
    """A set like tcga-lgg: an index with patients and contrasts, two of its files not there."""
    touch(tmp_path / "set", "tumor/p1_t1.jpg", "tumor/p1_flair.jpg", "Testing/p2.jpg", "other.jpg")
    (tmp_path / "index.csv").write_text(
        "path,patient,contrast,label,tumor_px\n"
        "tumor/p1_t1.jpg,P1,t1,tumor,300\n"
        "tumor/p1_flair.jpg,P1,flair,tumor,300\n"
        "Testing/p2.jpg,P2,t1,no_tumor,0\n"
        f"gone.jpg,P3,t1,no_tumor,0\n{'long' * 100}.jpg,P3,t1,no_tumor,0\n"
    )
    return tmp_path


def test_an_index_names_the_images_in_its_order_with_tags(indexed):
    listing = listed(indexed / "set", "tumor=glioma", index=indexed / "index.csv")
    assert listing.samples[0] == Sample(
        indexed / "set",
        Path("tumor/p1_t1.jpg"),
        Label("glioma"),
        None,
        "P1",
        {"contrast": "t1", "tumor_px": "300"},
    )
    assert [one.path.name for one in listing.samples] == ["p1_t1.jpg", "p1_flair.jpg", "p2.jpg"]
    assert [one.split for one in listing.samples] == [None, None, "test"]
    assert [path.name for path in listing.missing] == ["gone.jpg", f"{'long' * 100}.jpg"]
    assert listing.unknown == {}


def test_files_of_an_index_that_are_gone_are_refused_where_all_count(indexed):
    layout = Layout.from_options(("tumor=glioma",), indexed / "index.csv")
    with pytest.raises(IndexFileError) as caught:
        read_folders([indexed / "set"], layout)
    assert str(caught.value) == (
        f"the index {indexed}/index.csv cannot be used: 2 of its files are not below "
        f"{indexed}/set, the first is gone.jpg"
    )


def test_an_index_is_for_one_folder_that_is_there(indexed):
    layout = Layout(index=indexed / "index.csv")
    with pytest.raises(OptionError, match=r"^--index names the images of one folder, got 2$"):
        list_folders([indexed, indexed.parent / "another"], layout)
    with pytest.raises(FolderNotFoundError):
        list_folders([indexed / "gone"], layout)


def test_an_index_without_rows_names_no_images(tmp_path):
    (tmp_path / "index.csv").write_text("path,label\n")
    with pytest.raises(NoImagesError):
        read_folders([tmp_path], Layout(index=tmp_path / "index.csv"))


def test_the_split_of_an_index_goes_before_the_folders(tmp_path):
    touch(tmp_path, "Testing/a.png", "Testing/b.png")
    (tmp_path / "index.csv").write_text(
        "path,label,split\nTesting/a.png,glioma,Training\nTesting/b.png,glioma,\n"
    )
    samples = listed(tmp_path, index=tmp_path / "index.csv").samples
    assert [one.split for one in samples] == ["train", "test"]


@pytest.mark.parametrize("again", [".", "glioma", "../set"])
def test_a_folder_that_is_given_twice_is_refused(tmp_path, again):
    (tmp_path / "set" / "glioma").mkdir(parents=True)
    roots = [tmp_path / "set", tmp_path / "set" / again]
    with pytest.raises(OptionError, match=r"overlap; give each folder once$"):
        read_folders(roots)
