"""From which probability on a model says tumour.

Sensitivity and specificity together (Youden 1950, their sum less one) on validation images decide;
never on those that the network learned from, nor on a test folder. With images of several sources
it is the sensitivity of the source whose tumours are found least, and the specificity of the one
with most false alarms: pooled, the largest and easiest source would decide for all. Of the
thresholds that are as good within one standard error (the rule of Breiman et al. 1984) the lowest
is taken: a tumour missed is worse than one too many.

On sources that nothing was learned from, tumours get lower probabilities and tumour-free slices
hardly higher ones, so sensitivity falls and specificity holds. A specificity that is asked for
keeps the second and gains the first (`docs/decisions/0069-the-model-goes-on.md`).
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edge_mri.answers.decision import TUMOR_THRESHOLD

_SMALLEST = 1e-6
_FEWEST = 20
"""Images of one kind without which a source has no figure of its own."""

Kind = NDArray[np.bool_]
Shares = tuple[NDArray[np.float64], int]


def fit_threshold(
    probabilities: NDArray[np.float32],
    tumor: Kind,
    sources: Sequence[str] | None = None,
    specificity: float | None = None,
) -> float:
    """Return the threshold on P(any tumour), 0 to 1; 0.5 where one of the two kinds is missing.

    Between two images that a threshold may separate anywhere it lies halfway in log odds.

    Args:
        probabilities: `(N,)` P(any tumour).
        tumor: `(N,)` whether there is one.
        sources: N names of the sets that the images are of; None: all are of one. Sources with
            fewer than 20 images of a kind count for it together.
        specificity: The lowest threshold is taken at which this share of the tumour-free images,
            averaged over the sources, lies below it; None: see the module.
    """
    if tumor.all() or not tumor.any():
        return TUMOR_THRESHOLD
    p = np.clip(probabilities.astype(np.float64), _SMALLEST, 1 - _SMALLEST)
    logits = np.log(p / (1 - p))
    names = np.array([""] * len(p) if sources is None else sources)
    thresholds = np.append(np.inf, np.unique(logits)[::-1])
    found = [_share_above(logits[part], thresholds) for part in _parts(names, tumor)]
    false = [_share_above(logits[part], thresholds) for part in _parts(names, ~tumor)]
    if specificity is None:
        good = _balanced(found, false)
    else:
        good = np.mean([share for share, _ in false], axis=0) <= 1 - specificity
    if not good.any():  # no threshold tells them apart
        return TUMOR_THRESHOLD
    lowest = thresholds[np.flatnonzero(good)[-1]]
    below = logits[logits < lowest]
    middle = (lowest + below.max()) / 2 if len(below) else lowest
    return round(float(1 / (1 + np.exp(-middle))), 6)


def _parts(names: NDArray[np.str_], kind: Kind) -> list[Kind]:
    """Return which images of a kind each source has; sources with few of them are one."""
    parts = [kind & (names == name) for name in np.unique(names)]
    large = [part for part in parts if part.sum() >= _FEWEST]
    small = [part for part in parts if 0 < part.sum() < _FEWEST]
    together: list[Kind] = [np.logical_or.reduce(small)] if small else []
    if together and large and together[0].sum() < _FEWEST:
        return large
    return [*large, *together]


def _balanced(found: list[Shares], false: list[Shares]) -> NDArray[np.bool_]:
    """Return which thresholds are as good as the best within one standard error."""
    least, least_n = _outermost(found, -1)
    most, most_n = _outermost(false, 1)
    index = least - most
    best = int(np.argmax(index))
    variance = least[best] * (1 - least[best]) / least_n[best]
    variance += most[best] * (1 - most[best]) / most_n[best]
    good: NDArray[np.bool_] = (index >= index[best] - np.sqrt(variance)) & (index[best] > 0)
    return good


def _share_above(logits: NDArray[np.float64], thresholds: NDArray[np.float64]) -> Shares:
    below = np.searchsorted(np.sort(logits), thresholds)
    return 1 - below / len(logits), len(logits)


def _outermost(shares: list[Shares], sign: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return the largest (sign 1) or smallest (-1) share at each threshold, and of how many."""
    values = np.stack([share for share, _ in shares])
    counts = np.array([count for _, count in shares])
    which = (sign * values).argmax(axis=0)
    return values[which, np.arange(values.shape[1])], counts[which]
