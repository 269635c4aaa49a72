"""What is kept of an image to find its duplicates: a hash of its pixels and a small thumbnail.

The thumbnail shows the head alone, cut out, resized and with its grey levels replaced by their
ranks, so that most edits of an image (another frame, size, brightness, contrast or gamma) hardly
change it. Comparing thumbnails is the rest of the package.
"""

import hashlib
import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_mri.images import decode_stored

THUMBNAIL_PX = 64
"""Side of a thumbnail."""

_LARGEST = 1e30  # a pixel beyond it is nonsense in a file of floats
_SEARCH_PX = 128  # the head is searched in an image whose longer side is this
_SMALLEST_PX = 8
_LOG_OFFSET = 16.0  # grey levels; below it the logarithm is nearly linear and noise stays small
_LEAST_RANGE = 0.2  # of the logarithm; an image with less has nothing to tell from background
_LEAST_CONTENT_OF_LINE = 0.04  # a row or column with less content is outside the head
_LEAST_CONTENT = 0.05  # a thumbnail with less is flat
_LEAST_DEVIATION = 3.0  # grey levels; a thumbnail with less is flat


@dataclass(frozen=True, slots=True, eq=False)
class Fingerprint:
    """What is kept of one image: about 4 kB.

    Attributes:
        pixel_hash: 32 bytes, SHA-256 of shape, dtype and pixels. Two files that decode to the
            same pixels share it, whatever their formats.
        thumbnail: `(64, 64)` uint8, 0 where the background is; all 0 where `is_flat`.
        is_flat: Whether the image is blank or nearly so: it is like every other such image, and
            only its hash can tell whether it is a copy.
    """

    pixel_hash: bytes
    thumbnail: NDArray[np.uint8]
    is_flat: bool


