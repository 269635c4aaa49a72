import errno
import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_mri import __version__
from edge_mri.errors import OptionError, OutputError
from edge_mri.labels import PLANES, TYPES, Label, LabelSpace, parse_folder_name
from edge_mri.phantoms.phantom import PhantomConfig, draw_phantom, write_phantoms

CLASSES = LabelSpace().classes
TUMOURS = tuple(type_ for type_ in TYPES if type_ != "no_tumor")

labels = st.sampled_from(CLASSES)
seeds = st.integers(0, 2**32 - 1)


def difference(type_: str, plane: str, index: int, size_px: int = 256) -> np.ndarray:
    """What a tumour adds to its head: (size, size) int16."""
    tumour = draw_phantom(Label(type_, plane), size_px=size_px, seed=4, index=index)
    healthy = draw_phantom(Label("no_tumor", plane), size_px=size_px, seed=4, index=index)
    return tumour.astype(np.int16) - healthy


@given(label=labels, seed=seeds, index=seeds)
@settings(max_examples=12, deadline=None)
def test_same_arguments_give_the_same_pixels_whatever_was_drawn_between(label, seed, index):
    first = draw_phantom(label, size_px=64, seed=seed, index=index)
    for other in CLASSES:
        draw_phantom(other, size_px=64, seed=1, index=2)
    np.testing.assert_array_equal(
        first, draw_phantom(label, size_px=64, seed=seed, index=index), strict=True
    )


@pytest.mark.parametrize("label", CLASSES, ids=str)
def test_each_seed_and_index_is_another_drawing(label):
    arguments = [(0, 0), (0, 1), (1, 0), (1, 1)]
    drawings = {draw_phantom(label, size_px=64, seed=s, index=i).tobytes() for s, i in arguments}
    assert len(drawings) == len(arguments)


def test_each_class_is_another_drawing():
    assert len({draw_phantom(label, size_px=64).tobytes() for label in CLASSES}) == 12


@pytest.mark.parametrize("size_px", [32, 64, 225, 256, 512, 2048])
def test_an_image_is_square_grey_bytes(size_px):
    image = draw_phantom(Label("glioma", "axial"), size_px=size_px)
    assert image.shape == (size_px, size_px)
    assert image.dtype == np.uint8
    assert image.flags["C_CONTIGUOUS"]


@pytest.mark.parametrize("label", CLASSES, ids=str)
def test_every_size_shows_the_same_head(label):
    small = draw_phantom(label, size_px=64).astype(np.float64)
    large = cv2.resize(draw_phantom(label), (64, 64), interpolation=cv2.INTER_AREA)
    assert np.abs(small - large).mean() < 2


@pytest.mark.parametrize("plane", PLANES)
def test_a_head_is_bright_on_a_black_ground(plane):
    image = draw_phantom(Label("no_tumor", plane), size_px=256)
    assert np.median(image[:20, :20]) < 15
    assert 40 < image[60:180, 60:180].mean() < 180
    assert np.percentile(image, 99.5) > 130


@pytest.mark.parametrize("plane", PLANES)
def test_heads_vary_in_position_brightness_and_noise(plane):
    images = [draw_phantom(Label("no_tumor", plane), size_px=256, index=i) for i in range(12)]
    centres = [np.argwhere(image > 40).mean(axis=0) for image in images]
    assert (np.std(centres, axis=0) > 0.5).all()
    bright = [np.percentile(image, 98) for image in images]
    assert np.std(bright) > 0.08 * np.mean(bright)
    grounds = [image[:12, :12].std() for image in images]
    assert min(grounds) > 0.5
    assert max(grounds) > 1.5 * min(grounds)


@pytest.mark.parametrize("plane", PLANES)
@pytest.mark.parametrize("type_", TUMOURS)
def test_a_tumour_changes_one_region_of_its_head_and_nothing_else(type_, plane):
    for index in range(8):
        changed = np.argwhere(difference(type_, plane, index))
        assert 150 < len(changed) < 0.25 * 256**2
        assert (changed.max(axis=0) - changed.min(axis=0) < 0.6 * 256).all()


@pytest.mark.parametrize("plane", PLANES)
def test_a_glioma_is_a_bright_ring_around_a_dark_core_in_dark_oedema(plane):
    for index in range(8):
        added = difference("glioma", plane, index)
        ring = added > 25
        assert ring.sum() > 200
        assert (added < -15).sum() > 200
        image = draw_phantom(Label("glioma", plane), size_px=256, seed=4, index=index)
        y, x = np.argwhere(ring).mean(axis=0).astype(int)
        assert image[y - 2 : y + 3, x - 2 : x + 3].mean() < 0.8 * np.median(image[ring])


@pytest.mark.parametrize("plane", PLANES)
@pytest.mark.parametrize("type_", TUMOURS)
def test_tumours_of_a_type_vary_in_size_and_place(type_, plane):
    changed = [np.argwhere(np.abs(difference(type_, plane, i)) > 15) for i in range(8)]
    sizes = [len(place) for place in changed]
    assert max(sizes) > 1.3 * min(sizes)
    assert (np.std([place.mean(axis=0) for place in changed], axis=0) > 1.5).all()


@pytest.mark.parametrize("plane", PLANES)
@pytest.mark.parametrize("type_", ["meningioma", "pituitary"])
def test_other_tumours_are_evenly_bright(type_, plane):
    for index in range(8):
        added = difference(type_, plane, index)
        assert added[added != 0].mean() > 20
        assert (added < -15).sum() < 0.1 * (added > 15).sum()


