"""The window of a DICOM file: what it shows as black and white, and whether that tells anything."""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_mri.images.pixels.grey import Grey, apply_window

FEWEST_LEVELS = 64
"""A window that shows fewer levels, of an image that has more, is not followed."""
_STRIDE = 37


def has_lost_levels(grey: Grey, values: NDArray[Any]) -> bool:
    """Say whether a window shows too few of an image's values to tell anything by."""
    if len(set(grey.reshape(-1)[::_STRIDE].tobytes())) >= FEWEST_LEVELS:
        return False  # nearly always, and in less time than to count them all
    levels = int(np.count_nonzero(cv2.calcHist([grey], [0], None, [256], [0, 256])))
    return levels < FEWEST_LEVELS and levels < len(np.unique(values))


def through_window(values: NDArray[Any], center: float, width: float, shape: str) -> Grey:
    """Apply a window as DICOM PS3.3 C.11.2.1.2 says."""
    if shape == "SIGMOID":
        exponent = np.clip(-4 * (values.astype(np.float32) - center) / width, -80, 80)
        grey: Grey = np.rint(255 / (1 + np.exp(exponent))).astype(np.uint8)
        return grey
    if shape == "LINEAR_EXACT":
        return apply_window(values, center - width / 2, center + width / 2)
    return apply_window(values, center - 0.5 - (width - 1) / 2, center - 0.5 + (width - 1) / 2)
