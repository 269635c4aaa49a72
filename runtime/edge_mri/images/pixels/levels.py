"""Images of a handful of grey values: masks, label maps, line drawings, empty slices.

Told by the histogram alone. What is within 8 of the commonest value is background; of the rest, the
effective number of grey levels (the exponential of their entropy) is set against the range that
they span. A mask that was resized, or saved as a JPEG, has many levels, but nearly all of its
pixels on a few of them. Most images are told from all that by some of their rows.
Measured: docs/decisions/0057.
"""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

FEWEST = 0.1
"""Effective levels in a level of the range, below which there are only a handful."""

FEWEST_SMALL = 0.2
"""The same where what is not background covers less than `SMALL` of the image."""

SMALL = 0.1
EMPTY = 0.001
"""Share of the image that is not background, below which it is empty."""

_BACKGROUND = 8  # JPEG compression puts nearly all background within this of its value
_SPAN_PERCENT = 99.0
_SOME_PIXELS = 2**12
_ONES = np.ones(256, np.float32)
_SURELY = 1.5  # times as many levels in some rows as the widest range asks of all, at the least


def why_not_an_image(pixels: NDArray[np.uint8]) -> str | None:
    """Return why an image is no photograph of anything, in words; None where it may be one.

    Args:
        pixels: `(H, W)` uint8.
    """
    some = pixels[:: max(pixels.size // _SOME_PIXELS, 1)]
    if _has_many(_outside_background(some)[0], some.size):
        return None
    counts, background = _outside_background(pixels)
    covered = float(counts.sum())
    if covered < EMPTY * pixels.size:
        return "it is empty: all of one grey value"
    if covered >= FEWEST_SMALL * 255 * counts.max():  # there are at least as many levels
        return None
    shares = counts[counts > 0] / covered
    effective = float(np.exp(-(shares * np.log(shares)).sum()))
    below = np.cumsum(counts) / covered
    tail = (100 - _SPAN_PERCENT) / 100
    low, high = np.searchsorted(below, (tail, 1 - tail))
    span = max(abs(int(low) - background), abs(int(high) - background))
    fewest = FEWEST_SMALL if covered < SMALL * pixels.size else FEWEST
    if effective < fewest * span:
        return "it has only a handful of grey values, as masks and drawings do"
    return None


def _outside_background(pixels: NDArray[np.uint8]) -> tuple[NDArray[np.float32], int]:
    """Return how many pixels have each of the 256 values, 0 where it is background; its value."""
    counts: NDArray[Any] = cv2.calcHist([pixels], [0], None, [256], [0, 256]).ravel()
    background = int(counts.argmax())
    counts[max(background - _BACKGROUND, 0) : background + _BACKGROUND + 1] = 0
    return counts, background


def _has_many(counts: NDArray[np.float32], size: int) -> bool:
    """Say whether some pixels show surely enough levels, whatever range they span.

    One over the chance that two pixels have one value is never more than the effective number.
    """
    covered = float(counts @ _ONES)
    fewest = FEWEST_SMALL if covered < 2 * SMALL * size else FEWEST
    return covered * covered > _SURELY * fewest * 255 * float(counts @ counts)
