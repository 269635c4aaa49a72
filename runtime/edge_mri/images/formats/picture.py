"""One picture from the bytes of a JPEG, PNG, BMP or WebP file, or a page of a TIFF, by OpenCV.

Of an animation the one image that a decoder shows which knows none.
"""

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_mri.errors import ImageDecodeError, ImageMemoryError
from edge_mri.images.formats.headers import Format, is_progressive, picture_size
from edge_mri.images.formats.jpeg import end_of_image, ends_with_its_scan
from edge_mri.images.formats.png import still_png
from edge_mri.images.formats.tiff import Page
from edge_mri.images.formats.webp import still_webp
from edge_mri.images.pixels.deep import eight_bits
from edge_mri.images.pixels.frame import Frame
from edge_mri.images.pixels.grey import Grey
from edge_mri.images.pixels.limits import Limits

_MORE_SCAN = b"\x5a\xa5" * 16
_ABSENT = 128  # what libjpeg shows where a scan ended too early


@dataclass(frozen=True)
class _Still:
    """What is given to OpenCV: a file that holds one image and ends with it."""

    data: bytes
    sides: tuple[int, int]
    unread: int = 0
    canvas: tuple[tuple[int, int], tuple[int, int]] | None = None
    refined: bool = False  # a JPEG, by one scan after another


def decode_page(page: Page) -> Grey:
    """Decode a page of a TIFF, whose size was checked, like `decode_picture` a picture."""
    stored = _decode(page.data, cv2.IMREAD_GRAYSCALE | cv2.IMREAD_ANYDEPTH)
    grey = eight_bits(stored)
    # libtiff turns 8 bits the right way by itself, and leaves more bits as they are stored.
    return 255 - grey if page.white_is_zero and stored.dtype != np.uint8 else grey


def decode_picture(data: bytes, kind: Format, limits: Limits) -> Grey:
    """Decode a picture to `(H, W)` uint8 grey, see `picture_frame`."""
    return picture_frame(data, kind, limits).pixels


def picture_frame(data: bytes, kind: Format, limits: Limits, reduce_to: int | None = None) -> Frame:
    """Decode a picture to `(H, W)` uint8 grey, upright by its EXIF orientation.

    Colour becomes luma, alpha is dropped; what is deeper than 8 bits is shown as
    `edge_mri.images.pixels.deep` says.

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
    still = _still(data, kind, limits)
    flags, shrunk = cv2.IMREAD_GRAYSCALE, 1
    if kind == "jpeg":
        sides = still.sides
        if reduce_to and max(sides) // 2 >= reduce_to and not (sides[0] % 2 or sides[1] % 2):
            flags, shrunk = cv2.IMREAD_REDUCED_GRAYSCALE_2, 2
        pixels = _decode(still.data, flags)
        if _is_cut(still, pixels, flags):
            raise ImageDecodeError("the JPEG is truncated: its scan ends too early")
        return Frame(pixels, shrunk=shrunk)
    if kind == "png":
        deep = _decode(still.data, flags | cv2.IMREAD_ANYDEPTH)
        return Frame(eight_bits(deep), unread=still.unread)
    return Frame(_on_canvas(_decode(still.data, flags), still), unread=still.unread)


def decode_stored_picture(data: bytes, kind: Format, limits: Limits) -> NDArray[Any]:
    """Decode a picture to the pixels as they are stored, see `edge_mri.images.decode_stored`."""
    if kind == "tiff":
        return _decode(data, cv2.IMREAD_UNCHANGED)
    still = _still(data, kind, limits)
    return _on_canvas(_decode(still.data, cv2.IMREAD_UNCHANGED), still)


def _still(data: bytes, kind: Format, limits: Limits) -> _Still:
    """Check a picture, and leave out what is no part of its one image."""
    sides = picture_size(data, kind)
    limits.check_pixels(*sides)
    if kind == "jpeg":
        if ends_with_its_scan(data):
            return _Still(data, sides)
        return _Still(data[: end_of_image(data)], sides, refined=is_progressive(data))
    if kind == "png":
        png = still_png(data)
        return _Still(png.data, sides, png.unread)
    if kind == "webp":
        webp = still_webp(data)
        return _Still(webp.data, sides, webp.unread, webp.canvas)
    return _Still(data, sides)


def _on_canvas(pixels: NDArray[Any], still: _Still) -> NDArray[Any]:
    """Put an animation's first image where it lies; what it does not cover is black."""
    if still.canvas is None:
        return pixels
    (width, height), (left, top) = still.canvas
    below, right = height - top - pixels.shape[0], width - left - pixels.shape[1]
    return np.asarray(cv2.copyMakeBorder(pixels, top, below, left, right, cv2.BORDER_CONSTANT))


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


def _is_cut(still: _Still, pixels: Grey, flags: int) -> bool:
    """Say whether a JPEG lacks a part of its scan.

    libjpeg does not report it: it fills the rest with mid grey, or, where the file is progressive,
    leaves it unrefined. Where that may be, more scan data is put before the end marker: a whole
    image stays as it is, in one that is cut it changes the pixels.
    """
    corners = (pixels[0, 0], pixels[0, -1], pixels[-1, 0], pixels[-1, -1])
    if _ABSENT not in corners and not still.refined:
        return False
    end = end_of_image(still.data) - 2
    longer = _decode(still.data[:end] + _MORE_SCAN + still.data[end:], flags)
    return not np.array_equal(longer, pixels)
