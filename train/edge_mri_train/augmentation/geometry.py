"""Pose: rotation, scale, shift, left-right flip, and how the head is framed."""

import math
from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_mri_train.augmentation.view import Plane, View, head

_ROTATION_DEG = 15.0
_LOG_SCALE = 0.2
_STRETCH = 0.08
_SHIFT = 0.06
_MARGIN = 0.12  # of the head's size, around a frame cut close


def move(view: View, rng: np.random.Generator) -> View:
    """Rotate, scale, stretch and shift, and flip half of the images left to right."""
    size = view.image.shape[0]
    angle = math.radians(rng.uniform(-_ROTATION_DEG, _ROTATION_DEG))
    scale = math.exp(rng.uniform(-_LOG_SCALE, _LOG_SCALE))
    stretch = math.exp(rng.uniform(-_STRETCH, _STRETCH))
    flip = -1.0 if rng.random() < 0.5 else 1.0
    cos, sin = math.cos(angle) * scale, math.sin(angle) * scale
    turn = np.array([[cos * flip * stretch, -sin], [sin * flip * stretch, cos]])
    middle = (size - 1) / 2
    shift = rng.uniform(-_SHIFT, _SHIFT, 2) * size
    offset = middle - turn @ np.array([middle, middle]) + shift
    return _warped(view, np.column_stack([turn, offset]))


def frame(view: View, rng: np.random.Generator) -> View:
    """Cut the picture to the head with a random margin: sets differ in how much air they leave."""
    rows, columns = np.nonzero(head(view.image))
    if not len(rows):
        return view
    size = view.image.shape[0]
    low = np.array([columns.min(), rows.min()], float)
    high = np.array([columns.max(), rows.max()], float) + 1
    side = float((high - low).max()) * (1 + 2 * rng.uniform(0, _MARGIN))
    if side < size / 3:
        return view
    scale = size / side
    offset = size / 2 - scale * (low + high) / 2
    return _warped(view, np.array([[scale, 0, offset[0]], [0, scale, offset[1]]]))


def _warped(view: View, matrix: NDArray[np.float64]) -> View:
    return replace(
        view,
        image=_warp(view.image, matrix),
        mask=None if view.mask is None else _warp(view.mask, matrix),
    )


def _warp(plane: Plane, matrix: NDArray[np.float64]) -> Plane:
    side = (plane.shape[1], plane.shape[0])
    return np.asarray(cv2.warpAffine(plane, matrix, side, flags=cv2.INTER_LINEAR), np.float32)
