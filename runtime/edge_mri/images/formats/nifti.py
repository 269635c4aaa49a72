"""A NIfTI volume as slices along its three axes, by nibabel.

NIfTI-1 and NIfTI-2 in one file, plain or gzipped (two files are joined before, by
`edge_mri.images.formats.nifti_pair`); the slices of every volume of a series, each volume sagittal
first, then coronal, then axial; planes that were not acquired are left out. Slices are turned as
radiology shows them (front or top up, the patient's right on the left) and stretched to square
pixels. Values are shown in one range for the whole volume, see `edge_mri.images.pixels.deep`.
"""

import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.orientations import apply_orientation, io_orientation
from nibabel.spatialimages import HeaderDataError
from numpy.typing import NDArray

from edge_mri.errors import ImageDecodeError, ImageError
from edge_mri.images.pixels.acquired import ACQUIRED, Planes, axes_to_cut
from edge_mri.images.pixels.deep import spread_of, value_range, without_lone_pixels
from edge_mri.images.pixels.frame import Frame, SlicePosition
from edge_mri.images.pixels.grey import apply_window
from edge_mri.images.pixels.limits import Limits
from edge_mri.images.pixels.plane import plane_across
from edge_mri.images.pixels.square import square_pixels

_HEADER_BYTES = {348: 352, 540: 544}  # by what the first four bytes say: NIfTI-1, NIfTI-2
_MAX_EXTENSION_BYTES = 16 * 2**20
_GZIP = b"\x1f\x8b"
_ZEROS = re.compile(rb"\0*")
_CHUNK_BYTES = 2**14
_MAX_MEMBERS = 100_000  # `bgzip` writes 64 KiB into each


def nifti_frames(data: bytes, limits: Limits, planes: Planes = ACQUIRED) -> Iterator[Frame]:
    """Cut a NIfTI file into slices.

    A slice's `frame` is its number among all slices of the file, in the order above, also of those
    that are left out: it names the same slice whatever `planes` are. `plane` is
    None where the file does not say how the volume lies in the patient, or lies aslant.

    Args:
        data: The file, `.nii` or `.nii.gz`.
        limits: How many voxels the file may hold.
        planes: Which planes are cut.

    Raises:
        ImageDecodeError: It is no NIfTI volume of real numbers, or damaged.
        ImageSizeError: It holds more voxels than `limits` allow, or a slice would be that large.
    """
    try:
        volume = _read(data, limits)
        for index in range(volume.values.shape[3]):
            yield from _slices(volume, index, limits, planes)
    except ImageError:
        raise
    except Exception as error:  # nibabel on hostile bytes: nearly any there is
        raise ImageDecodeError(
            f"not a NIfTI volume, or damaged ({type(error).__name__})"
        ) from error


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
    if header_bytes is not None and _is_pair(start):
        raise ImageDecodeError("its values are in a second file; expected one .nii or .nii.gz")
    if header_bytes is None or len(start) < header_bytes:
        raise ImageDecodeError("not a NIfTI file, or cut off in its header")
    kind = nib.Nifti1Image if header_bytes == _HEADER_BYTES[348] else nib.Nifti2Image
    header: Any = kind.header_class(bytes(start[: header_bytes - 4]), check=False)
    shape = tuple(int(side) for side in header.get_data_shape())
    dtype = header.get_data_dtype()
    if not 2 <= len(shape) <= 7 or min(shape) < 1:
        raise ImageDecodeError(f"its shape is {shape}; expected a volume or a series of them")
    if dtype.kind not in "iuf":
        raise ImageDecodeError(f"its values are {dtype}; expected real numbers")
    width, height, depth = (*shape, 1)[:3]
    limits.check_pixels(width, height, int(np.prod(shape[2:], dtype=object)))
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
    affine, is_placed = _placing(header)
    return _Volume(volumes, affine, is_placed, bool(np.isfinite(slope) and slope < 0))


