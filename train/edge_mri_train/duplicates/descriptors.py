"""Short vectors that tell alike images from others, under turning, mirroring and cropping.

The images are small and square: thumbnails, or maps of their local contrast. A descriptor holds
the low frequencies of an image's 2-D cosine transform (as in pHash, Zauner 2010), whitened and
scaled to one length, so that the product of two is their likeness. Turning or mirroring an image
by one of the 8 symmetries of the square only permutes the coefficients and flips signs; a crop is
met by describing crops of every image beforehand.

The numbers are whole, so that a sum of products is exact in float32 whatever its order: a
search gives the same answer with any number of threads.
"""

from functools import cache
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

SCALE = 2000
"""Length of a descriptor; the likeness of two is their product over its square."""
SYMMETRIES = 8
"""Ways to turn and mirror a square; number 0 leaves it as it is."""
CUTS = ((0.0, 0.0), (0.10, 0.0), (0.0, 0.10), (0.05, 0.05), (0.10, 0.10), (0.15, 0.15))
"""What the views cut off the two ends of an axis, as fractions of it."""
VIEWS = len(CUTS) ** 2
"""Views of an image: each pair of cuts, rows first; number 0 is the whole image."""

_BANDS = 9  # frequencies (u, v) with u + v below it are kept, but for (0, 0), the mean
_WHITENING = 0.7  # natural images lose amplitude with frequency; this power gives most of it back
_VIEW_PX = 32  # a view is resampled to this side before it is transformed
_BATCH = 512  # images transformed at a time, which bounds the memory

_Scalar = TypeVar("_Scalar", bound=np.generic)


def describe(images: NDArray[Any]) -> NDArray[np.float32]:
    """Describe whole images: `(N, S, S)`, S 32 or more, to `(N, SIZE)` float32, whole numbers."""
    return _transform(images, _axis(images.shape[2], CUTS[:1]))[:, 0]


def describe_views(images: NDArray[Any]) -> NDArray[np.float32]:
    """Describe images and crops of them: `(N, S, S)` to `(N, VIEWS, SIZE)` float32."""
    return _transform(images, _axis(images.shape[2], CUTS))


def cosines(side_px: int, bands: int) -> NDArray[np.float32]:
    """Return the first rows of the orthonormal cosine transform (DCT-II): `(bands, side)`."""
    places = (np.arange(side_px) + 0.5) / side_px
    frequencies = np.arange(bands)[:, np.newaxis]
    lengths = np.sqrt(np.where(frequencies == 0, 1, 2) / side_px)
    return np.asarray(np.cos(np.pi * frequencies * places) * lengths, np.float32)


def turn(image: NDArray[_Scalar], symmetry: int) -> NDArray[_Scalar]:
    """Turn a `(H, W)` image: transpose if bit 2 is set, flip rows if bit 0, columns if bit 1."""
    if symmetry & 4:
        image = image.T
    if symmetry & 1:
        image = image[::-1]
    if symmetry & 2:
        image = image[:, ::-1]
    return np.ascontiguousarray(image)


def turn_descriptors(descriptors: NDArray[np.float32], symmetry: int) -> NDArray[np.float32]:
    """Return the `(…, SIZE)` descriptors that turned images would have."""
    turned = descriptors[..., _SOURCES[symmetry]] * _SIGNS[symmetry]
    return np.ascontiguousarray(turned, dtype=np.float32)


def view_cuts(view: int) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return what a view cuts off: of the rows (top, bottom) and of the columns (left, right)."""
    return CUTS[view // len(CUTS)], CUTS[view % len(CUTS)]


def _transform(images: NDArray[Any], axis: NDArray[np.float32]) -> NDArray[np.float32]:
    """Apply `(cuts * BANDS, S)` to both axes of each image and keep the low frequencies."""
    cuts = len(axis) // _BANDS
    descriptors = np.empty((len(images), cuts * cuts, SIZE), np.float32)
    for start in range(0, len(images), _BATCH):
        pixels = images[start : start + _BATCH].astype(np.float32)
        spectra = axis @ pixels @ axis.T
        spectra = spectra.reshape(-1, cuts, _BANDS, cuts, _BANDS).swapaxes(2, 3)
        kept = spectra.reshape(-1, cuts * cuts, _BANDS * _BANDS)[..., _KEPT] * _WEIGHTS
        lengths = np.linalg.norm(kept, axis=2, keepdims=True)
        descriptors[start : start + _BATCH] = np.round(kept * (SCALE / np.maximum(lengths, 1e-9)))
    return descriptors


@cache
def _axis(side_px: int, cuts: tuple[tuple[float, float], ...]) -> NDArray[np.float32]:
    """Return the `(cuts * BANDS, side)` matrix that cuts, resamples and transforms an axis."""
    basis = cosines(_VIEW_PX, _BANDS)
    return np.concatenate([basis @ _resampling(side_px, low, high) for low, high in cuts])


def _resampling(side_px: int, low: float, high: float) -> NDArray[np.float32]:
    """Return the `(VIEW_PX, side)` matrix that cuts an axis and averages it over areas."""
    ends = (low + np.linspace(0, 1, _VIEW_PX + 1) * (1 - low - high)) * side_px
    pixels = np.arange(side_px)
    first, last = ends[:-1, np.newaxis], ends[1:, np.newaxis]
    covered = np.minimum(last, pixels + 1) - np.maximum(first, pixels)
    return np.asarray(np.maximum(covered, 0) / (last - first), np.float32)


def _symmetry_tables() -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """Return, per symmetry, which coefficient each comes from, and its sign: `(8, SIZE)` both."""
    positions = {(int(u), int(v)): i for i, (u, v) in enumerate(zip(_U, _V, strict=True))}
    transposed = np.array([positions[int(v), int(u)] for u, v in zip(_U, _V, strict=True)])
    sources = np.empty((SYMMETRIES, SIZE), np.intp)
    signs = np.ones((SYMMETRIES, SIZE), np.float32)
    for symmetry in range(SYMMETRIES):
        sources[symmetry] = transposed if symmetry & 4 else np.arange(SIZE)
        if symmetry & 1:
            signs[symmetry] *= 1 - 2 * (_U % 2)
        if symmetry & 2:
            signs[symmetry] *= 1 - 2 * (_V % 2)
    return sources, signs


_ALL_U, _ALL_V = np.divmod(np.arange(_BANDS * _BANDS), _BANDS)
_KEPT = np.flatnonzero((_ALL_U + _ALL_V > 0) & (_ALL_U + _ALL_V < _BANDS))
_U, _V = _ALL_U[_KEPT], _ALL_V[_KEPT]
SIZE = len(_KEPT)
"""Coefficients of a descriptor."""
_WEIGHTS = np.hypot(_U, _V).astype(np.float32) ** np.float32(_WHITENING)
_SOURCES, _SIGNS = _symmetry_tables()
