"""Which plane a slice lies in, from the direction it is cut across."""

import numpy as np
from numpy.typing import NDArray

PLANES = ("sagittal", "coronal", "axial")
"""Across left-right, front-back and up-down."""

_MIN_COSINE = np.cos(np.radians(45))


def plane_across(normal: NDArray[np.floating]) -> str | None:
    """Name the plane of a slice.

    Args:
        normal: `(3,)`, the slice's normal in patient coordinates (left-right, front-back, up-down).

    Returns:
        `sagittal`, `coronal` or `axial`, whichever's normal is within 45 degrees; None for an
        oblique slice between all three, and for no direction at all.
    """
    length = float(np.linalg.norm(normal))
    if not np.isfinite(length) or length == 0:
        return None
    cosines = np.abs(normal) / length
    axis = int(cosines.argmax())
    return PLANES[axis] if cosines[axis] >= _MIN_COSINE else None
