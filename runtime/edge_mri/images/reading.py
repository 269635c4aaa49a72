"""A file, its bytes or an array, as one image or as the frames it holds.

Reading trusts no file: what is empty, truncated, too large or no image raises an `ImageError`
with the reason. The format is told from the first bytes, never from the name.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from os import PathLike
from types import ModuleType
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from edge_mri.errors import ImageDecodeError
from edge_mri.images.formats.headers import FIRST_BYTES, Format, format_of
from edge_mri.images.formats.picture import decode_page, decode_stored_picture, picture_frame
from edge_mri.images.formats.tiff import pages
from edge_mri.images.opening import read_file
from edge_mri.images.pixels.acquired import ACQUIRED, Planes
from edge_mri.images.pixels.frame import Frame
from edge_mri.images.pixels.grey import grey_array
from edge_mri.images.pixels.limits import Limits
from edge_mri.process import memory
from edge_mri.remote.url import Place, Url

Source = str | PathLike[str] | Url | bytes | NDArray[np.uint8]
"""A path, a URL, the bytes of a file, or `(H, W)` grey or `(H, W, 3)` RGB uint8."""

_PICTURES = frozenset({"jpeg", "png", "bmp", "webp"})  # of one image
_FORMATS = "JPEG, PNG, TIFF, BMP, WebP, DICOM, NIfTI"


def read_image(
    path: Place, limits: Limits | None = None, reduce_to: int | None = None
) -> NDArray[np.uint8]:
    """Read a file that holds one image as `(H, W)` uint8 grey; see `decode_image`."""
    allowed = limits or Limits.from_environment()
    return decode_image(read_file(path, allowed), allowed, reduce_to)


def read_frames(
    path: Place,
    limits: Limits | None = None,
    reduce_to: int | None = None,
    planes: Planes = ACQUIRED,
) -> Iterator[Frame]:
    """Read every image of a file: pages, frames, slices; one for an ordinary picture.

    Frames are decoded as they are asked for; `frame` and `plane` are None for a file with one
    image that does not say how it lies. Where they cost more than `limits` allow, the rest is left.
    `planes` are those of a NIfTI volume that are cut, see `edge_mri.images.pixels.acquired`.

    Raises:
        ImageError: With the reason; what was yielded before stays good.
    """
    allowed = limits or Limits.from_environment()
    yield from decode_frames(read_file(path, allowed), allowed, reduce_to, planes)


def decode_image(
    data: bytes, limits: Limits | None = None, reduce_to: int | None = None
) -> NDArray[np.uint8]:
    """Decode the bytes of a file that holds one image to `(H, W)` uint8 grey, upright.

    Args:
        data: A file in one of the formats of `read_frames`.
        limits: What it may cost; None for what the environment says.
        reduce_to: See `edge_mri.images.formats.picture.picture_frame`.

    Raises:
        ImageDecodeError: The bytes are empty, truncated, no image, or more than one.
        ImageSizeError: The image has more pixels than the limits allow.
    """
    allowed = limits or Limits.from_environment()
    kind = _known_format(data, _FORMATS)
    if kind in _PICTURES:
        return picture_frame(data, kind, allowed, reduce_to).pixels
    return _only_frame(data, allowed, reduce_to).pixels


def read_source(source: Source, reduce_to: int | None, planes: Planes) -> Frame:
    """Read the one image of a file, of a file's bytes, or of an array; raises as `decode_image`."""
    if not isinstance(source, str | PathLike | Url | bytes):
        return Frame(grey_array(source))
    limits = Limits.from_environment()
    data = source if isinstance(source, bytes) else read_file(source, limits)
    return _only_frame(data, limits, reduce_to, planes)


def decode_frames(
    data: bytes,
    limits: Limits | None = None,
    reduce_to: int | None = None,
    planes: Planes = ACQUIRED,
) -> Iterator[Frame]:
    """Decode every image in a file's bytes; see `read_frames`."""
    allowed = limits or Limits.from_environment()
    kind = _known_format(data, _FORMATS)
    try:
        if kind in _PICTURES:
            yield picture_frame(data, kind, allowed, reduce_to)
        else:
            yield from allowed.within(_frames(data, kind, allowed, planes))
    except memory.ERRORS as error:
        raise memory.ran_out(error, "decode") from error


def _only_frame(
    data: bytes, limits: Limits, reduce_to: int | None, planes: Planes = ACQUIRED
) -> Frame:
    frames = decode_frames(data, limits, reduce_to, planes)
    first = next(frames)
    if next(frames, None) is not None:
        raise ImageDecodeError("it holds more than one image; expected one")
    return first


def _frames(data: bytes, kind: Format, allowed: Limits, planes: Planes) -> Iterator[Frame]:
    if kind == "tiff":
        for page in pages(data, allowed):
            with _naming("page", page.number):
                yield Frame(decode_page(page), page.number)
    elif kind == "dicom":
        yield from _reader("dicom").dicom_frames(data, allowed)
    else:
        yield from _reader("nifti").nifti_frames(data, allowed, planes)


def decode_stored(data: bytes, limits: Limits | None = None) -> NDArray[Any]:
    """Decode a picture's bytes to the pixels as they are stored.

    Returns:
        `(H, W)` or `(H, W, C)`, colour as BGR or BGRA, of the file's own depth; its EXIF
        orientation is not applied. Of a TIFF with several pages the first.

    Raises:
        ImageDecodeError: The bytes are empty, truncated or no picture.
        ImageSizeError: The image has more pixels than the limits allow.
    """
    allowed = limits or Limits.from_environment()
    kind = _known_format(data)
    if kind in ("dicom", "nifti", "gzip"):
        raise ImageDecodeError(f"it is a {kind} file; expected a picture")
    if kind == "tiff":
        next(pages(data, allowed))
    return decode_stored_picture(data, kind, allowed)


def _known_format(data: bytes, formats: str = "") -> Format:
    """Tell the format; `formats` are those that the message names where it is none of them."""
    if not data:
        raise ImageDecodeError("the file is empty")
    kind = format_of(data[:FIRST_BYTES])
    if kind is None:
        named = formats and f" ({formats})"
        raise ImageDecodeError(f"not an image in a known format{named}, or damaged")
    return kind


def _reader(extra: Literal["dicom", "nifti"]) -> ModuleType:
    """Import the reader of an optional format; of an unusual file no ordinary run pays for it."""
    try:
        return import_module(f"edge_mri.images.formats.{extra}")
    except Exception as error:  # whatever a package says that is broken, or not the one expected
        from edge_mri.process.causes import unreadable

        raise unreadable(extra, error) from error


@contextmanager
def _naming(part: str, number: int | None) -> Iterator[None]:
    """Put the number of a page or frame before the reason why it cannot be used."""
    try:
        yield
    except ImageDecodeError as error:
        if number is None:
            raise
        raise ImageDecodeError(f"{part} {number}: {error}") from error
