"""What samples of times say: percentiles, and ratios of two backends with intervals.

Samples are `(rounds, calls)`. The calls of a round share the machine's mood, so a round is what is
resampled, for both backends together (paired bootstrap, Efron 1979).
"""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

_RESAMPLES = 2000
_CHUNK = 200  # resamples at a time, which bounds the memory

Samples = NDArray[np.float64]


@dataclass(frozen=True)
class Summary:
    """Times of one thing, in milliseconds.

    Attributes:
        n: Samples.
        spread: Interquartile range over the median.
    """

    n: int
    min_ms: float
    median_ms: float
    p95_ms: float
    p99_ms: float
    spread: float

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {
            key: round(value, 5) if isinstance(value, float) else value
            for key, value in asdict(self).items()
        }


def summarise(samples_ms: Samples) -> Summary:
    """Summarise `(rounds, calls)` or `(n,)` times in milliseconds."""
    low, median, high, p95, p99 = np.percentile(samples_ms, [25, 50, 75, 95, 99])
    return Summary(
        n=samples_ms.size,
        min_ms=float(samples_ms.min()),
        median_ms=float(median),
        p95_ms=float(p95),
        p99_ms=float(p99),
        spread=float((high - low) / median) if median else 0.0,
    )


@dataclass(frozen=True)
class Ratio:
    """How often one median time fits into another, with a 95 % interval.

    Attributes:
        value: Numerator over denominator.
        low: Lower end of the interval.
        high: Upper end.
        rounds: Rounds it rests on.
    """

    value: float
    low: float
    high: float
    rounds: int

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {
            "ratio": round(self.value, 4),
            "ci95": [round(self.low, 4), round(self.high, 4)],
            "rounds": self.rounds,
        }


def paired_ratio(numerator: Samples, denominator: Samples, seed: int = 0) -> Ratio:
    """Divide the medians of two things measured in the same rounds.

    Args:
        numerator: `(rounds, calls)` times.
        denominator: `(rounds, calls)` times, of as many rounds.
        seed: Of the bootstrap.
    """
    above, below = _by_round(numerator), _by_round(denominator)
    rounds = len(above)
    generator = np.random.default_rng(seed)
    drawn = []
    for start in range(0, _RESAMPLES, _CHUNK):
        rows = generator.integers(rounds, size=(min(_CHUNK, _RESAMPLES - start), rounds))
        drawn.append(np.median(above[rows], axis=1) / np.median(below[rows], axis=1))
    low, high = np.percentile(np.concatenate(drawn), [2.5, 97.5])
    return Ratio(float(np.median(above) / np.median(below)), float(low), float(high), rounds)


def _by_round(samples: Samples) -> Samples:
    medians: Samples = np.median(samples.reshape(len(samples), -1), axis=1)
    return medians
