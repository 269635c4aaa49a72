"""NIfTI volumes: nibabel's own test files, and some written here for what those do not cover."""

import gzip
import struct
import tracemalloc
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from edge_mri.errors import ImageDecodeError, ImageSizeError
from edge_mri.images import Limits, decode_frames, read_frames
from edge_mri.images.pixels.acquired import ACQUIRED, ALL

nib = pytest.importorskip("nibabel", reason="needs the extra [nifti]")

FILES = Path(nib.__file__).parent / "tests/data"
SHAPE = (5, 6, 7)  # left-right, back-front, down-up


def volume(shape: tuple[int, ...] = SHAPE, dtype: type = np.int16) -> np.ndarray:
    return np.arange(np.prod(shape)).reshape(shape).astype(dtype)


def nifti(data: np.ndarray, affine: np.ndarray | None = None, kind: str = "1") -> bytes:
    made = {"1": nib.Nifti1Image, "2": nib.Nifti2Image}[kind]
    return made(data, np.eye(4) if affine is None else affine, dtype=data.dtype).to_bytes()


def pointed(right: int, front: int, top: int) -> np.ndarray:
    """A volume with one bright voxel."""
    data = np.zeros(SHAPE, np.uint8)
    data[right, front, top] = 200
    return data


@pytest.mark.parametrize(
    ("name", "counts"),
    [
        ("anatomical.nii", (33, 41, 25)),
        ("functional.nii", (17 * 20, 21 * 20, 3 * 20)),
        ("example4d.nii.gz", (128 * 2, 96 * 2, 24 * 2)),
        ("example_nifti2.nii.gz", (32 * 2, 20 * 2, 12 * 2)),
        ("standard.nii.gz", (4, 5, 7)),
    ],
)
def test_every_slice_of_a_real_file_is_a_frame_whose_plane_is_known(name, counts):
    frames = list(read_frames(FILES / name, planes=ALL))
    found = Counter(frame.plane for frame in frames)
    assert (found["sagittal"], found["coronal"], found["axial"]) == counts
    assert [frame.frame for frame in frames] == list(range(1, sum(counts) + 1))
    assert max(frame.pixels.max() for frame in frames) > 240


@pytest.mark.parametrize("kind", ["1", "2"])
@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32, np.float64, np.int32])
def test_one_volume_is_the_same_in_every_kind_of_file(kind, dtype):
    data = nifti(volume(dtype=dtype), kind=kind)
    expected = [frame.pixels for frame in decode_frames(nifti(volume()))]
    for given in (data, gzip.compress(data)):
        for frame, pixels in zip(decode_frames(given), expected, strict=True):
            assert np.abs(frame.pixels.astype(int) - pixels).max() <= 1


def test_the_byte_order_does_not_matter():
    swapped = nib.Nifti1Image(volume(), np.eye(4)).header.as_byteswapped(">")
    image = nib.Nifti1Image(volume(), np.eye(4), swapped)
    assert image.to_bytes()[:4] == struct.pack(">i", 348)
    expected = [frame.pixels for frame in decode_frames(nifti(volume()))]
    for frame, pixels in zip(decode_frames(image.to_bytes()), expected, strict=True):
        np.testing.assert_array_equal(frame.pixels, pixels)


def test_slices_are_turned_as_radiology_shows_them():
    """The bright voxel is far right, at the back and at the top of the patient."""
    bright = pointed(4, 0, 6)
    found = {}
    for frame in decode_frames(nifti(bright)):
        if frame.pixels.max() > 0:
            found[frame.plane] = tuple(int(at) for at in np.argwhere(frame.pixels)[0])
    assert found == {"sagittal": (0, 5), "coronal": (0, 0), "axial": (5, 0)}


