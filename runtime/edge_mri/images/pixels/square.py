"""Square pixels, for formats that say how far apart theirs are."""

import cv2
import numpy as np

from edge_mri.images.pixels.grey import Grey
from edge_mri.images.pixels.limits import Limits

_MAX_STRETCH = 20.0  # no scanner's slices are this thick; a header that says so is wrong


def square_pixels(pixels: Grey, width: float, height: float, limits: Limits) -> Grey:
    """Stretch an image until its pixels are square.

    Args:
        pixels: `(H, W)`.
        width: Of a pixel; the unit does not matter. What makes no sense changes nothing.
        height: Of a pixel, in the same unit.
        limits: How many pixels the stretched image may have.

    Raises:
        ImageSizeError: It would have more.
    """
    if not 0 < width < np.inf or not 0 < height < np.inf:
        return pixels
    ratio = height / width
    if 0.99 < ratio < 1.01 or not 1 / _MAX_STRETCH < ratio < _MAX_STRETCH:
        return pixels
    rows, columns = pixels.shape
    columns, rows = round(columns * max(1 / ratio, 1)), round(rows * max(ratio, 1))
    limits.check_pixels(columns, rows)
    return np.asarray(cv2.resize(pixels, (columns, rows), interpolation=cv2.INTER_LINEAR_EXACT))
