"""One picture from the bytes of a JPEG, PNG, BMP or WebP file, or a page of a TIFF, by OpenCV."""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_mri.errors import ImageDecodeError, ImageMemoryError
from edge_mri.images.deep import eight_bits
from edge_mri.images.grey import Grey
from edge_mri.images.headers import Format, is_progressive, picture_size
from edge_mri.images.limits import Limits
from edge_mri.images.png import check_png
from edge_mri.images.tiff import Page

MAX_SCANS = 200  # each costs as much as all pixels and may be a few bytes; encoders write about 10

_JPEG_SCAN = b"\xff\xda"
_JPEG_END = b"\xff\xd9"
_MORE_SCAN = b"\x5a\xa5" * 16
_ABSENT = 128  # what libjpeg shows where a scan ended too early


def decode_page(page: Page) -> Grey:
    """Decode a page of a TIFF, whose size was checked, like `decode_picture` a picture."""
    stored = _decode(page.data, cv2.IMREAD_GRAYSCALE | cv2.IMREAD_ANYDEPTH)
    grey = eight_bits(stored)
    # libtiff turns 8 bits the right way by itself, and leaves more bits as they are stored.
    return 255 - grey if page.white_is_zero and stored.dtype != np.uint8 else grey


def decode_picture(data: bytes, kind: Format, limits: Limits, reduce_to: int | None = None) -> Grey:
    """Decode a picture to `(H, W)` uint8 grey, upright by its EXIF orientation.

    Colour becomes luma, alpha is dropped; what is deeper than 8 bits is shown as
    `edge_mri.images.deep` says.

    Args:
        data: The file.
        kind: The file's format.
        limits: What the header may claim.
        reduce_to: The side, in pixels, that the caller will shrink the longer side to. A JPEG
            may then come at half its size, as long as that is no smaller.

    Raises:
        ImageDecodeError: The bytes are truncated or damaged.
        ImageSizeError: The image has more pixels than `limits` allow.
    """
    flags = cv2.IMREAD_GRAYSCALE
    if kind == "jpeg":
        sides = _check(data, kind, limits)
        if reduce_to and max(sides) // 2 >= reduce_to and not (sides[0] % 2 or sides[1] % 2):
            flags = cv2.IMREAD_REDUCED_GRAYSCALE_2
        pixels = _decode(data, flags)
        if _is_cut(data, pixels, flags):
            raise ImageDecodeError("the JPEG is truncated: its scan ends too early")
        return pixels
    _check(data, kind, limits)
    if kind == "png":
        check_png(data)
        return eight_bits(_decode(data, flags | cv2.IMREAD_ANYDEPTH))
    return _decode(data, flags)


def decode_stored_picture(data: bytes, kind: Format, limits: Limits) -> NDArray[Any]:
    """Decode a picture to the pixels as they are stored, see `edge_mri.images.decode_stored`."""
    if kind != "tiff":
        _check(data, kind, limits)
    if kind == "png":
        check_png(data)
    return _decode(data, cv2.IMREAD_UNCHANGED)


def _check(data: bytes, kind: Format, limits: Limits) -> tuple[int, int]:
    width, height = picture_size(data, kind)
    limits.check_pixels(width, height)
    if kind == "jpeg":
        end = data.rfind(_JPEG_END)
        if data.find(_JPEG_SCAN, max(end, 0)) >= 0:  # a scan that nothing ends
            raise ImageDecodeError("the JPEG is truncated: it has no end marker")
        if is_progressive(data) and data.count(_JPEG_SCAN) > MAX_SCANS:
            raise ImageDecodeError(f"the JPEG has more than {MAX_SCANS} scans")
    return width, height


def _decode(data: bytes | bytearray, flags: int) -> NDArray[Any]:
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error as error:
        if error.code == cv2.Error.StsNoMem:
            raise ImageMemoryError("decode") from error
        raise ImageDecodeError(f"OpenCV cannot decode it: {error.err}") from error
    except MemoryError as error:
        raise ImageMemoryError("decode") from error
    if image is None:
        raise ImageDecodeError("not an image in a known format, or damaged")
    return np.asarray(image)


def _is_cut(data: bytes, pixels: Grey, flags: int) -> bool:
    """Say whether a JPEG with an end marker lacks a part of its scan.

    libjpeg does not report it: it fills the rest with mid grey, or, where the file is progressive,
    leaves it unrefined. Where that may be, more scan data is put before the end marker: a whole
    image stays as it is, in one that is cut it changes the pixels.
    """
    corners = (pixels[0, 0], pixels[0, -1], pixels[-1, 0], pixels[-1, -1])
    if _ABSENT not in corners and not is_progressive(data):
        return False
    end = data.rfind(_JPEG_END)
    longer = _decode(data[:end] + _MORE_SCAN + data[end:], flags)
    return not np.array_equal(longer, pixels)