@pytest.mark.parametrize("flips", [(1, 1, 1), (-1, 1, 1), (1, -1, -1)])
@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (1, 2, 0), (0, 2, 1)])
def test_however_a_volume_is_stored_its_slices_look_the_same(order, flips):
    canonical = nib.Nifti1Image(volume(), np.eye(4))
    orientation = np.array([[axis, flip] for axis, flip in zip(order, flips, strict=True)])
    stored = canonical.as_reoriented(orientation)
    frames = decode_frames(nifti(np.asarray(stored.dataobj), stored.affine))
    for frame, expected in zip(frames, decode_frames(nifti(volume())), strict=True):
        assert (frame.frame, frame.plane) == (expected.frame, expected.plane)
        np.testing.assert_array_equal(frame.pixels, expected.pixels)


def test_a_volume_that_does_not_say_how_it_lies_has_no_planes():
    image = nib.Nifti1Image(volume(), None)
    assert {frame.plane for frame in decode_frames(image.to_bytes())} == {None}


def test_a_volume_that_lies_aslant_between_two_planes_names_none_of_them():
    turn = np.radians(46)
    affine = np.eye(4)
    affine[1:3, 1:3] = [[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]
    planes = Counter(frame.plane for frame in decode_frames(nifti(volume(), affine)))
    assert set(planes) == {"sagittal", "coronal", "axial"}  # 44 degrees off is within 45
    axis = np.array([1, 1, 1]) / np.sqrt(3)
    cross = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    affine[:3, :3] = np.eye(3) + np.sin(1.0) * cross + (1 - np.cos(1.0)) * cross @ cross
    assert None in {frame.plane for frame in decode_frames(nifti(volume(), affine))}


def test_thick_slices_are_stretched_to_square_pixels():
    frames = list(decode_frames(nifti(volume((8, 8, 4)), np.diag([1, 1, 5, 1])), planes=ALL))
    shapes = {frame.plane: frame.pixels.shape for frame in frames}
    assert shapes == {"sagittal": (20, 8), "coronal": (20, 8), "axial": (8, 8)}


def test_the_window_is_one_for_a_whole_volume_and_outliers_do_not_darken_it():
    data = volume((20, 20, 20), np.float32)
    data[0, 0, 0], data[1, 1, 1], data[2, 2, 2] = 1e9, np.nan, -np.inf
    axial = [frame.pixels for frame in decode_frames(nifti(data)) if frame.plane == "axial"]
    assert np.median(np.stack(axial)) == pytest.approx(127.5, abs=3)


def test_a_negative_scale_turns_the_greys():
    data = bytearray(nifti(volume()))
    data[112:120] = struct.pack("<ff", -2.0, 5.0)
    for frame, expected in zip(
        decode_frames(bytes(data)), decode_frames(nifti(volume())), strict=True
    ):
        np.testing.assert_array_equal(frame.pixels, 255 - expected.pixels)


def test_a_single_slice_is_cut_in_no_other_direction():
    frames = list(decode_frames(nifti(volume((9, 8, 1)))))
    assert [(frame.plane, frame.pixels.shape) for frame in frames] == [("axial", (8, 9))]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (gzip.compress(b"hello", mtime=0), "not a NIfTI file, or cut off in its header"),
        (b"\x1f\x8b" + b"\0" * 40, "the gzip data is damaged: "),
        (nifti(volume())[:300], "not an image in a known format (JPEG, PNG, "),
        (nifti(volume())[:-1], "it is cut off: 771 of 772 bytes"),
        (gzip.compress(nifti(volume()))[:-40], "the gzip data is cut off"),
        (gzip.compress(nifti(volume()))[:-1], "the gzip data is cut off"),
        (gzip.compress(nifti(volume())[:-1]), "it is cut off: 771 of 772 bytes"),
        (nifti(volume(dtype=np.complex64)), "its values are complex64; expected real numbers"),
        (nifti(volume((9,))), "its shape is (9,); expected a volume or a series of them"),
        (nifti(volume((1, 9, 1))), "it holds no slice: its volume is one voxel thin"),
    ],
)
def test_what_is_no_volume_is_refused_with_the_reason(data, reason):
    with pytest.raises(ImageDecodeError) as refusal:
        list(decode_frames(data))
    assert str(refusal.value).startswith(reason)


