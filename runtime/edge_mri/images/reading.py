"""A file, its bytes or an array, as one image or as the frames it holds.

Reading trusts no file: what is empty, truncated, too large or no image raises an `ImageError`
with the reason. The format is told from the first bytes, never from the name.
"""

import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_mri.errors import ImageDecodeError, ImageError, ImageReadError
from edge_mri.images.frame import Frame
from edge_mri.images.headers import FIRST_BYTES, Format, format_of
from edge_mri.images.limits import Limits
from edge_mri.images.picture import decode_picture, decode_stored_picture

_UNKNOWN = "not an image in a known format, or damaged"
_NO_WAITING = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)  # POSIX; Windows


def read_image(
    path: Path, limits: Limits | None = None, reduce_to: int | None = None
) -> NDArray[np.uint8]:
    """Read a file that holds one image as `(H, W)` uint8 grey; see `decode_image`."""
    allowed = limits or Limits.from_environment()
    return decode_image(read_file(path, allowed), allowed, reduce_to)


def read_frames(
    path: Path, limits: Limits | None = None, reduce_to: int | None = None
) -> Iterator[Frame]:
    """Read every image of a file: pages, frames, slices; one for an ordinary picture.

    Frames are decoded as they are asked for; `frame` and `plane` are None for a file with one
    image that does not say how it lies.

    Raises:
        ImageError: With the reason; what was yielded before stays good.
    """
    allowed = limits or Limits.from_environment()
    yield from decode_frames(read_file(path, allowed), allowed, reduce_to)


def read_file(path: Path, limits: Limits | None = None) -> bytes:
    """Read an image file's bytes; raises `ImageReadError`, or `ImageSizeError` for a huge file.

    Pipes, sockets and devices are refused without waiting for them, and so is a file whose length
    changes while it is read.
    """
    allowed = limits or Limits.from_environment()
    try:
        _refuse_special(os.stat(path))  # some devices act when they are opened
        descriptor = os.open(path, os.O_RDONLY | _NO_WAITING)
        with os.fdopen(descriptor, "rb") as file:
            status = os.fstat(descriptor)
            _refuse_special(status)
            allowed.check_bytes(status.st_size)
            data = file.read(status.st_size + 1)
    except ImageError:
        raise
    except (OSError, ValueError) as error:  # ValueError: a name with a null character
        raise ImageReadError(getattr(error, "strerror", None) or str(error)) from error
    if len(data) != status.st_size:
        raise ImageReadError("it changed while it was read")
    return data


def _refuse_special(status: os.stat_result) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise ImageReadError(os.strerror(errno.EISDIR))
    if not stat.S_ISREG(status.st_mode):
        raise ImageReadError("it is not a regular file")


def decode_image(
    data: bytes, limits: Limits | None = None, reduce_to: int | None = None
) -> NDArray[np.uint8]:
    """Decode the bytes of a file that holds one image to `(H, W)` uint8 grey, upright.

    Args:
        data: A file in one of the formats of `read_frames`.
        limits: What it may cost; None for what the environment says.
        reduce_to: See `edge_mri.images.picture.decode_picture`.

    Raises:
        ImageDecodeError: The bytes are empty, truncated, no image, or more than one.
        ImageSizeError: The image has more pixels than the limits allow.
    """
    allowed = limits or Limits.from_environment()
    kind = _known_format(data)
    if kind in ("jpeg", "png", "bmp", "webp"):
        return decode_picture(data, kind, allowed, reduce_to)
    frames = decode_frames(data, allowed, reduce_to)
    first = next(frames).pixels
    if next(frames, None) is not None:
        raise ImageDecodeError("it holds more than one image; expected one")
    return first


def decode_frames(
    data: bytes, limits: Limits | None = None, reduce_to: int | None = None
) -> Iterator[Frame]:
    """Decode every image in a file's bytes; see `read_frames`."""
    allowed = limits or Limits.from_environment()
    kind = _known_format(data)
    if kind in ("jpeg", "png", "bmp", "webp", "tiff"):
        yield Frame(decode_picture(data, kind, allowed, reduce_to))
        return
    raise ImageDecodeError(_UNKNOWN)


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
    return decode_stored_picture(data, kind, allowed)


def _known_format(data: bytes) -> Format:
    if not data:
        raise ImageDecodeError("the file is empty")
    kind = format_of(data[:FIRST_BYTES])
    if kind is None:
        raise ImageDecodeError(_UNKNOWN)
    return kind
