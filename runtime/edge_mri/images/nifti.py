"""A NIfTI volume as slices along its three axes, by nibabel.

NIfTI-1 and NIfTI-2 in one file, plain or gzipped; every slice of every volume of a series, each
volume sagittal first, then coronal, then axial. Slices are turned as radiology shows them (front or
top up, the patient's right on the left) and stretched to square pixels. Values are shown between
two percentiles of the whole volume (`edge_mri.images.grey.percentile_window`).
"""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.orientations import apply_orientation, io_orientation
from numpy.typing import NDArray

from edge_mri.errors import ImageDecodeError, ImageError
from edge_mri.images.frame import Frame
from edge_mri.images.grey import Grey, apply_window, percentile_window
from edge_mri.images.limits import Limits
from edge_mri.images.plane import plane_across
from edge_mri.images.square import square_pixels

_HEADER_BYTES = {348: 352, 540: 544}  # by what the first four bytes say: NIfTI-1, NIfTI-2
_MAX_EXTENSION_BYTES = 16 * 2**20


def nifti_frames(data: bytes, limits: Limits) -> Iterator[Frame]:
    """Cut a NIfTI file into slices.

    A slice's `frame` is its number among all slices of the file, in the order above. `plane`
    is None where the file does not say how the volume lies in the patient, or lies aslant.

    Args:
        data: The file, `.nii` or `.nii.gz`.
        limits: How many voxels the file may hold.

    Raises:
        ImageDecodeError: It is no NIfTI volume of real numbers, or damaged.
        ImageSizeError: It holds more voxels than `limits` allow, or a slice would be that large.
    """
    number = 0
    try:
        volume = _read(data, limits)
        for index in range(volume.values.shape[3]):
            for pixels, plane in _slices(volume, index, limits):
                number += 1
                yield Frame(pixels, number, plane)
    except ImageError:
        raise
    except Exception as error:  # nibabel on hostile bytes: nearly any there is
        raise ImageDecodeError(
            f"not a NIfTI volume, or damaged ({type(error).__name__})"
        ) from error
    if not number:
        raise ImageDecodeError("it holds no slice: its volume is one voxel thin along two axes")


@dataclass(frozen=True, eq=False)
class _Volume:
    values: NDArray[Any]  # (X, Y, Z, volumes), as stored
    affine: NDArray[Any]  # (4, 4), voxels to millimetres
    is_placed: bool  # whether the file says so, and not only a convention
    is_inverted: bool  # whether larger stored values mean smaller ones


def _read(data: bytes, limits: Limits) -> _Volume:
    start = _inflate(data, _HEADER_BYTES[540]) if _is_gzip(data) else data
    size = int.from_bytes(start[:4], "little")
    header_bytes = _HEADER_BYTES.get(size) or _HEADER_BYTES.get(int.from_bytes(start[:4], "big"))
    if header_bytes is None or len(start) < header_bytes:
        raise ImageDecodeError("not a NIfTI file, or cut off in its header")
    kind = nib.Nifti1Image if header_bytes == _HEADER_BYTES[348] else nib.Nifti2Image
    header: Any = kind.header_class(start[: header_bytes - 4], check=False)
    shape = tuple(int(side) for side in header.get_data_shape())
    dtype = header.get_data_dtype()
    if not 2 <= len(shape) <= 7 or min(shape) < 1:
        raise ImageDecodeError(f"its shape is {shape}; expected a volume or a series of them")
    if dtype.kind not in "iuf":
        raise ImageDecodeError(f"its values are {dtype}; expected real numbers")
    width, height, depth = (*shape, 1)[:3]
    limits.check_pixels(width, height, int(np.prod(shape[2:], dtype=object)))
    if header["magic"].item()[:2] == b"ni":
        raise ImageDecodeError("its values are in a second file; expected one .nii or .nii.gz")
    offset = int(header["vox_offset"])
    if not header_bytes <= offset <= _MAX_EXTENSION_BYTES:
        raise ImageDecodeError(f"its values are said to start at byte {offset:,}")
    expected = offset + int(np.prod(shape, dtype=object)) * dtype.itemsize
    whole = _inflate(data, expected) if _is_gzip(data) else data
    if len(whole) < expected:
        raise ImageDecodeError(f"it is cut off: {len(whole):,} of {expected:,} bytes")
    values = np.frombuffer(whole, dtype, int(np.prod(shape, dtype=object)), offset)
    volumes = values.reshape((width, height, depth, -1), order="F")
    slope = float(header["scl_slope"])
    is_placed = bool(header["sform_code"] > 0 or header["qform_code"] > 0)
    with np.errstate(all="ignore"):
        affine = header.get_best_affine()
        axes = io_orientation(affine)
    if not (
        np.isfinite(affine).all() and np.isfinite(axes).all()
    ):  # it squeezes an axis to nothing
        affine, is_placed = np.eye(4), False
    return _Volume(volumes, affine, is_placed, bool(np.isfinite(slope) and slope < 0))


def _slices(volume: _Volume, index: int, limits: Limits) -> Iterator[tuple[Grey, str | None]]:
    """Cut a volume across its three axes; slices that would be one voxel thin are left out."""
    stored = volume.values[..., index]
    low, high = percentile_window(stored)
    orientation = io_orientation(volume.affine)
    upright = apply_orientation(stored, orientation)  # views: x to the right, y front, z up
    order = np.argsort(orientation[:, 0])
    directions = volume.affine[:3, :3][:, order]
    spacing = np.linalg.norm(directions, axis=0)
    for axis in range(3):
        across, up = (other for other in range(3) if other != axis)
        if min(upright.shape[across], upright.shape[up]) < 2:
            continue
        plane = plane_across(directions[:, axis]) if volume.is_placed else None
        for position in range(upright.shape[axis]):
            flat = np.take(upright, position, axis)[::-1, ::-1].T
            grey = apply_window(flat, low, high)
            if volume.is_inverted:
                grey = 255 - grey
            yield square_pixels(grey, spacing[across], spacing[up], limits), plane


def _is_gzip(data: bytes) -> bool:
    return data.startswith(b"\x1f\x8b")


def _inflate(data: bytes, count: int) -> bytes:
    """Return the first `count` bytes of what a gzip file holds, and inflate hardly further.

    Where that is all it holds its checksum is compared.
    """
    inflating = zlib.decompressobj(wbits=31)
    try:
        start = inflating.decompress(data, count)
        more = inflating.decompress(inflating.unconsumed_tail, 1)
    except zlib.error as error:
        raise ImageDecodeError(f"the gzip data is damaged: {error}") from error
    if not more and not inflating.eof:
        raise ImageDecodeError("the gzip data is cut off")
    return start
