"""The ranges of activations: one pass over calibration images, then every method's limits from it.

Every float tensor of a graph gets a histogram whose bins double in width when a value falls
outside, so that memory stays small whatever the number of images. Which limits serve best is for
`edge_mri_export.int8.search` to find.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import onnx
import torch
from numpy.typing import NDArray

from edge_mri_export.graph.graph import NORMALISED
from edge_mri_export.int8.values import float_tensors, float_values

METHODS = ("minmax", "percentile", "entropy", "mse")
PERCENTILE = 99.99
"""What `percentile` keeps of the values, in percent."""

_BINS = 4096
_FINEST = -24  # bins are 2 ** -24 wide or wider
_LEVELS = 256
_CANDIDATES = 48
_NARROWEST = 0.2  # of the full range, where the search for the entropy's begins

Limits = dict[str, tuple[float, float]]


class Histogram:
    """Counts of values in at most 4096 bins of one width, a power of two.

    Attributes:
        low: The smallest value added.
        high: The largest value added.
    """

    def __init__(self) -> None:
        self.low, self.high = np.inf, -np.inf
        self._exponent = _FINEST
        self._first = 0
        self._counts: NDArray[np.float64] = np.zeros(0)
        self._zeros = 0

    def add(self, values: torch.Tensor) -> None:
        """Count float values of any shape."""
        low, high = (float(one) for one in torch.aminmax(values))
        self.low, self.high = min(self.low, low), max(self.high, high)
        while self._bin(self.high) - self._bin(self.low) >= _BINS:
            self._widen()
        first, last = self._bin(self.low), self._bin(self.high)
        grown = np.zeros(last - first + 1)
        if len(self._counts):
            start = self._first - first
            grown[start : start + len(self._counts)] = self._counts
        width = 2.0**self._exponent
        counted = torch.histc(values, len(grown), min=first * width, max=(last + 1) * width)
        self._first, self._counts = first, grown + counted.double().numpy()
        self._zeros += int((values == 0).sum())

    def percentile(self, percent: float) -> tuple[float, float]:
        """Return the limits that leave out (100 - percent) / 2 percent of the values at each end.

        An end that lies at zero stays: nothing is left out there.
        """
        share = np.cumsum(self._counts) / self._counts.sum()
        cut = (100 - percent) / 200
        width = 2.0**self._exponent
        low = (self._first + int(np.searchsorted(share, cut))) * width
        high = (self._first + int(np.searchsorted(share, 1 - cut)) + 1) * width
        return max(min(low, 0.0), self.low), min(high, self.high)

    def entropy(self) -> tuple[float, float]:
        """Return the limits whose 256 levels keep the distribution best (Migacz, GTC 2017).

        The Kullback-Leibler divergence of the quantised histogram from the clipped one is smallest;
        both ends shrink alike.
        """
        counts = self._counts.copy()
        zero = -self._first
        if 0 <= zero < len(counts):  # what ReLU cut off, and black background, say nothing
            counts[zero] = counts[zero + 1] if zero + 1 < len(counts) else 0
        edges = (self._first + np.arange(len(self._counts) + 1)) * 2.0**self._exponent
        best, limits = np.inf, (self.low, self.high)
        for factor in np.linspace(1, _NARROWEST, _CANDIDATES):
            low, high = self.low * factor, self.high * factor
            inside = (edges[1:] > low) & (edges[:-1] < high)
            if inside.sum() < 2:
                break
            divergence = _divergence(counts, inside)
            if divergence < best:
                best, limits = divergence, (low, high)
        return limits

    def mse(self) -> tuple[float, float]:
        """Return the limits whose 256 levels lose least: rounding within, clipping beyond.

        The expected square of the error is smallest; each end shrinks by itself. Zero is a level
        of its own, so that what ReLU cut off, and black background, lose nothing.
        """
        width = 2.0**self._exponent
        counts = self._counts.copy()
        if self._zeros:
            counts[-self._first] = max(counts[-self._first] - self._zeros, 0)
        values = (self._first + np.arange(len(self._counts)) + 0.5) * width
        low, high = min(self.low, 0.0), max(self.high, 0.0)
        ends = np.linspace(1, _NARROWEST, _CANDIDATES)

        def error(low: float, high: float) -> float:
            step = (high - low) / (_LEVELS - 1)
            beyond = values - np.clip(values, low, high)
            squares = np.where(beyond == 0, step**2 / 12, beyond**2)
            return float((counts * squares).sum())

        for _ in range(2):
            high = min(high * ends, key=lambda end: error(low, float(end)))
            low = min(low * ends, key=lambda end: error(float(end), high))
        return float(low), float(high)

    def _bin(self, value: float) -> int:
        return int(np.floor(value / 2.0**self._exponent))

    def _widen(self) -> None:
        """Double the width of the bins."""
        self._exponent += 1
        if not len(self._counts):
            return
        shifted = np.concatenate([np.zeros(self._first % 2), self._counts])
        padded = np.concatenate([shifted, np.zeros(len(shifted) % 2)])
        self._first //= 2
        self._counts = padded.reshape(-1, 2).sum(axis=1)


def _divergence(counts: NDArray[np.float64], inside: NDArray[np.bool_]) -> float:
    """Return KL(clipped || quantised), the outliers in the clipped one's end bins."""
    first, last = np.flatnonzero(inside)[[0, -1]]
    kept = counts[first : last + 1]
    clipped = kept.copy()
    clipped[0] += counts[:first].sum()
    clipped[-1] += counts[last + 1 :].sum()
    level = np.arange(len(kept)) * _LEVELS // max(len(kept), _LEVELS)
    filled = kept > 0
    sums = np.bincount(level, kept, _LEVELS)
    sizes = np.bincount(level, filled, _LEVELS)
    quantised = np.where(filled, (sums / np.maximum(sizes, 1))[level], 0)
    p, q = clipped / clipped.sum(), quantised / max(quantised.sum(), 1.0)
    seen = p > 0
    return float((p[seen] * np.log(p[seen] / np.maximum(q[seen], 1e-9))).sum())


@dataclass(frozen=True)
class Ranges:
    """What calibration saw of each float tensor of a graph."""

    histograms: dict[str, Histogram]

    def limits(self, method: str, percent: float = PERCENTILE) -> Limits:
        """Return each tensor's smallest and largest value to keep.

        Args:
            method: One of `METHODS`.
            percent: What `percentile` keeps.
        """
        pick: dict[str, Callable[[Histogram], tuple[float, float]]] = {
            "minmax": lambda one: (one.low, one.high),
            "percentile": lambda one: one.percentile(percent),
            "entropy": Histogram.entropy,
            "mse": Histogram.mse,
        }
        return {name: pick[method](one) for name, one in self.histograms.items()}


def collect(body: onnx.ModelProto, pixels: NDArray[np.uint8]) -> Ranges:
    """Run a body on `(N, 1, S, S)` uint8 calibration images once and count every float tensor."""
    names = (NORMALISED, *float_tensors(body))
    histograms: dict[str, Histogram] = {name: Histogram() for name in names}
    for _, batch in float_values(body, names, pixels):
        for name, values in batch.items():
            if values.dtype == np.float32 and values.size:
                histograms[name].add(torch.from_numpy(values))
    return Ranges({name: one for name, one in histograms.items() if np.isfinite(one.high)})
