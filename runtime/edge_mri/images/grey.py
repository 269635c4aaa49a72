"""From the pixels a file stores to 8 bits of grey.

Two rules, one for pictures, one for measurements. A picture's 16 bits have a black and a white:
they are scaled by the bits in use. A measurement (floating point, DICOM or NIfTI without a
window) has none: it is shown between two of its percentiles.
"""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_mri.errors import ImageDecodeError

Grey = NDArray[np.uint8]

DARKEST_PERCENT = 0.5
BRIGHTEST_PERCENT = 99.5
_SAMPLE = 250_000  # pixels that percentiles are taken from: more add time, not accuracy


def scale_bits(pixels: NDArray[np.uint16], bits: int | None = None) -> Grey:
    """Scale 16-bit pixels to 8 bits by the bits in use, so that 12 bits in 16 are not dark.

    Args:
        pixels: `(H, W)` uint16.
        bits: How many bits the file says are in use; None for the fewest, 8 or more, that hold
            the brightest pixel.

    Returns:
        `(H, W)` uint8; `2**bits - 1` becomes 255.
    """
    brightest = int(pixels.max())
    used = max(bits or 8, brightest.bit_length())
    if used <= 8:
        return pixels.astype(np.uint8)
    return np.asarray(cv2.convertScaleAbs(pixels, alpha=255 / (2**used - 1)), np.uint8)


def percentile_window(pixels: NDArray[Any]) -> tuple[float, float]:
    """Return the 0.5th and the 99.5th percentile of the finite values above the darkest one.

    The darkest value is left out because air, masks and padding share it and may fill most of an
    image. Large arrays are sampled evenly.
    """
    flat = pixels.reshape(-1)
    flat = flat[:: max(flat.size // _SAMPLE, 1)]
    if flat.dtype.kind == "f":
        flat = flat[np.isfinite(flat)]
    if not flat.size:
        return 0.0, 0.0
    darkest = flat.min()
    above = flat[flat > darkest]
    if not above.size:
        return float(darkest), float(darkest)
    low, high = np.percentile(above, (DARKEST_PERCENT, BRIGHTEST_PERCENT))
    return float(low if high > low else darkest), float(high)


def apply_window(pixels: NDArray[Any], low: float, high: float) -> Grey:
    """Show `pixels` between two values, `low` as 0 and `high` as 255; not-a-number is black."""
    if not high > low:
        return np.where(pixels > low, np.uint8(255), np.uint8(0))
    exact = np.dtype(np.float64 if pixels.dtype.itemsize > 4 else np.float32)
    with np.errstate(over="ignore", invalid="ignore"):  # of infinite and of absurd values
        scaled: NDArray[Any] = (pixels.astype(exact) - low) * (255 / (high - low))
    np.nan_to_num(scaled, copy=False, nan=0.0, posinf=255.0, neginf=0.0)
    grey: Grey = np.rint(np.clip(scaled, 0, 255)).astype(np.uint8)
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
