"""Where a DICOM frame lies in the patient, and how large its pixels are, from its header."""

import numpy as np
from numpy.typing import NDArray

from edge_mri.images.formats.dicom_elements import FrameElements, value
from edge_mri.images.pixels.frame import SlicePosition
from edge_mri.images.pixels.plane import plane_across


def plane(elements: FrameElements, index: int) -> str | None:
    """Return the plane that a frame's orientation in the patient says, or None."""
    normal = _normal(elements, index)
    return None if normal is None else plane_across(normal)


def position(elements: FrameElements, index: int, count: int) -> SlicePosition | None:
    """Return where a frame lies along its normal, else its number in the series, or None.

    Args:
        elements: Of the file.
        index: Of the frame, from 0.
        count: Frames of the file; of several each must say by itself where it lies.
    """
    try:
        return _position(elements, index, is_single=count < 2)
    except Exception:  # pydicom's, of a value that is none: it costs the place, no image
        return None


def pixel_sides(elements: FrameElements, index: int) -> tuple[float, float]:
    """Return width and height of a pixel in a common unit; `(1, 1)` where none is told."""
    sides = elements.find(index, "PixelMeasures", "PixelSpacing")
    if sides is None or len(sides) != 2:
        sides = value(elements.header, "PixelAspectRatio")
    if sides is None or len(sides) != 2:
        return 1.0, 1.0
    height, width = (float(side) for side in sides)  # DICOM says rows first
    return width, height


def _position(elements: FrameElements, index: int, *, is_single: bool) -> SlicePosition | None:
    normal = _normal(elements, index)
    corner = elements.find(index, "PlanePosition", "ImagePositionPatient", shared=is_single)
    if normal is not None and corner is not None and len(corner) == 3:
        along = float(np.dot(normal, [float(one) for one in corner]))
        if np.isfinite(along):
            return SlicePosition(" ".join(f"{one + 0.0:.2f}" for one in normal), along)
    number = value(elements.header, "InstanceNumber") if is_single else None
    return None if number is None else SlicePosition("instance", float(number))


def _normal(elements: FrameElements, index: int) -> NDArray[np.float64] | None:
    """Return the normal of a frame; None where the header tells none, or its directions span none.

    Some exports have zeros in place of what they took out: all slices would lie at one place.
    """
    directions = elements.find(index, "PlaneOrientation", "ImageOrientationPatient")
    if directions is None or len(directions) != 6:
        return None
    cosines = np.asarray([float(one) for one in directions])
    (a, b, c), (d, e, f) = cosines[:3], cosines[3:]
    normal = np.array([b * f - c * e, c * d - a * f, a * e - b * d])
    return normal if np.linalg.norm(normal) > 0 else None
