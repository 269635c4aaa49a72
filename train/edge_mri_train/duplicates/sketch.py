"""A perceptual hash of 63 bytes, by which an image can be recognised though hardly seen.

The hash keeps the 252 lowest frequencies of a thumbnail's local contrast at 32 px, two bits each,
by the best levels for a normal distribution (Max 1960). Drawn again it is a smudge of at most
eleven strokes a side; but another image can be registered on it and compared, so that, unlike
hashes that are compared bit by bit, it survives a crop.
"""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_mri_train.duplicates.descriptors import cosines
from edge_mri_train.duplicates.registration import (
    COARSE_PX,
    Warp,
    coarse_map,
    finer,
    register,
)

_BANDS = 22  # frequencies (u, v) with u + v below it are kept, but for (0, 0)
_BOUNDARIES = (-0.9816, 0.0, 0.9816)  # in deviations
_LEVELS = np.array([-1.510, -0.4528, 0.4528, 1.510], np.float32)
_LEAST_OVERLAP = 0.35  # of the sketch that the other image covers
_LEAST = np.float32(1e-6)  # what is divided by

_FREQUENCIES = np.add.outer(np.arange(_BANDS), np.arange(_BANDS))
_KEPT = (_FREQUENCIES > 0) & (_FREQUENCIES < _BANDS)
_BASIS = cosines(COARSE_PX, _BANDS)
COEFFICIENTS = int(_KEPT.sum())
"""Numbers that a sketch keeps."""
SKETCH_BYTES = 2 * COEFFICIENTS // 8
"""Size of a sketch."""


@dataclass(frozen=True, eq=False)
class Sketches:
    """The sketches of N images.

    Attributes:
        codes: `(N, SKETCH_BYTES)` uint8.
        spread: `(COEFFICIENTS,)` float32, how much each coefficient varies among the images.
    """

    codes: NDArray[np.uint8]
    spread: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.codes)

    @classmethod
    def of(cls, maps: NDArray[np.float32]) -> "Sketches":
        """Sketch `(N, 32, 32)` coarse maps."""
        values = _to_unit_deviation((_BASIS @ maps @ _BASIS.T)[:, _KEPT])
        spread = np.sqrt(np.sum(values**2, axis=0) / max(len(values), 1)).astype(np.float32)
        values = _to_unit_deviation(values / np.maximum(spread, _LEAST))
        levels = np.digitize(values, _BOUNDARIES).astype(np.uint8)
        bits = np.stack([levels >> 1, levels & 1], axis=2).reshape(len(maps), 2 * COEFFICIENTS)
        return cls(np.packbits(bits, axis=1), spread)

    @cached_property
    def maps(self) -> NDArray[np.float32]:
        """The sketches drawn again: `(N, 32, 32)` float32, of any scale."""
        bits = np.unpackbits(self.codes, axis=1).reshape(len(self), COEFFICIENTS, 2)
        spectra = np.zeros((len(self), _BANDS, _BANDS), np.float32)
        spectra[:, _KEPT] = _LEVELS[bits[..., 0] * 2 + bits[..., 1]] * self.spread
        return np.asarray(_BASIS.T @ spectra @ _BASIS, np.float32)

    def agreement(self, position: int, thumbnail: NDArray[np.uint8], start: Warp) -> float:
        """Register an image on a sketch and return how well the two agree.

        Args:
            position: Of the sketch.
            thumbnail: `(64, 64)` uint8 of the image, turned as the sketch is.
            start: Warp from pixels of the sketch to those of the image's coarse map.

        Returns:
            Correlation over the overlap, of the frequencies that a sketch keeps, each weighted to
            vary alike; 0 where no plausible registration is found.
        """
        drawn = self.maps[position]
        found = register(drawn, coarse_map(thumbnail), start, blur_px=1)
        if found is None:
            return 0.0
        # The thumbnail is warped, not the map, so that the scale of its local contrast is right.
        warp = finer(found[1])
        inside = _warped(np.ones_like(thumbnail), warp, cv2.BORDER_CONSTANT)[::2, ::2] > 0
        if inside.mean() < _LEAST_OVERLAP:
            return 0.0
        moved = coarse_map(_warped(thumbnail, warp, cv2.BORDER_REPLICATE))
        # Outside the overlap the sketch stands for the image, which keeps the frequencies apart.
        first, second = drawn[inside], moved[inside]
        moved *= (first @ second) / max(second @ second, _LEAST)
        first = self._evened(drawn)[inside]
        second = self._evened(np.where(inside, moved, drawn))[inside]
        first, second = first - first.mean(), second - second.mean()
        lengths = float(first @ first) * float(second @ second)
        return float(first @ second) / math.sqrt(max(lengths, 1e-12))

    def _evened(self, image: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the frequencies that a sketch keeps of a `(32, 32)` map, all as strong."""
        spectrum = np.zeros((_BANDS, _BANDS), np.float32)
        kept = (_BASIS @ image @ _BASIS.T)[_KEPT]
        spectrum[_KEPT] = kept / np.maximum(self.spread, _LEAST)
        return np.asarray(_BASIS.T @ spectrum @ _BASIS, np.float32)


def _to_unit_deviation(values: NDArray[Any]) -> NDArray[np.float32]:
    """Scale the rows of `(N, COEFFICIENTS)` values."""
    deviations = np.sqrt(np.mean(values**2, axis=1, keepdims=True))
    return np.asarray(values / np.maximum(deviations, _LEAST), np.float32)


def _warped(thumbnail: NDArray[np.uint8], warp: Warp, border: int) -> NDArray[np.uint8]:
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    moved = cv2.warpAffine(thumbnail, warp, thumbnail.shape, flags=flags, borderMode=border)
    return np.asarray(moved, np.uint8)
