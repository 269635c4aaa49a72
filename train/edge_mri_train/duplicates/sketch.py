"""A perceptual hash of 63 bytes from which an image can be recognised, though hardly seen.

The hash keeps the 252 lowest frequencies of a thumbnail's local contrast at 32 px, two bits each,
by the best levels for a normal distribution (Max 1960). Drawn again it is a smudge of some eleven
strokes a side, but another image can be registered on it and compared: unlike hashes that are
compared bit by bit, it survives a crop.
"""

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_mri_train.duplicates.descriptors import cosines
from edge_mri_train.duplicates.registration import COARSE_PX, Warp, register

_BANDS = 22  # frequencies (u, v) with u + v below it are kept, but for (0, 0)
_WHITENING = 0.2  # local contrast is nearly white already
_BOUNDARIES = (-0.9816, 0.0, 0.9816)  # in standard deviations
_LEVELS = np.array([-1.510, -0.4528, 0.4528, 1.510], np.float32)
_LEAST_OVERLAP = 0.35  # of the sketch that the other image covers

_FREQUENCIES = np.add.outer(np.arange(_BANDS), np.arange(_BANDS))
_KEPT = (_FREQUENCIES > 0) & (_FREQUENCIES < _BANDS)
_WEIGHTS = np.hypot(*np.nonzero(_KEPT)).astype(np.float32) ** np.float32(_WHITENING)
_BASIS = cosines(COARSE_PX, _BANDS)
SKETCH_BYTES = 2 * int(_KEPT.sum()) // 8
"""Size of a sketch."""


def sketch(maps: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Hash coarse maps: `(N, 32, 32)` float32 to `(N, SKETCH_BYTES)` uint8."""
    values = (_BASIS @ maps @ _BASIS.T)[:, _KEPT] * _WEIGHTS
    deviations = np.sqrt(np.mean(values**2, axis=1, keepdims=True))
    codes = np.digitize(values / np.maximum(deviations, 1e-9), _BOUNDARIES).astype(np.uint8)
    bits = np.stack([codes >> 1, codes & 1], axis=2)
    return np.packbits(bits.reshape(len(maps), -1), axis=1)


def redraw(sketches: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Draw what sketches keep of coarse maps: `(N, SKETCH_BYTES)` to `(N, 32, 32)` float32."""
    bits = np.unpackbits(sketches, axis=1).reshape(len(sketches), -1, 2)
    spectra = np.zeros((len(sketches), _BANDS, _BANDS), np.float32)
    spectra[:, _KEPT] = _LEVELS[bits[..., 0] * 2 + bits[..., 1]] / _WEIGHTS
    return np.asarray(_BASIS.T @ spectra @ _BASIS, np.float32)


def agreement(drawn: NDArray[np.float32], image: NDArray[np.float32], start: Warp) -> float:
    """Register a coarse map on a drawn sketch and return how well they agree.

    Args:
        drawn: `(32, 32)`, from `redraw`.
        image: `(32, 32)` coarse map of another image, turned the same way.
        start: Warp from pixels of `drawn` to those of `image`.

    Returns:
        Correlation over the overlap, of the frequencies that a sketch keeps; 0 where no plausible
        registration is found.
    """
    found = register(drawn, image, start, blur_px=1)
    if found is None:
        return 0.0
    size = (COARSE_PX, COARSE_PX)
    moved = cv2.warpAffine(image, found[1], size, flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
    covered = cv2.warpAffine(
        np.ones(size, np.uint8), found[1], size, flags=cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP
    )
    inside = np.asarray(covered) > 0
    if inside.mean() < _LEAST_OVERLAP:
        return 0.0
    first, second = drawn[inside], np.asarray(moved)[inside]
    # Outside, the sketch itself: it says nothing there, and the frequencies stay apart.
    strength = float(first @ second) / max(float(second @ second), 1e-9)
    filled = np.where(inside, np.asarray(moved) * np.float32(strength), drawn)
    second = _kept(filled)[inside]
    first, second = first - first.mean(), second - second.mean()
    lengths = float(first @ first) * float(second @ second)
    return float(first @ second) / math.sqrt(max(lengths, 1e-12))


def _kept(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return what of a `(32, 32)` map a sketch keeps, but for the rounding."""
    return np.asarray(_BASIS.T @ ((_BASIS @ image @ _BASIS.T) * _KEPT) @ _BASIS, np.float32)
