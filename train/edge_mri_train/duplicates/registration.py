"""A closer look at a pair: one thumbnail registered on the other, and how well they agree then.

Registration is affine and maximises the enhanced correlation coefficient (ECC, Evangelidis and
Psarakis 2008) of local contrast, which hardly depends on brightness, contrast or gamma. First at
32 px, from the turn and crop that the candidate search suggests, which settles most pairs; then
at 64 px, where the fine detail is correlated over the overlap.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_mri.process.worker_pool import WorkerPool
from edge_mri.process.workers import available_threads
from edge_mri.terminal.progress import Progress
from edge_mri_train.duplicates.candidates import Candidates
from edge_mri_train.duplicates.descriptors import turn, view_cuts
from edge_mri_train.duplicates.fingerprint import THUMBNAIL_PX

COARSE_PX = 32
"""Side of a coarse map."""
_LEAST_COARSE = 0.84  # correlation at 32 px; below it the pair is given up
_LEAST_OVERLAP = 0.35  # of the target's content
_SCALES = (0.55, 1.8)
_MOST_SHEAR = 0.18  # or sine of a rotation: an edit leaves the axes nearly where they are
_STOP = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 12, 1e-3)
_CHUNK = 2000  # pairs at a time

Warp = NDArray[np.float32]
"""`(2, 3)`, from pixels of the target to pixels of the moving image."""


def agreements(
    thumbnails: Sequence[NDArray[np.uint8]], pairs: Candidates, progress: Progress
) -> NDArray[np.float32]:
    """Return how well the images of each pair agree once they are registered.

    Args:
        thumbnails: N of `(64, 64)` uint8.
        pairs: P pairs of them.
        progress: Told of each few thousand pairs.

    Returns:
        `(P,)` float32, the correlation of fine detail, -1 to 1; 0 where no plausible registration
        is found.
    """
    coarse = np.empty((len(thumbnails), COARSE_PX, COARSE_PX), np.float16)
    for position, thumbnail in enumerate(thumbnails):
        coarse[position] = coarse_map(thumbnail)

    def score(chunk: NDArray[np.intp]) -> list[float]:
        return list(_scores(thumbnails, coarse, pairs[chunk]))

    scores = np.empty(len(pairs), np.float32)
    order = np.argsort(pairs.target, kind="stable")  # what a target needs is computed once
    chunks = [order[start : start + _CHUNK] for start in range(0, len(order), _CHUNK)]
    with (
        WorkerPool(available_threads()) as pool,  # OpenCV lets go of the interpreter
        progress.bar("compare", len(chunks)) as step,
    ):
        for chunk, values in zip(chunks, pool.map(score, chunks), strict=True):
            scores[chunk] = values
            step()
    return scores


def coarse_map(thumbnail: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the `(32, 32)` local contrast of a thumbnail; it turns as the thumbnail does."""
    small = cv2.resize(thumbnail, (COARSE_PX, COARSE_PX), interpolation=cv2.INTER_AREA)
    smooth = cv2.GaussianBlur(small.astype(np.float32) / 255, (0, 0), 0.75)
    return _local_contrast(smooth, 3.0, 0.08)


def register(
    target: NDArray[np.float32], moving: NDArray[np.float32], start: Warp, blur_px: int
) -> tuple[float, Warp] | None:
    """Register two `(S, S)` float32 maps by an affine warp.

    Args:
        target: What stays.
        moving: What is warped.
        start: The warp to start with.
        blur_px: Width of the blur that widens the basin, odd.

    Returns:
        The correlation reached and the warp; None where no plausible one is found.
    """
    everywhere = np.ones(target.shape, np.uint8)
    try:
        correlation, warp = cv2.findTransformECC(
            target, moving, start.copy(), cv2.MOTION_AFFINE, _STOP, everywhere, blur_px
        )
    except cv2.error:  # it did not converge
        return None
    (scale_x, shear_x, _), (shear_y, scale_y, _) = warp.tolist()
    smallest, largest = _SCALES
    plausible = (
        smallest < scale_x < largest
        and smallest < scale_y < largest
        and max(abs(shear_x), abs(shear_y)) < _MOST_SHEAR
    )
    return (float(correlation), np.asarray(warp, np.float32)) if plausible else None


