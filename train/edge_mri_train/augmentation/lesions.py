"""Lesions pasted where there were none, and harmless tissue pasted in the same way.

What a set's images of one class have in common, contrast, source or frame, then tells nothing of
the class: the same slice occurs with a lesion and without. A decoy has a lesion's shape and seam
and tissue's own look, so that the seam tells nothing either. (Pasting as augmentation: Dwibedi et
al. 2017, arXiv 1708.01642.)
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_mri_train.augmentation.view import Plane, View, depth, head

_SMALLEST_PX = 40  # area of an outline worth pasting, before and after it is scaled
_TRIES = 8
_BRIGHTER = 0.75
_LEAST_SHIFT, _MOST_SHIFT = 0.1, 0.45
_SEEN, _MOST_SEEN = 0.07, 0.3  # a lesion differs from the tissue by that much, and by its texture
_WANDER = 0.08  # of the head: standard deviation of where a lesion lies from where it lay
_PUSHES = 0.5
_PUSH, _REACH = (0.1, 0.35), 2.5  # in radii of the lesion: how far tissue moves, and what moves
_OEDEMA = 0.35
_RING = 0.3
_MARGIN_PX = 10  # around a pasted lesion, for its halo to fade in
_RIM_PX = 3  # of the head, that no tissue is pushed into
_SPOTS = (1, 7)  # how many, in a decoy of small bright spots


@dataclass(frozen=True)
class Patch:
    """A lesion cut out.

    Attributes:
        pixels: `(h, w)` float32 in 0..1.
        shape: `(h, w)` float32 in 0..1, where the lesion is.
        centre: Where it lay in the box around its head: row and column, 0 to 1.
    """

    pixels: Plane
    shape: Plane
    centre: tuple[float, float]


class LesionBank:
    """Outlined lesions and tumour-free slices to paste from.

    Args:
        images: `(N, S, S)` uint8.
        masks: `(N, S, S)` uint8, 255 where a lesion is, or None where that is not known.
    """

    def __init__(
        self, images: NDArray[np.uint8], masks: Sequence[NDArray[np.uint8] | None]
    ) -> None:
        self._images = images
        self._outlined: list[tuple[int, tuple[slice, slice]]] = []
        self._free: list[int] = []
        self._masks = masks
        for position, mask in enumerate(masks):
            if mask is None:
                continue
            if not mask.any():
                self._free.append(position)
            elif np.count_nonzero(mask) >= _SMALLEST_PX:
                rows, columns = np.nonzero(mask)
                box = (_span(rows, mask.shape[0]), _span(columns, mask.shape[1]))
                self._outlined.append((position, box))

    @property
    def can_paste(self) -> bool:
        """Whether there is an outlined lesion and a tumour-free slice."""
        return bool(self._outlined and self._free)

    def paste(self, view: View, rng: np.random.Generator) -> View:
        """Paste a lesion into a slice known to be free of any; another is left as it is."""
        if view.mask is None or view.mask.any() or not self._outlined:
            return view
        patch = self._patch(rng, self._lesion(rng))
        place = _place(view.image, patch.shape, rng, patch.centre)
        if place is None:
            return view
        image, mask = _pushed(view.image, patch.shape, place, rng), view.mask.copy()
        region, shape = image[place], patch.shape
        tissue = _mean(region, shape)
        level = _level(tissue, _deviation(region, shape, tissue), rng)
        texture = rng.uniform(0.3, 1.4) * (patch.pixels - _mean(patch.pixels, shape))
        lesion = level + texture
        if rng.random() < _RING:
            core = cv2.erode(shape, np.ones((3, 3)), iterations=int(rng.integers(2, 5)))
            core = cv2.GaussianBlur(core, (0, 0), 1.0)
            lesion = lesion + core * (tissue * rng.uniform(0.2, 0.9) - level)
        if rng.random() < _OEDEMA:
            halo = cv2.GaussianBlur(shape, (0, 0), rng.uniform(3, 7))
            region = region + halo * rng.uniform(0.3, 0.9) * (level - tissue)
        alpha = cv2.GaussianBlur(shape, (0, 0), rng.uniform(0.5, 2.0))
        image[place] = region + alpha * (lesion - region)
        mask[place] = np.maximum(mask[place], shape)
        return replace(view, image=np.clip(image, 0, 1), mask=mask, is_pasted=True)

    def decoy(self, view: View, rng: np.random.Generator) -> View:
        """Paste harmless tissue in a lesion's shape, or small bright spots.

        Tissue only where the lesion is known, or that there is none: it could cover one.
        """
        if rng.random() < 1 / 3:
            return _spotted(view, rng)
        if view.mask is None or not (self._outlined and self._free):
            return view
        donor = self._images[self._free[rng.integers(len(self._free))]]
        patch = self._patch(rng, self._lesion(rng))
        shape = patch.shape
        target = _place(view.image, shape, rng, patch.centre)
        source = _place(donor.astype(np.float32) / 255, shape, rng)
        if target is None or source is None:
            return view
        tissue = donor[source].astype(np.float32) / 255
        region = view.image[target]
        matched = tissue + (_mean(region, shape) - _mean(tissue, shape)) * rng.uniform(0.3, 1)
        alpha = np.asarray(cv2.GaussianBlur(shape, (0, 0), rng.uniform(0.5, 2.0)), np.float32)
        alpha[view.mask[target] > 0] = 0
        image = view.image.copy()
        image[target] = region + alpha * (matched - region)
        return replace(view, image=np.clip(image, 0, 1))

    def _lesion(self, rng: np.random.Generator) -> Patch:
        position, box = self._outlined[rng.integers(len(self._outlined))]
        image = self._images[position].astype(np.float32) / np.float32(255)
        mask = self._masks[position]
        assert mask is not None  # it is outlined
        middle = ((one.start + one.stop) / 2 for one in box)
        centre = tuple(
            (at - low) / side for at, (low, side) in zip(middle, _box(head(image)), strict=True)
        )
        return Patch(image[box], mask[box].astype(np.float32) / np.float32(255), centre)

    @staticmethod
    def _patch(rng: np.random.Generator, patch: Patch) -> Patch:
        """Turn and scale it."""
        height, width = patch.shape.shape
        least = math.sqrt(_SMALLEST_PX / float(patch.shape.sum()))
        scale = max(math.exp(rng.uniform(-0.6, 0.35)), min(least, 1.0))
        angle = rng.uniform(-180, 180)
        side = math.ceil(scale * math.hypot(height, width)) + 2 * _MARGIN_PX
        matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), angle, scale)
        matrix[0, 2] += (side - width) / 2
        matrix[1, 2] += (side - height) / 2
        pixels = cv2.warpAffine(patch.pixels, matrix, (side, side), borderMode=cv2.BORDER_REFLECT)
        shape = cv2.warpAffine(patch.shape, matrix, (side, side))
        return replace(
            patch, pixels=np.asarray(pixels, np.float32), shape=np.asarray(shape, np.float32)
        )


def _spotted(view: View, rng: np.random.Generator) -> View:
    """Add small bright or dark spots, as vessels, plaques and calcifications are."""
    places = np.argwhere(depth(head(view.image)) > 4)
    if not len(places):
        return view
    layer = np.zeros(view.image.shape, np.float32)
    for row, column in places[rng.integers(len(places), size=rng.integers(*_SPOTS))]:
        axes = (int(rng.integers(1, 4)), int(rng.integers(1, 3)))
        turn = float(rng.uniform(0, 180))
        cv2.ellipse(layer, (int(column), int(row)), axes, turn, 0, 360, 1.0, cv2.FILLED)
    layer = np.asarray(cv2.GaussianBlur(layer, (0, 0), rng.uniform(0.4, 1.0)), np.float32)
    if view.mask is not None:
        layer[view.mask > 0] = 0
    towards = 1.0 if rng.random() < 0.8 else 0.0
    image = view.image + layer * rng.uniform(0.2, 0.8) * (towards - view.image)
    return replace(view, image=np.asarray(image, np.float32))


def _place(
    image: Plane,
    shape: Plane,
    rng: np.random.Generator,
    centre: tuple[float, float] | None = None,
) -> tuple[slice, slice] | None:
    """Return where in the head a shape fits, or None.

    Args:
        image: `(S, S)` float32 in 0..1.
        shape: `(h, w)` float32 in 0..1.
        rng: Draws the place.
        centre: Near what part of the head, on either side; None: anywhere.
    """
    inside = head(image)
    height, width = shape.shape
    rows, columns = image.shape
    if height >= rows or width >= columns:
        return None
    (top_of_head, tall), (left_of_head, wide) = _box(inside)
    for _ in range(_TRIES):
        if centre is None:
            top, left = int(rng.integers(rows - height)), int(rng.integers(columns - width))
        else:
            down, across = np.asarray(centre) + rng.normal(0, _WANDER, 2)
            across = 1 - across if rng.random() < 1 / 2 else across
            top = round(top_of_head + down * tall - height / 2)
            left = round(left_of_head + across * wide - width / 2)
            if not (0 <= top <= rows - height and 0 <= left <= columns - width):
                continue
        place = (slice(top, top + height), slice(left, left + width))
        covered = float((inside[place] * shape).sum())
        if covered >= 0.97 * float(shape.sum()) > 0:
            return place
    return None


def _level(tissue: float, deviation: float, rng: np.random.Generator) -> float:
    """Return how bright a lesion is, so that it can be told from the tissue."""
    brighter = rng.random() < _BRIGHTER
    spread = rng.uniform(_LEAST_SHIFT, _MOST_SHIFT)
    change = spread * (1 - tissue) if brighter else 1.6 * spread * tissue
    change = max(change, min(max(_SEEN, deviation), _MOST_SEEN))
    if change > (1 - tissue if brighter else tissue):
        brighter = not brighter
    return tissue + change if brighter else tissue - change


def _pushed(
    image: Plane, shape: Plane, place: tuple[slice, slice], rng: np.random.Generator
) -> Plane:
    """Return a copy whose tissue makes way for a lesion, at times; the rim of the head stays."""
    if rng.random() >= _PUSHES:
        return image.copy()
    radius = math.sqrt(float(shape.sum()) / math.pi)
    row, column = ((one.start + one.stop) / 2 for one in place)
    reach = min(_REACH * radius, float(depth(head(image))[int(row), int(column)]) - _RIM_PX)
    if reach <= 1.2 * radius:
        return image.copy()
    down, across = np.indices(image.shape, dtype=np.float32)
    down, across = down - np.float32(row), across - np.float32(column)
    distance = np.maximum(np.hypot(down, across), 1e-3)
    way = np.minimum(distance / radius, (reach - distance) / (reach - radius)).clip(0, 1)
    kept = 1 - rng.uniform(*_PUSH) * radius * way / distance
    return np.asarray(
        cv2.remap(
            image,
            np.asarray(across * kept + column, np.float32),
            np.asarray(down * kept + row, np.float32),
            cv2.INTER_LINEAR,
        ),
        np.float32,
    )


def _box(inside: NDArray[np.uint8]) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return the first row and the height of a head, the first column and the width."""
    left, top, width, height = cv2.boundingRect(inside)
    return (top, max(height, 1)), (left, max(width, 1))


def _deviation(pixels: Plane, shape: Plane, mean: float) -> float:
    return math.sqrt(_mean((pixels - mean) ** 2, shape))


def _mean(pixels: Plane, shape: Plane) -> float:
    return float((pixels * shape).sum() / max(float(shape.sum()), 1.0))


def _span(positions: NDArray[np.int64], limit: int) -> slice:
    """Return the positions with a margin of two pixels."""
    return slice(max(int(positions.min()) - 2, 0), min(int(positions.max()) + 3, limit))