@pytest.mark.parametrize("kind", [nib.Nifti1Pair, nib.Nifti2Pair])
@pytest.mark.parametrize("behind", [b"", bytes(4), bytes(400)])
def test_a_header_without_its_values_is_told_apart(kind, behind):
    header = kind(volume(), np.eye(4)).header.binaryblock + behind
    for data in (header, gzip.compress(header), (FILES / "nifti1.hdr").read_bytes()):
        with pytest.raises(ImageDecodeError) as refusal:
            list(decode_frames(data))
        expected = "its values are in a second file; expected one .nii or .nii.gz"
        assert str(refusal.value) == expected


def test_a_gzip_bomb_is_inflated_no_further_than_its_header_allows():
    header = bytearray(nifti(volume())[:352])
    header[40:56] = struct.pack("<8h", 3, 20_000, 20_000, 20_000, 1, 1, 1, 1)
    bomb = gzip.compress(bytes(header) + b"\0" * 50_000_000)
    with pytest.raises(ImageSizeError, match="20,000 x 20,000 x 20,000 pixels"):
        list(decode_frames(bomb))
    small = gzip.compress(nifti(volume()) + b"\0" * 50_000_000)
    assert len(list(decode_frames(small))) == sum(SHAPE)


@pytest.mark.parametrize("padding", [0, 1, 5000])
@pytest.mark.parametrize("size", [100, 1000, 64 * 2**10])
@pytest.mark.parametrize("empty", [b"", gzip.compress(b"", mtime=0)])  # as the last one of bgzip
def test_a_gzip_file_of_several_members_is_one_volume(size, padding, empty):
    whole = nifti(volume((20, 30, 40)))
    members = [gzip.compress(whole[at : at + size]) for at in range(0, len(whole), size)]
    given = b"".join(members) + empty + bytes(padding)
    for frame, expected in zip(decode_frames(given), decode_frames(whole), strict=True):
        np.testing.assert_array_equal(frame.pixels, expected.pixels)
    wrong = bytearray(given)
    wrong[len(members[0]) - 8] ^= 1  # the first member's checksum
    with pytest.raises(ImageDecodeError, match="the gzip data is damaged"):
        list(decode_frames(bytes(wrong)))
    if len(members) > 1:
        with pytest.raises(ImageDecodeError, match="cut off"):
            list(decode_frames(b"".join(members[:-1])))


def test_members_without_end_are_given_up():
    start = nifti(volume())[:400]
    with pytest.raises(ImageDecodeError, match="its gzip data has more than 100,000 members"):
        list(decode_frames(gzip.compress(start) + gzip.compress(b"", mtime=0) * 100_000))


def test_bytes_that_are_no_gzip_behind_a_whole_volume_do_not_matter():
    whole = gzip.compress(nifti(volume()))
    for behind in (b"trailer", b"\x1f\x8bno member", bytes(9) + b"x"):
        assert len(list(decode_frames(whole + behind))) == sum(SHAPE)


def test_the_other_form_counts_where_one_holds_no_numbers():
    turned = np.array([[0, 0, 2, 0], [1, 0, 0, 0], [0, 3, 0, 0], [0, 0, 0, 1]], float)
    whole = bytearray(nifti(volume(), turned))
    expected = [(f.plane, f.pixels.shape) for f in decode_frames(bytes(whole))]
    image = nib.Nifti1Image.from_bytes(bytes(whole))
    image.set_qform(turned, 1)
    image.set_sform(turned, 1)
    both = image.to_bytes()
    for bad in (float("nan"), float("inf"), 0.0):
        broken = bytearray(both)
        broken[280:328] = struct.pack("<12f", *[bad] * 12)  # the rows of the sform
        found = [(f.plane, f.pixels.shape) for f in decode_frames(bytes(broken))]
        assert found == expected
    broken[256:268] = struct.pack("<3f", *[float("nan")] * 3)  # and the quaternion
    assert {frame.plane for frame in decode_frames(bytes(broken))} == {None}


def test_a_slice_costs_the_same_however_large_its_volume_is():
    """Cutting once copied the whole volume for every slice."""

    def copied(shape: tuple[int, int, int]) -> int:
        data = nifti(volume(shape))
        frames = decode_frames(data)
        next(frames)
        tracemalloc.start()
        for _ in range(3):
            next(frames)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return peak

    assert copied((200, 60, 60)) < 2 * copied((20, 60, 60))