@pytest.mark.parametrize(
    ("plane", "sella"), [("axial", (128, 122)), ("coronal", (128, 145)), ("sagittal", (116, 147))]
)
def test_a_pituitary_tumour_lies_at_the_sella_and_a_meningioma_does_not(plane, sella):
    def centres(type_: str) -> np.ndarray:
        places = [np.argwhere(np.abs(difference(type_, plane, i)) > 15) for i in range(8)]
        return np.array([place.mean(axis=0)[::-1] for place in places])

    assert (np.linalg.norm(centres("pituitary") - sella, axis=1) < 30).all()
    assert (np.linalg.norm(centres("meningioma") - sella, axis=1) > 35).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"label": Label("abscess", "axial")},
            "unknown type 'abscess'; expected one of glioma, meningioma, pituitary, no_tumor",
        ),
        (
            {"label": Label("glioma")},
            "unknown plane None; expected one of axial, coronal, sagittal",
        ),
        ({"size_px": 31}, "size_px 31; expected 32 to 2048"),
        ({"size_px": 2049}, "size_px 2049; expected 32 to 2048"),
        ({"seed": -1}, "seed -1; expected 0 to 4294967295"),
        ({"index": 2**32}, "index 4294967296; expected 0 to 4294967295"),
    ],
)
def test_drawing_refuses_what_it_cannot_draw(arguments, message):
    with pytest.raises(OptionError) as caught:
        draw_phantom(**{"label": Label("glioma", "axial"), **arguments})
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"count": 0}, "count 0; expected 1 to 1000000"),
        ({"size_px": 8}, "size_px 8; expected 32 to 2048"),
        ({"seed": -5}, "seed -5; expected 0 to 4294967295"),
        ({"format": "gif"}, "unknown format 'gif'; expected one of jpg, png, dcm"),
    ],
)
def test_a_config_refuses_bad_values(arguments, message):
    with pytest.raises(OptionError) as caught:
        PhantomConfig(**{"count": 1, **arguments})
    assert str(caught.value) == message


def test_a_folder_holds_the_twelve_classes_and_a_notice(tmp_path):
    folder = tmp_path / "new" / "phantoms"
    seen: list[Path] = []
    written = write_phantoms(folder, PhantomConfig(count=2, size_px=64, seed=7), seen.append)

    assert written == seen
    assert sorted(path for path in folder.rglob("*") if path.is_file()) == sorted(
        [*written, folder / "README.txt"]
    )
    classes = [path for path in folder.iterdir() if path.is_dir()]
    assert {parse_folder_name(path.name) for path in classes} == set(CLASSES)
    for class_folder in classes:
        names = sorted(path.name for path in class_folder.iterdir())
        assert names == ["phantom-0001.jpg", "phantom-0002.jpg"]
    assert (folder / "README.txt").read_text() == (
        "Head phantoms: drawings made by `edge-mri phantom`, not patients.\n"
        "\n"
        "For trying the toolkit, its tests and its benchmarks; not for judging a model.\n"
        "\n"
        f"edge-mri {__version__}: 2 per class, 64 x 64 px, jpg, seed 7\n"
    )


@pytest.mark.parametrize(("format_", "tolerance"), [("png", 0.0), ("jpg", 6.0)])
def test_a_file_holds_the_drawing_of_its_class_and_number(tmp_path, format_, tolerance):
    write_phantoms(tmp_path, PhantomConfig(count=2, size_px=225, seed=3, format=format_))
    for label in CLASSES:
        for index in (1, 2):
            path = tmp_path / str(label) / f"phantom-{index:04d}.{format_}"
            read = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
            drawn = draw_phantom(label, size_px=225, seed=3, index=index)
            assert read.shape == drawn.shape
            assert np.abs(read.astype(np.int16) - drawn).mean() <= tolerance


def test_files_of_other_names_are_left_alone_and_own_names_replaced(tmp_path):
    own = tmp_path / "glioma_axial" / "phantom-0001.png"
    other = tmp_path / "glioma_axial" / "scan.png"
    own.parent.mkdir()
    own.write_bytes(b"old")
    other.write_bytes(b"mine")
    write_phantoms(tmp_path, PhantomConfig(count=1, size_px=64, format="png"))
    assert other.read_bytes() == b"mine"
    assert own.read_bytes().startswith(b"\x89PNG")


def test_a_file_in_place_of_the_folder_is_an_output_error(tmp_path):
    folder = tmp_path / "taken"
    folder.write_text("a file")
    with pytest.raises(OutputError) as caught:
        write_phantoms(folder, PhantomConfig(count=1, size_px=64))
    assert str(caught.value) == (
        f"cannot write {folder / 'README.txt'}: {os.strerror(errno.EEXIST)}"
        "; a file lies where a folder must be: name another folder"
    )
    assert folder.read_text() == "a file"


def test_a_folder_in_place_of_an_image_is_an_output_error_and_leaves_no_half_file(tmp_path):
    taken = tmp_path / "glioma_axial" / "phantom-0001.jpg"
    taken.mkdir(parents=True)
    with pytest.raises(OutputError) as caught:
        write_phantoms(tmp_path, PhantomConfig(count=1, size_px=64))
    assert str(caught.value) == (
        f"cannot write {taken}: {os.strerror(errno.EISDIR)}; expected the name of a file"
    )
    assert list(taken.parent.iterdir()) == [taken]


def test_the_command_says_that_answers_on_drawings_mean_nothing(command, tmp_path):
    ended = command("phantom", tmp_path, "--count", 1, "--size", 64)
    assert ended == (
        *(0, ""),
        f"12 phantoms in {tmp_path}: drawings, not patients. The packaged model never saw a "
        "drawing: its answers on them mean nothing.\n",
    )
