"""Pose: rotation, scale, shift, left-right flip, and how the head is framed."""

import math
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_mri_train.augmentation.view import Plane, View, head

_ROTATION_DEG = 15.0
_LOG_SCALE = 0.2
_STRETCH = 0.08
_SHIFT = 0.06
_MARGIN = 0.12  # of the head's size, around a frame cut close


def flip(view: View, rng: np.random.Generator) -> View:
    """Swap left and right."""
    mask = None if view.mask is None else np.ascontiguousarray(view.mask[:, ::-1])
    return replace(view, image=np.ascontiguousarray(view.image[:, ::-1]), mask=mask)


@dataclass(frozen=True)
class Pose:
    """Rotation, scale with a little stretch, and shift, drawn apart and made in one resampling.

    Attributes:
        rotate: How often it is turned, 0 to 1.
        scale: How often it is scaled.
        shift: How often it is shifted.
    """

    rotate: float
    scale: float
    shift: float

    @property
    def often(self) -> float:
        """How often to call it: always, unless it would change nothing."""
        return float(any((self.rotate, self.scale, self.shift)))

    def __call__(self, view: View, rng: np.random.Generator) -> View:
        """Return the view in another pose; the same object where nothing was drawn."""
        turned, scaled, shifted = rng.random(3) < (self.rotate, self.scale, self.shift)
        if not (turned or scaled or shifted):
            return view
        size = view.image.shape[0]
        angle = math.radians(rng.uniform(-_ROTATION_DEG, _ROTATION_DEG)) * turned
        zoom = math.exp(rng.uniform(-_LOG_SCALE, _LOG_SCALE) * scaled)
        stretch = math.exp(rng.uniform(-_STRETCH, _STRETCH) * scaled)
        cos, sin = math.cos(angle) * zoom, math.sin(angle) * zoom
        turn = np.array([[cos * stretch, -sin], [sin * stretch, cos]])
        middle = (size - 1) / 2
        offset = middle - turn @ np.array([middle, middle])
        offset += rng.uniform(-_SHIFT, _SHIFT, 2) * size * shifted
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
