"""Any damage to any file ends in frames or in a reason; a hundred thousand more are in
`benchmarks/studies/robustness/fuzz_readers.py`."""

import gzip
from importlib.util import find_spec

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_mri.errors import ImageError
from edge_mri.images import Limits, decode_frames
from edge_mri.images.formats.headers import format_of
from edge_mri.labels import Label
from edge_mri.phantoms.phantom import draw_phantom

LIMITS = Limits(max_pixels=1_000_000)
MUCH = settings(max_examples=1000, deadline=5000, derandomize=True, database=None)
SOME = settings(MUCH, max_examples=400)


def whole_files() -> dict[str, bytes]:
    drawing = draw_phantom(Label("glioma", "axial"), size_px=64)
    deep = drawing.astype(np.uint16) * 16
    colour = cv2.cvtColor(drawing, cv2.COLOR_GRAY2BGR)
    kinds = {
        "jpeg": (".jpg", drawing, []),
        "progressive": (".jpg", drawing, [cv2.IMWRITE_JPEG_PROGRESSIVE, 1]),
        "colour": (".jpg", colour, []),
        "png": (".png", drawing, []),
        "deep png": (".png", deep, []),
        "bmp": (".bmp", drawing, []),
        "webp": (".webp", colour, [cv2.IMWRITE_WEBP_QUALITY, 80]),
        "lossless webp": (".webp", drawing, [cv2.IMWRITE_WEBP_QUALITY, 101]),
        "tiff": (".tif", deep, []),
        "lzw tiff": (".tif", drawing, [cv2.IMWRITE_TIFF_COMPRESSION, 5]),
    }
    files = {
        name: bytes(cv2.imencode(suffix, pixels, options)[1])
        for name, (suffix, pixels, options) in kinds.items()
    }
    if find_spec("nibabel"):
        import nibabel as nib

        volume = nib.Nifti1Image(np.stack([drawing[::8, ::8]] * 4, axis=2), np.eye(4))
        files |= {
            "nifti": volume.to_bytes(),
            "nifti gzip": gzip.compress(volume.to_bytes(), mtime=0),
        }
    if find_spec("pydicom"):
        from pathlib import Path

        import pydicom

        folder = Path(pydicom.__file__).parent / "data/test_files"
        for name in ("MR_small", "MR_small_RLE", "MR_small_jp2klossless", "MR_small_implicit"):
            files[name] = (folder / f"{name}.dcm").read_bytes()
    return files


WHOLE = whole_files()
STARTS = [data[:400] for data in WHOLE.values()]

places = st.floats(0, 1, exclude_max=True)
damages = st.one_of(
    st.tuples(st.just("cut"), places),
    st.tuples(st.just("flip"), places, st.integers(0, 7)),
    st.tuples(st.just("flip header"), places, st.integers(0, 7)),
    st.tuples(st.just("put"), places, st.binary(min_size=1, max_size=8)),
    st.tuples(
        st.just("put in header"), places, st.sampled_from([b"\0" * 4, b"\xff" * 4, b"\x7f\xff"])
    ),
    st.tuples(st.just("leave out"), places, st.integers(1, 300)),
    st.tuples(st.just("repeat"), places, st.integers(1, 300)),
    st.tuples(st.just("other start"), st.integers(0, len(STARTS) - 1), st.integers(1, 400)),
)


def damaged(whole: bytes, kind: str, where: float, how: int | bytes = 0) -> bytes:
    if kind == "other start":
        return STARTS[int(where)][:how] + whole[how:]
    reach = min(len(whole), 200) if "header" in kind else len(whole)
    at = int(where * reach)
    if kind == "cut":
        return whole[:at]
    if kind.startswith("flip"):
        return whole[:at] + bytes([whole[at] ^ 1 << how]) + whole[at + 1 :] if whole else whole
    if kind.startswith("put"):
        return whole[:at] + how + whole[at + len(how) :]
    if kind == "leave out":
        return whole[:at] + whole[at + how :]
    return whole[: at + how] + whole[at:]


def read(data: bytes) -> str:
    """Read a file; returns the reason why that is not possible, or nothing."""
    try:
        for frame in decode_frames(data, LIMITS):
            assert frame.pixels.dtype == np.uint8
            assert frame.pixels.ndim == 2
            assert 0 < frame.pixels.size <= LIMITS.max_pixels
    except ImageError as error:
        return str(error) or pytest.fail("an error without a reason")
    return ""


@pytest.mark.parametrize("name", WHOLE)
def test_the_whole_files_are_good(name):
    assert read(WHOLE[name]) == ""


@MUCH
@given(st.sampled_from(sorted(WHOLE)), st.lists(damages, min_size=1, max_size=4))
def test_a_damaged_file_is_frames_or_a_reason(name, changes):
    data = WHOLE[name]
    for change in changes:
        data = damaged(data, *change)
    read(data)


@SOME
@given(st.sampled_from(STARTS), st.integers(1, 400), st.binary(max_size=600))
def test_what_only_starts_like_an_image_is_frames_or_a_reason(start, length, rest):
    read(start[:length] + rest)


@SOME
@given(st.sampled_from(sorted(WHOLE)), places)
def test_no_part_of_a_file_from_its_start_is_an_image(name, share):
    """Not for DICOM and BMP's last padding: their ends may be filling."""
    data = WHOLE[name]
    if format_of(data) not in ("dicom", "bmp"):
        assert read(data[: int(share * len(data))])


@SOME
@given(st.binary(max_size=1000))
def test_bytes_that_mean_nothing_are_no_image(data):
    if format_of(data) is None:
        said = read(data)
        assert said == "the file is empty" or said.startswith("not an image in a known format (")
