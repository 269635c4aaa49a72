"""Shares and areas under a curve, with 95 % intervals.

Wilson 1927 for proportions, DeLong et al. 1988 for the area under the ROC curve.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit
from scipy.stats import binomtest, norm, rankdata
from sklearn.metrics import roc_auc_score

_TWO_SIDED = float(norm.ppf(0.975))


def ratio(part: int, whole: int) -> float | None:
    """Return a share; None of nothing."""
    return part / whole if whole else None


def wilson(part: int, whole: int) -> list[float] | None:
    """Return the 95 % interval of a proportion (Wilson 1927); None of nothing."""
    if not whole:
        return None
    interval = binomtest(part, whole).proportion_ci(method="wilson")
    return [float(interval.low), float(interval.high)]


def auroc(truth: NDArray[np.bool_], scores: NDArray[np.float32]) -> float | None:
    """Return the area under the ROC curve; None where only one side occurs."""
    if truth.all() or not truth.any():
        return None
    return float(roc_auc_score(truth, scores))


def auroc_interval(truth: NDArray[np.bool_], scores: NDArray[np.float32]) -> list[float] | None:
    """Return the 95 % interval of the area under the ROC curve, on its logit's scale.

    DeLong et al. 1988, by midranks (Sun and Xu 2014). None where only one side occurs, has one
    image alone, or nothing overlaps, so that there is no spread to tell from.
    """
    yes, no = scores[truth], scores[~truth]
    area = auroc(truth, scores)
    if area is None or area in (0, 1) or min(len(yes), len(no)) < 2:
        return None
    ranks = rankdata(np.concatenate([yes, no]))
    of_yes = (ranks[: len(yes)] - rankdata(yes)) / len(no)
    of_no = 1 - (ranks[len(yes) :] - rankdata(no)) / len(yes)
    spread = np.sqrt(of_yes.var(ddof=1) / len(yes) + of_no.var(ddof=1) / len(no))
    ends = np.array([-_TWO_SIDED, _TWO_SIDED]) * spread / (area * (1 - area)) + logit(area)
    return [float(end) for end in expit(ends)]
