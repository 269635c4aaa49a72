"""Volumes in two files, through the path of either."""

import gzip
import json
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_mri.errors import ImageDecodeError, ImageError, ImageReadError, ImageSizeError
from edge_mri.images import ImageFiles, Limits, read_frames

nib = pytest.importorskip("nibabel", reason="needs the extra [nifti]")

VALUES = np.arange(20 * 24 * 22).reshape(20, 24, 22).astype(np.int16)
AFFINE = np.array([[0, -2, 0, 5], [2, 0, 0, 6], [0, 0, 2, 7], [0, 0, 0, 1]])


def saved(folder: Path, kind: str = "Nifti1Pair", affine: np.ndarray = AFFINE) -> Path:
    """Write a pair; return its header."""
    nib.save(getattr(nib, kind)(VALUES, affine), folder / "head.img")
    return folder / "head.hdr"


def told(path: Path) -> list[tuple]:
    return [
        (frame.frame, frame.plane, frame.position, frame.pixels.tobytes())
        for frame in read_frames(path)
    ]


@pytest.mark.parametrize("kind", ["Nifti1Pair", "Nifti2Pair"])
@pytest.mark.parametrize("packed", ["", "hdr", "img", "hdr img"])
@pytest.mark.parametrize("named", ["hdr", "img"])
def test_a_pair_is_the_one_file_that_it_equals(tmp_path, kind, packed, named):
    saved(tmp_path, kind)
    nib.save(nib.Nifti1Image(VALUES, AFFINE), tmp_path / "one.nii")
    for half in packed.split():
        (tmp_path / f"head.{half}.gz").write_bytes(
            gzip.compress((tmp_path / f"head.{half}").read_bytes())
        )
        (tmp_path / f"head.{half}").unlink()
    path = tmp_path / (f"head.{named}.gz" if named in packed else f"head.{named}")
    assert told(path) == told(tmp_path / "one.nii")


def test_values_that_start_later_and_capital_names_are_read(tmp_path):
    path = saved(tmp_path)
    expected = told(path)
    header = nib.Nifti1Header(path.read_bytes()[:348], check=False)
    header["vox_offset"] = 64
    (tmp_path / "LATE.HDR").write_bytes(header.binaryblock)
    (tmp_path / "LATE.IMG").write_bytes(bytes(64) + (tmp_path / "head.img").read_bytes())
    assert told(tmp_path / "LATE.HDR") == told(tmp_path / "LATE.IMG") == expected


@pytest.mark.parametrize("order", ["<", ">"])
def test_an_analyze_pair_is_read_and_says_nothing_of_planes(tmp_path, order):
    header = nib.AnalyzeHeader(endianness=order)
    header.set_data_dtype(np.int16)
    nib.save(nib.AnalyzeImage(VALUES, None, header), tmp_path / "head.img")
    data = bytearray((tmp_path / "head.hdr").read_bytes())
    data[252:263] = b"\x03" + b"\0\x10" * 5  # orientation and origin, where NIfTI has its forms
    (tmp_path / "head.hdr").write_bytes(data)
    frames = list(read_frames(tmp_path / "head.hdr"))
    assert {frame.plane for frame in frames} == {None}
    assert len(frames) == sum(VALUES.shape)


def test_of_a_folder_a_pair_is_one_volume(command, tmp_path):
    saved(tmp_path)
    (tmp_path / "envi.hdr").write_text("ENVI\ndescription = {no volume}\n")
    (tmp_path / "disk.img").write_bytes(bytes(600))
    files = ImageFiles([tmp_path], volumes=True)
    assert (list(files), files.skipped) == ([tmp_path / "head.hdr"], 2)
    assert list(ImageFiles([tmp_path])) == []
    ended = command("infer", tmp_path, "--format", "jsonl")
    assert ended.code == 0
    assert len([json.loads(line) for line in ended.out.splitlines()]) == sum(VALUES.shape)


@pytest.mark.parametrize("named", ["head.hdr head.img", "head.img head.hdr", "head.*", "-", "."])
def test_a_pair_comes_once_whichever_of_it_is_named(command, tmp_path, monkeypatch, named):
    saved(tmp_path)
    nib.save(nib.Nifti1Pair(VALUES, AFFINE), tmp_path / "other.img")
    (tmp_path / "paths").write_text("head.img\nhead.hdr\n")
    monkeypatch.chdir(tmp_path)
    with (tmp_path / "paths").open() as listed:
        monkeypatch.setattr("sys.stdin", listed)
        result = command("infer", *named.split(), "--planes", "axial", "--format", "jsonl")
    paths = {json.loads(line)["path"] for line in result.out.splitlines()}
    halves = {"head.hdr", "head.img"}
    assert len(paths & halves) == 1
    assert paths <= halves | {"other.hdr"}


def test_a_half_alone_says_what_it_lacks(tmp_path):
    path = saved(tmp_path)
    (tmp_path / "head.img").rename(tmp_path / "other.img")
    with pytest.raises(ImageReadError, match=r"there is no head\.img or head\.img\.gz beside it"):
        told(path)
    with pytest.raises(ImageReadError, match=r"there is no other\.hdr or other\.hdr\.gz beside it"):
        told(tmp_path / "other.img")


def test_what_is_wrong_with_the_values_is_told(tmp_path):
    path = saved(tmp_path)
    values = (tmp_path / "head.img").read_bytes()
    (tmp_path / "head.img").write_bytes(values[:-2])
    with pytest.raises(ImageDecodeError, match="it is cut off"):
        told(path)
    (tmp_path / "head.img").write_bytes(b"")
    with pytest.raises(ImageDecodeError, match="the file of its values is empty"):
        told(path)


@settings(max_examples=150, deadline=None)
@given(
    kind=st.sampled_from(["Nifti1Pair", "Nifti2Pair"]),
    changes=st.lists(st.tuples(st.integers(0, 539), st.binary(min_size=1, max_size=8)), max_size=4),
    values=st.binary(max_size=64),
)
def test_any_two_files_are_read_or_refused(tmp_path_factory, kind, changes, values):
    folder = tmp_path_factory.mktemp("pair")
    header = bytearray(getattr(nib, kind)(VALUES, AFFINE).header.binaryblock)
    for place, data in changes:
        header[place : place + len(data)] = data
    (folder / "a.hdr").write_bytes(header)
    (folder / "a.img").write_bytes(values)
    with suppress(ImageError):
        list(read_frames(folder / "a.hdr", Limits(max_pixels=10_000, max_frames=50)))


def test_values_that_are_said_to_start_far_away_are_refused(tmp_path):
    path = saved(tmp_path, "Nifti2Pair")
    data = bytearray(path.read_bytes())
    data[168:176] = (2**63 - 1).to_bytes(8, "little")
    path.write_bytes(data)
    with pytest.raises(ImageDecodeError, match="its values are said to start at byte"):
        told(path)


def test_both_files_count_for_the_limit(tmp_path):
    path = saved(tmp_path)
    size = (tmp_path / "head.img").stat().st_size
    with pytest.raises(ImageSizeError):
        list(read_frames(path, Limits(max_bytes=size)))
    assert list(read_frames(path, Limits(max_bytes=size + 352)))


def test_other_files_of_these_names_stay_what_they_are(tmp_path, picture):
    for name in ("photo.img", "photo.hdr"):
        (tmp_path / name).write_bytes(picture.read_bytes())
    assert told(tmp_path / "photo.img") == told(tmp_path / "photo.hdr") == told(picture)