def _placing(header: Any) -> tuple[NDArray[Any], bool]:
    """Return the affine of the first form that makes sense, and whether the file says so."""
    forms = [
        getter
        for code, getter in (("sform_code", header.get_sform), ("qform_code", header.get_qform))
        if header[code] > 0
    ]
    with np.errstate(all="ignore"):
        for getter in (*forms, header.get_base_affine):
            try:
                affine = getter()
                is_sound = np.isfinite(affine).all() and np.isfinite(io_orientation(affine)).all()
            except (ValueError, ArithmeticError, np.linalg.LinAlgError, HeaderDataError):
                continue
            if is_sound:  # else it squeezes an axis to nothing, or holds what is no number
                return affine, bool(forms) and getter != header.get_base_affine
    return np.eye(4), False


def _slices(volume: _Volume, index: int, limits: Limits, planes: Planes) -> Iterator[Frame]:
    """Cut a volume across its axes; slices that would be one voxel thin are left out."""
    stored = volume.values[..., index]
    orientation = io_orientation(volume.affine)
    upright = apply_orientation(stored, orientation)  # views: x to the right, y front, z up
    order = np.argsort(orientation[:, 0])
    directions = volume.affine[:3, :3][:, order]
    spacing = np.linalg.norm(directions, axis=0)
    names = [plane_across(directions[:, axis]) if volume.is_placed else None for axis in range(3)]
    axes = axes_to_cut(upright.shape, spacing, names, planes)
    low, high = value_range(stored)
    spread = spread_of(stored)
    count = volume.values.shape[3]
    number = index * sum(map(len, _sliced(upright.shape)))
    for axis, positions in enumerate(_sliced(upright.shape)):
        across, up = (other for other in range(3) if other != axis)
        for position in positions if axis in axes else ():
            flat = upright[(slice(None),) * axis + (position,)][::-1, ::-1].T  # np.take would copy
            grey = apply_window(without_lone_pixels(flat, spread), low, high)
            if volume.is_inverted:
                grey = 255 - grey
            yield Frame(
                square_pixels(grey, spacing[across], spacing[up], limits),
                number + position + 1,
                names[axis],
                position=SlicePosition(
                    names[axis] or f"axis {axis + 1}",
                    position * float(spacing[axis]),
                    index + 1 if count > 1 else None,
                ),
            )
        number += len(positions)


def _sliced(shape: tuple[int, ...]) -> list[range]:
    """Return the slices along each axis; none where they would be one voxel thin."""
    return [
        range(shape[axis] if min(shape[:axis] + shape[axis + 1 :]) > 1 else 0) for axis in range(3)
    ]


def _is_pair(start: bytes | bytearray) -> bool:
    """Say whether a header is one whose values are in an .img file."""
    return start[344:348] == b"ni1\0" or start[4:8] == b"ni2\0"


def _is_gzip(data: bytes) -> bool:
    return data.startswith(_GZIP)


def _behind_zeros(data: bytes, position: int) -> int:
    found = _ZEROS.match(data, position)
    return position if found is None else found.end()


def _inflate(data: bytes, count: int) -> bytearray:
    """Return the first `count` bytes of what a gzip file holds, and inflate hardly further.

    It may have several members, as `bgzip` and `pigz -i` write them, and zeros behind them. The
    checksum of each that is inflated to its end is compared.
    """
    whole, position = bytearray(), 0
    for _ in range(_MAX_MEMBERS):
        inflating = zlib.decompressobj(wbits=31)
        while not inflating.eof:
            chunk = inflating.unconsumed_tail
            if not chunk:
                chunk = data[position : position + _CHUNK_BYTES]
                position += len(chunk)
            try:
                part = inflating.decompress(chunk, max(count - len(whole), 1))
            except zlib.error as error:
                raise ImageDecodeError(f"the gzip data is damaged: {error}") from error
            if part and len(whole) == count:
                return whole
            if not part and not chunk:
                raise ImageDecodeError("the gzip data is cut off")
            whole += part
        position = _behind_zeros(data, position - len(inflating.unused_data))
        if len(whole) == count or not data.startswith(_GZIP, position):
            return whole
    raise ImageDecodeError(f"its gzip data has more than {_MAX_MEMBERS:,} members")