def view_warp(view: int) -> Warp:
    """Return the warp from the pixels of a coarse map to those of a view of it."""
    (top, bottom), (left, right) = view_cuts(view)
    scale_y, scale_x = 1 / (1 - top - bottom), 1 / (1 - left - right)
    shift_x = scale_x * (0.5 - left * COARSE_PX) - 0.5
    shift_y = scale_y * (0.5 - top * COARSE_PX) - 0.5
    return np.array([[scale_x, 0, shift_x], [0, scale_y, shift_y]], np.float32)


def finer(warp: Warp) -> Warp:
    """Return the warp between thumbnails that is the given one between coarse maps."""
    scale = THUMBNAIL_PX / COARSE_PX
    shift = scale * warp[:, 2] + (scale - 1) / 2 * (warp[:, :2].sum(axis=1) - 1)
    return np.column_stack([warp[:, :2], shift]).astype(np.float32)


@dataclass(frozen=True, slots=True)
class _Fine:
    """What is compared at 64 px.

    Attributes:
        detail: `(64, 64)` float32 local contrast.
        content: `(64, 64)` uint8, 1 where the head is.
    """

    detail: NDArray[np.float32]
    content: NDArray[np.uint8]

    @classmethod
    def of(cls, thumbnail: NDArray[np.uint8]) -> "_Fine":
        smooth = cv2.GaussianBlur(thumbnail.astype(np.float32) / 255, (0, 0), 0.7)
        mask = (thumbnail > 0).astype(np.uint8)
        closed = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8))
        return cls(_local_contrast(smooth, 2.5, 0.06), _eroded(closed))


def _scores(
    thumbnails: Sequence[NDArray[np.uint8]], coarse: NDArray[np.float16], pairs: Candidates
) -> Iterator[float]:
    """Yield the agreement of each pair; the pairs of one target follow each other."""
    position, target_fine = -1, None
    target_coarse = np.empty(0, np.float32)
    for index in range(len(pairs)):
        target, moving = int(pairs.target[index]), int(pairs.moving[index])
        symmetry = int(pairs.symmetry[index])
        if target != position:
            position, target_fine = target, None
            target_coarse = coarse[target].astype(np.float32)
        moving_coarse = turn(coarse[moving], symmetry).astype(np.float32)
        start = view_warp(int(pairs.view[index]))
        found = register(target_coarse, moving_coarse, start, blur_px=1)
        if found is None or found[0] < _LEAST_COARSE:
            yield 0.0
            continue
        if target_fine is None:
            target_fine = _Fine.of(thumbnails[target])
        yield _correlation(target_fine, _Fine.of(turn(thumbnails[moving], symmetry)), found[1])


def _local_contrast(image: NDArray[Any], sigma_px: float, least: float) -> NDArray[np.float32]:
    """Return how far each pixel is from its neighbourhood's mean, in its deviations."""
    mean = cv2.GaussianBlur(image, (0, 0), sigma_px)
    variance = cv2.GaussianBlur(image * image, (0, 0), sigma_px) - mean * mean
    contrast = (image - mean) / (np.sqrt(np.maximum(variance, 0)) + least)
    return np.asarray(contrast, np.float32)


def _correlation(target: _Fine, moving: _Fine, coarse_warp: Warp) -> float:
    """Refine a warp of the coarse maps and correlate the detail where both images have content."""
    found = register(target.detail, moving.detail, finer(coarse_warp), blur_px=3)
    if found is None:
        return 0.0
    warp = found[1]
    moved = _warped(moving.detail, warp, cv2.INTER_LINEAR)
    state = _warped(moving.content + np.uint8(1), warp, cv2.INTER_NEAREST)  # 0 outside, 2 content
    inside = _eroded((state > 0).astype(np.uint8)) > 0
    both = inside & ((target.content > 0) | (state == 2))
    if both.sum() < _LEAST_OVERLAP * max(int(target.content.sum()), 1):
        return 0.0
    first, second = target.detail[both], moved[both]
    first, second = first - first.mean(), second - second.mean()
    lengths = float(first @ first) * float(second @ second)
    return float(first @ second) / math.sqrt(max(lengths, 1e-12))


def _warped(image: NDArray[Any], warp: Warp, interpolation: int) -> NDArray[Any]:
    size = (THUMBNAIL_PX, THUMBNAIL_PX)
    flags = interpolation | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpAffine(image, warp, size, flags=flags))


def _eroded(mask: NDArray[Any]) -> NDArray[np.uint8]:
    return np.asarray(cv2.erode(mask, np.ones((3, 3), np.uint8)), np.uint8)