class ContentBox(NamedTuple):
    """Where the head lies in an image, as fractions of its height and width.

    Attributes:
        top: First row.
        bottom: Row after the last.
        left: First column.
        right: Column after the last.
        threshold: Grey level up to which a pixel is background.
    """

    top: float
    bottom: float
    left: float
    right: float
    threshold: int

    def cut(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return the part of a `(H, W)` image that is inside."""
        height, width = image.shape
        rows = slice(int(self.top * height), max(math.ceil(self.bottom * height), 1))
        columns = slice(int(self.left * width), max(math.ceil(self.right * width), 1))
        return image[rows, columns]


def fingerprint(data: bytes) -> Fingerprint:
    """Return the fingerprint of an encoded image, decoded as it is stored.

    Colour whose channels are equal counts as grey, and a fully opaque alpha channel as none.

    Raises:
        ImageError: The bytes cannot be decoded, as `edge_mri.images.decode_stored` says.
    """
    return fingerprint_pixels(decode_stored(data))


def fingerprint_pixels(pixels: NDArray[Any]) -> Fingerprint:
    """Return the fingerprint of a decoded image.

    Args:
        pixels: `(H, W)`, or `(H, W, C)` with colour as BGR or BGRA, of any depth.
    """
    plain = _plain(pixels)
    thumbnail = _thumbnail(_grey(plain))
    return Fingerprint(
        pixel_hash=_hash(plain),
        thumbnail=np.zeros((THUMBNAIL_PX, THUMBNAIL_PX), np.uint8)
        if thumbnail is None
        else thumbnail,
        is_flat=thumbnail is None,
    )


def content_box(image: NDArray[np.uint8]) -> ContentBox:
    """Find the head in a `(H, W)` uint8 image.

    The threshold is Otsu's (1979), on the logarithm of the grey level above the background: a
    change of brightness shifts that logarithm and gamma scales it, so the box hardly moves.
    """
    height, width = image.shape
    scale = _SEARCH_PX / max(height, width)
    if scale < 1:
        size = (max(_SMALLEST_PX, round(width * scale)), max(_SMALLEST_PX, round(height * scale)))
        image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
        width, height = size
    blurred = cv2.blur(image.astype(np.float32), (3, 3))
    background = float(np.percentile(blurred, 1))
    logarithm = np.log(np.maximum(blurred - background, 0) + _LOG_OFFSET)
    low, high = float(logarithm.min()), float(logarithm.max())
    if high - low < _LEAST_RANGE:
        return ContentBox(0, 1, 0, 1, int(background))
    levels = np.round((logarithm - low) * (255 / (high - low))).astype(np.uint8)
    otsu, mask = cv2.threshold(levels, 0, 1, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    threshold = int(math.exp(low + otsu * (high - low) / 255) - _LOG_OFFSET + background)
    rows = np.flatnonzero(mask.mean(axis=1) > _LEAST_CONTENT_OF_LINE)
    columns = np.flatnonzero(mask.mean(axis=0) > _LEAST_CONTENT_OF_LINE)
    if len(rows) < _SMALLEST_PX or len(columns) < _SMALLEST_PX:
        return ContentBox(0, 1, 0, 1, threshold)
    return ContentBox(
        float(rows[0] / height),
        float((rows[-1] + 1) / height),
        float(columns[0] / width),
        float((columns[-1] + 1) / width),
        threshold,
    )


def _plain(pixels: NDArray[Any]) -> NDArray[Any]:
    """Drop what says nothing: an opaque alpha channel, colour channels that are equal."""
    if pixels.ndim == 3 and pixels.shape[2] in (2, 4):
        alpha = pixels[..., -1]
        opaque = np.iinfo(alpha.dtype).max if np.issubdtype(alpha.dtype, np.integer) else 1
        if (alpha == opaque).all():
            pixels = pixels[..., :-1]
    if pixels.ndim == 3 and pixels.shape[2] in (1, 3):
        first = pixels[..., 0]
        if all(np.array_equal(first, pixels[..., c]) for c in range(1, pixels.shape[2])):
            pixels = first
    return np.ascontiguousarray(pixels)


def _hash(pixels: NDArray[Any]) -> bytes:
    digest = hashlib.sha256(f"{pixels.shape} {pixels.dtype.name} ".encode())
    digest.update(pixels.data)
    return digest.digest()


def _grey(pixels: NDArray[Any]) -> NDArray[np.uint8]:
    """Return `(H, W)` uint8; depths other than 8 bits are stretched between their extremes."""
    if pixels.dtype != np.uint8:
        values = np.nan_to_num(pixels.astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0)
        values = np.clip(values, -_LARGEST, _LARGEST)
        low, high = float(values.min()), float(values.max())
        pixels = ((values - low) * (255 / max(high - low, 1e-6))).astype(np.uint8)
    if pixels.ndim == 2:
        return pixels
    if pixels.shape[2] < 3:
        return np.ascontiguousarray(pixels[..., 0])
    colour = np.ascontiguousarray(pixels[..., :3])
    return np.asarray(cv2.cvtColor(colour, cv2.COLOR_BGR2GRAY), np.uint8)


def _thumbnail(image: NDArray[np.uint8]) -> NDArray[np.uint8] | None:
    """Return the head of a `(H, W)` uint8 image as `(64, 64)` ranks; None of a flat image."""
    box = content_box(image)
    head = box.cut(image)
    shrinks = min(head.shape) >= THUMBNAIL_PX
    small = cv2.resize(
        head,
        (THUMBNAIL_PX, THUMBNAIL_PX),
        interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR,
    )
    counts = np.bincount(small.ravel(), minlength=256).astype(np.float64)
    counts[: box.threshold + 1] = 0
    content = float(counts.sum())
    if content < _LEAST_CONTENT * small.size or float(small.std()) < _LEAST_DEVIATION:
        return None
    ranks = (np.cumsum(counts) - counts / 2) / content
    ranks[: box.threshold + 1] = 0
    return np.asarray(np.round(ranks * 255).astype(np.uint8)[small])
