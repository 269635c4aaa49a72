"""Brain extraction at random: many archives keep the brain alone, most sets here the whole head.

What tools for it leave differs: some cut along a smooth surface, some follow the folds of the
brain, all keep a lesion at the rim. Drawn as often for slices with a lesion as tumour-free slices
are extracted, it says nothing of the answer.
"""

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_mri_train.augmentation.view import Plane, View, head

_ANGLES = 96
_RADII = 36
_OUTERMOST = 0.94  # of the way from the middle of the head to its rim
_SCALP = 0.5  # of the head's median brightness: what is darker is not its rim
_INNERMOST, _INNERMOST_UNKNOWN = (0.74, 0.86), 0.82  # a lesion may lie at the rim
_STIFF = (0.5, 3.0)  # what a step outwards or inwards costs, in shares of the head's brightness
_STEPS = 2  # as many radii, at most, from angle to angle
_AROUND_PX = 3  # kept around a lesion
_SOFTEST_PX = 1.2


@dataclass(frozen=True)
class Extraction:
    """Extraction with two chances.

    Attributes:
        present: How often where a lesion is or may be, 0 to 1.
        free: How often where none is.
    """

    present: float
    free: float

    @property
    def often(self) -> float:
        """How often to call it: always, unless it would change nothing."""
        return float(any((self.present, self.free)))

    def __call__(self, view: View, rng: np.random.Generator) -> View:
        """Return the brain alone, or the same view where it was not drawn."""
        is_free = view.mask is not None and not view.mask.any()
        drawn = rng.random() < (self.free if is_free else self.present)
        return extract_brain(view, rng) if drawn else view


def extract_brain(view: View, rng: np.random.Generator) -> View:
    """Black out what lies outside the darkest ring below the head's rim: bone, in most contrasts.

    A lesion stays.
    """
    inside = head(view.image)
    if not inside.any():
        return view
    innermost = rng.uniform(*_INNERMOST)
    if view.mask is None:
        innermost = max(innermost, _INNERMOST_UNKNOWN)
    kept = _within_ring(view.image, inside, innermost, rng.uniform(*_STIFF))
    if view.mask is not None:
        disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * _AROUND_PX + 1,) * 2)
        lesion = np.asarray(cv2.dilate((view.mask >= 0.5).astype(np.uint8), disc), np.uint8)
        kept |= lesion & inside
    softness = rng.uniform(0.3, _SOFTEST_PX)
    brain = np.asarray(cv2.GaussianBlur(kept.astype(np.float32), (0, 0), softness), np.float32)
    if view.mask is not None:
        brain = np.maximum(brain, view.mask)
    return replace(view, image=view.image * brain)


def _within_ring(
    image: Plane, inside: NDArray[np.uint8], innermost: float, stiff: float
) -> NDArray[np.uint8]:
    """Return `(S, S)` uint8, 1 within the closed ring that is darkest and smoothest.

    The ring is a shortest path over angles (Bellman), between two shares of the way from the middle
    of the head to its rim.
    """
    moments = cv2.moments(inside, binaryImage=True)
    middle = np.array([moments["m10"], moments["m01"]]) / moments["m00"]
    angles = np.linspace(0, 2 * np.pi, _ANGLES, endpoint=False)
    rays = np.column_stack([np.cos(angles), np.sin(angles)])
    far = np.arange(image.shape[0], dtype=np.float64)
    along = middle + far[:, np.newaxis, np.newaxis] * rays
    smooth = np.asarray(cv2.GaussianBlur(image, (0, 0), 1.0), np.float32)
    level = float(np.median(image[inside > 0]))
    covered = _sampled(smooth * inside, along) > _SCALP * level
    rim = np.where(covered.any(axis=0), len(far) - 1 - covered[::-1].argmax(axis=0), 1)
    shares = np.linspace(innermost, _OUTERMOST, _RADII)
    radii = shares[:, np.newaxis] * rim
    points = middle + radii[..., np.newaxis] * rays
    cost = _sampled(smooth, points) / max(level, 1e-3)
    ring = _shortest(np.minimum(cost, 2.0), stiff)
    corners = points[ring, np.arange(_ANGLES)]
    kept = np.zeros_like(inside)
    cv2.fillPoly(kept, [np.round(corners * 16).astype(np.int32)], 1, shift=4)
    return kept & inside


def _sampled(plane: Plane, points: NDArray[np.float64]) -> Plane:
    x, y = np.moveaxis(points.astype(np.float32), -1, 0)
    return np.asarray(cv2.remap(plane, x, y, cv2.INTER_LINEAR), np.float32)


def _shortest(cost: Plane, stiff: float) -> NDArray[np.int64]:
    """Return for each of A angles the row of the cheapest closed path through `(R, A)` costs."""
    rows, count = cost.shape
    columns = np.ascontiguousarray(cost.T, np.float64)
    total, came = columns[0], np.zeros((count, rows), np.int64)
    steps = np.arange(-_STEPS, _STEPS + 1)
    before = np.clip(np.arange(rows)[:, np.newaxis] + steps, 0, rows - 1)
    price = stiff * np.abs(steps) / rows
    closing = count // 4  # around once, and on until the path no longer knows where it began
    places = np.arange(rows)
    for angle in (*range(1, count), *range(closing)):
        choices = total[before] + price
        best = choices.argmin(axis=1)
        came[angle] = before[places, best]
        total = choices[places, best] + columns[angle]
    path = np.empty(count, np.int64)
    row = int(total.argmin())
    for angle in (*reversed(range(closing)), *reversed(range(closing, count))):
        path[angle] = row
        row = int(came[angle, row])
    return path
