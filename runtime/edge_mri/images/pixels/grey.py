"""Grey of 8 bits: through a window of values, by the bits in use, or from a caller's array.

Which values are shown of what is deeper than 8 bits is `edge_mri.images.pixels.deep`.
"""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_mri.errors import ImageDecodeError

Grey = NDArray[np.uint8]


def scale_bits(pixels: NDArray[np.uint16]) -> Grey:
    """Scale 16-bit pixels to 8 bits by the bits in use, so that 12 bits in 16 are not dark.

    Args:
        pixels: `(H, W)` uint16.

    Returns:
        `(H, W)` uint8; the largest value of the fewest bits, 8 or more, that hold the brightest
        pixel becomes 255.
    """
    used = int(pixels.max()).bit_length()
    if used <= 8:
        return pixels.astype(np.uint8)
    return np.asarray(cv2.convertScaleAbs(pixels, alpha=255 / (2**used - 1)), np.uint8)


def apply_window(pixels: NDArray[Any], low: float, high: float) -> Grey:
    """Show `pixels` between two values, `low` as 0 and `high` as 255; not-a-number is black."""
    if not high > low:
        return np.where(pixels > low, np.uint8(255), np.uint8(0))
    exact = np.dtype(np.float64 if pixels.dtype.itemsize > 4 else np.float32)
    with np.errstate(over="ignore", invalid="ignore"):  # of infinite and of absurd values
        scaled: NDArray[Any] = pixels.astype(exact)
        scaled -= low
        scaled *= 255 / (high - low)
    if pixels.dtype.kind == "f" and not np.isfinite(scaled).all():
        np.nan_to_num(scaled, copy=False, nan=0.0, posinf=255.0, neginf=0.0)
    np.clip(scaled, 0, 255, out=scaled)
    grey: Grey = np.rint(scaled, out=scaled).astype(np.uint8)
    return grey


def grey_array(array: NDArray[np.uint8]) -> Grey:
    """Return an array from a caller as `(H, W)` uint8 grey.

    Args:
        array: `(H, W)` grey or `(H, W, 3)` RGB, uint8, 0 black.

    Raises:
        ImageDecodeError: Another shape or dtype, or no pixels.
    """
    if not isinstance(array, np.ndarray) or array.dtype != np.uint8 or array.size == 0:
        came = f"{array.dtype} {array.shape}" if isinstance(array, np.ndarray) else type(array)
        raise ImageDecodeError(f"expected a uint8 array with pixels, got {came}")
    if array.ndim == 2:
        return array
    if array.ndim == 3 and array.shape[2] == 3:
        return np.asarray(cv2.cvtColor(array, cv2.COLOR_RGB2GRAY), np.uint8)
    raise ImageDecodeError(f"expected shape (H, W) or (H, W, 3), got {array.shape}")
