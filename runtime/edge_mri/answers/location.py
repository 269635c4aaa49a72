"""Where a model suspects a lesion: its map, put back on the image, and the box around the peak.

A map is an explanation of an answer, not evidence for it. Drawing it is
`edge_mri.pictures.heatmaps`.
"""

import math
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_mri.answers.decision import Answers, decide
from edge_mri.images.preprocess import Placement
from edge_mri.labels import LabelSpace

Map = NDArray[np.float32]
Box = tuple[int, int, int, int]

BOX_FRACTION = 0.5
"""A box holds what lies around the peak, connected, and reaches this fraction of its height.

Half: where a map says what share of each cell is covered, the lesion ends there, between the
centres of cells (docs/decisions/0028).
"""


def maps(answers: Answers, labels: LabelSpace) -> Map | None:
    """Return where a lesion is suspected in N images, as `(N, h, w)`, 0 to 1 over the input.

    From a lesion map it is that. From class activation maps (Zhou et al. 2016, "Learning deep
    features for discriminative localization") it is how far the activation of the most probable
    type but the absent one exceeds that of the absent one, relative to its own peak and times
    P(present): the peak says how sure the answer is, the rest only how cells compare. Without an
    absent type it is the activation of the type that is said, times its probability.

    Returns:
        None where the answers hold neither.
    """
    if answers.lesion is not None:
        return answers.lesion[:, 0]
    if answers.cam is None:
        return None
    decisions = decide(answers, labels, tumor_threshold=0)
    rows = np.arange(len(answers.cam))
    excess = answers.cam[rows, decisions.types]
    if labels.absent is not None:
        excess = excess - answers.cam[:, labels.types.index(labels.absent)]
    excess = np.maximum(excess, 0)
    peaks = excess.max(axis=(1, 2), keepdims=True)
    share = np.divide(excess, peaks, out=np.zeros_like(excess), where=peaks > 0)
    sure = decisions.by_type[rows, decisions.types] if decisions.tumor is None else decisions.tumor
    located: Map = share * sure[:, np.newaxis, np.newaxis]
    return located


def on_image(cells: Map, place: Placement) -> Map:
    """Put a map back on its image, undoing the letterbox.

    Args:
        cells: `(h, w)` values of the cells that tile the network's square input.
        place: Where the image lies in the input.

    Returns:
        `(H, W)`, interpolated linearly between the centres of cells.
    """
    across = _weights(place.width, place.fitted_width, place.left, place.size, cells.shape[1])
    down = _weights(place.height, place.fitted_height, place.top, place.size, cells.shape[0])
    restored: Map = down @ cells.astype(np.float32) @ across.T
    return restored


def peak(cells: Map, place: Placement) -> tuple[float, float]:
    """Return the highest point of a map, `(x, y)` in continuous pixels of the image."""
    fine = _on_input(cells, place)
    row, column = divmod(int(fine.argmax()), fine.shape[1])
    point = np.array([place.left + column + 0.5, place.top + row + 0.5])
    x, y = place.to_image(point[np.newaxis])[0].tolist()
    return x, y


def lesion_box(cells: Map, place: Placement, fraction: float = BOX_FRACTION) -> Box | None:
    """Return the box around the highest point of a map.

    Args:
        cells: `(h, w)`, 0 to 1, as for `on_image`.
        place: Where the image lies in the input.
        fraction: Around the peak, what reaches this fraction of it and is connected counts.

    Returns:
        `(x, y, width, height)` in whole pixels of the image, inside it; None where the map is
        nowhere above 0.
    """
    fine = _on_input(cells, place)
    row, column = divmod(int(fine.argmax()), fine.shape[1])
    top = float(fine[row, column])
    if not top > 0:
        return None
    # A fill from the peak takes a fraction of the time that numbering all components does.
    below = (1 - fraction) * top
    flags = 8 | cv2.FLOODFILL_FIXED_RANGE
    _, _, _, filled = cv2.floodFill(fine, None, (column, row), -1, below, 0, flags)
    x, width = _in_pixels(filled[0], filled[2], place.width / place.fitted_width, place.width)
    y, height = _in_pixels(filled[1], filled[3], place.height / place.fitted_height, place.height)
    return x, y, width, height


def _in_pixels(start: int, length: int, scale: float, limit: int) -> tuple[int, int]:
    """Return the first of the image's pixels that pixels of the input cover, and how many."""
    first = min(int(start * scale), limit - 1)
    return first, min(math.ceil((start + length) * scale), limit) - first


def _on_input(cells: Map, place: Placement) -> Map:
    """Return the map at the input's pixels, what the image covers of it."""
    fine: NDArray[Any] = cv2.resize(cells.astype(np.float32, copy=False), (place.size, place.size))
    if place.fitted_width == place.fitted_height:
        return fine
    rows = slice(place.top, place.top + place.fitted_height)
    return fine[rows, place.left : place.left + place.fitted_width]


def _weights(pixels: int, fitted: int, start: int, size: int, cells: int) -> Map:
    """Return `(pixels, cells)` weights that interpolate linearly along one axis."""
    centres = (np.arange(pixels) + 0.5) * fitted / pixels + start
    position = np.clip(centres * cells / size - 0.5, 0, cells - 1)
    lower = np.minimum(position.astype(np.int64), cells - 1)
    share = (position - lower).astype(np.float32)
    weights = np.zeros((pixels, cells), np.float32)
    rows = np.arange(pixels)
    weights[rows, lower] = 1 - share
    weights[rows, np.minimum(lower + 1, cells - 1)] += share
    return weights
