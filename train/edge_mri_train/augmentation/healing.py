"""Lesions covered with the image's own tissue: the same source, contrast and level without one.

The counterpart of pasting. A set whose slices all show a tumour says by its looks what its images
show; with some of them healed it no longer does. The tissue is that of one exemplar (Criminisi et
al. 2004, "Region filling and object removal by exemplar-based image inpainting"): of some places
near the lesion, and of the mirrored ones opposite, the one whose surroundings fit best.
"""

from collections.abc import Iterator
from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_mri_train.augmentation.view import View, head

_RIM_PX = 3  # around the outline, covered too
_RING_PX = 4  # around that, by which an exemplar is chosen
_PLACES = 24
_NEAR_PX, _FAR_PX = 4, 25
_LARGEST = 0.12  # share of the head; of what is larger there is no exemplar
_UNLIKE = 0.12  # root mean square over the ring, of brightness 0..1
_INSIDE = 0.95  # share of the exemplar in the head


def heal(view: View, rng: np.random.Generator) -> View:
    """Cover an outlined lesion; the image stays as it is where no tissue fits, or it is mixed."""
    if view.mask is None or view.donor is not None or not (view.mask >= 0.5).any():
        return view
    inside = head(view.image)
    lesion = _grown((view.mask >= 0.5).astype(np.uint8), _RIM_PX)
    if lesion.sum() > _LARGEST * inside.sum():
        return view
    left, top, width, height = cv2.boundingRect(_grown(lesion, _RING_PX))
    target = (slice(top, top + height), slice(left, left + width))
    shape, region = lesion[target], view.image[target]
    ring = _grown(shape, _RING_PX) > shape
    best, tissue = _UNLIKE, None
    for row, column, step in _places(inside, target, rng):
        source = (slice(row, row + height), slice(column, column + width))
        if (lesion[source][:, ::step] & shape).any():
            continue
        covered = (shape & inside[source][:, ::step]).sum()
        if covered < _INSIDE * (shape & inside[target]).sum():
            continue
        exemplar = view.image[source][:, ::step]
        exemplar = exemplar + (region[ring].mean() - exemplar[ring].mean())
        unlike = float(np.sqrt(((exemplar - region)[ring] ** 2).mean()))
        if unlike < best:
            best, tissue = unlike, exemplar
    if tissue is None:
        return view
    alpha = cv2.GaussianBlur(shape.astype(np.float32), (0, 0), rng.uniform(0.7, 2.0))
    image = view.image.copy()
    image[target] = np.clip(region + alpha * (tissue - region), 0, 1)
    return replace(view, image=image, mask=np.zeros_like(view.mask), is_healed=True)


def _places(
    inside: NDArray[np.uint8], target: tuple[slice, slice], rng: np.random.Generator
) -> Iterator[tuple[int, int, int]]:
    """Yield rows and columns in the image, and -1 where the columns are to be mirrored, else 1."""
    rows, columns = inside.shape
    top, left = target[0].start, target[1].start
    height, width = target[0].stop - top, target[1].stop - left
    start, _, wide, _ = cv2.boundingRect(inside)
    opposite = 2 * start + wide - left - width
    for number in range(_PLACES):
        mirrored = number % 2 == 0
        spread = _NEAR_PX if number < _PLACES // 2 else _FAR_PX
        row = round(top + rng.normal(0, spread))
        column = round(
            opposite + rng.normal(0, spread) if mirrored else left + rng.normal(0, _FAR_PX)
        )
        if 0 <= row <= rows - height and 0 <= column <= columns - width:
            yield row, column, -1 if mirrored else 1


def _grown(shape: NDArray[np.uint8], radius: int) -> NDArray[np.uint8]:
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    return np.asarray(cv2.dilate(shape, disc), np.uint8)