def test_voxels_are_held_to_the_limit():
    data = nifti(volume())
    assert len(list(decode_frames(data, Limits(max_pixels=210)))) == sum(SHAPE)
    with pytest.raises(ImageSizeError, match="5 x 6 x 7 pixels, the limit is 209 pixels"):
        list(decode_frames(data, Limits(max_pixels=209)))


def test_a_slice_is_not_stretched_beyond_the_limit():
    data = nifti(volume((10, 10, 10)), np.diag([1, 1, 19, 1]))
    with pytest.raises(ImageSizeError, match="10 x 190 pixels"):
        list(decode_frames(data, Limits(max_pixels=1800), planes=ALL))


def cut(shape: tuple[int, ...], *spacing: float, planes: tuple[str, ...] = ACQUIRED) -> Counter:
    """How many slices there are of each plane, of a small volume of these proportions."""
    data = nifti(volume(shape), np.diag([*spacing, 1]) if spacing else None)
    return Counter(frame.plane for frame in decode_frames(data, planes=planes))


@pytest.mark.parametrize(
    ("shape", "spacing", "expected"),
    [
        ((64, 64, 24), (0.9 * 4, 0.9 * 4, 5.5), {"axial": 24, "coronal": 64, "sagittal": 64}),
        ((64, 64, 24), (0.9, 0.9, 5.5), {"axial": 24}),
        ((6, 64, 64), (5.0, 0.9, 0.9), {"sagittal": 6}),
        ((64, 6, 64), (0.9, 5.0, 0.9), {"coronal": 6}),
        ((24, 64, 64), (), {"sagittal": 24}),
        ((60, 64, 70), (), {"axial": 70, "coronal": 64, "sagittal": 60}),
        ((64, 64, 12), (1, 1, 1), {"axial": 12}),
        ((40, 64, 64), (2, 1, 1), {"axial": 64, "coronal": 64, "sagittal": 40}),
        ((40, 64, 64), (2.2, 1, 1), {"sagittal": 40}),
        ((64, 28, 8), (1, 2.4, 8), {"axial": 8}),
        ((9, 8, 1), (1, 1, 5), {"axial": 1}),
    ],
    ids=lambda value: str(value),
)
def test_only_planes_whose_resolution_is_real_are_cut(shape, spacing, expected):
    assert cut(shape, *spacing) == expected


def test_planes_can_be_named():
    shape, spacing = (16, 16, 6), (1, 1, 5)
    assert cut(shape, *spacing, planes=ALL) == {"axial": 6, "coronal": 16, "sagittal": 16}
    assert cut(shape, *spacing, planes=("coronal", "axial")) == {"axial": 6, "coronal": 16}


def test_a_slice_has_one_number_whatever_planes_are_cut():
    data = nifti(volume((16, 16, 6, 2)), np.diag([1, 1, 5, 1]))
    known = {frame.frame: frame for frame in decode_frames(data, planes=ALL)}
    found = list(decode_frames(data))
    assert [frame.frame for frame in found] == [*range(33, 39), *range(71, 77)]
    for frame in found:
        assert known[frame.frame].position == frame.position
        np.testing.assert_array_equal(known[frame.frame].pixels, frame.pixels)
    assert [frame.position.volume for frame in found] == [1] * 6 + [2] * 6
    assert [frame.position.along for frame in found[:3]] == [0, 5, 10]


def test_a_plane_that_a_volume_does_not_have_is_told():
    single = nifti(volume((9, 8, 1)))
    with pytest.raises(ImageDecodeError, match=r"planes is sagittal or coronal: they are axial; -"):
        list(decode_frames(single, planes=("sagittal", "coronal")))
    unplaced = nib.Nifti1Image(volume(), None).to_bytes()
    with pytest.raises(ImageDecodeError, match="is axial: they have no names, for it"):
        list(decode_frames(unplaced, planes=("axial",)))
