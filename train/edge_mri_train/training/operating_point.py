"""From which probability on a model says tumour.

Sensitivity and specificity together (Youden 1950, their sum less one) on validation images decide;
never on those that the network learned from, nor on a test folder. Of the thresholds that are as
good within one standard error (the rule of Breiman et al. 1984) the lowest is taken: a tumour
missed is worse than one too many.
"""

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_curve

from edge_mri.answers.decision import TUMOR_THRESHOLD

_SMALLEST = 1e-6


def fit_threshold(probabilities: NDArray[np.float32], tumor: NDArray[np.bool_]) -> float:
    """Return the threshold on P(any tumour), 0 to 1; 0.5 where one of the two kinds is missing.

    Between two images that a threshold may separate anywhere it lies halfway in log odds.

    Args:
        probabilities: `(N,)` P(any tumour).
        tumor: `(N,)` whether there is one.
    """
    if tumor.all() or not tumor.any():
        return TUMOR_THRESHOLD
    p = np.clip(probabilities.astype(np.float64), _SMALLEST, 1 - _SMALLEST)
    logits = np.log(p / (1 - p))
    false, found, thresholds = roc_curve(tumor, logits, drop_intermediate=False)
    index = found - false
    best = int(np.argmax(index))
    if index[best] <= 0:  # no threshold tells them apart
        return TUMOR_THRESHOLD
    variance = found[best] * (1 - found[best]) / tumor.sum()
    variance += false[best] * (1 - false[best]) / (~tumor).sum()
    lowest = thresholds[np.flatnonzero(index >= index[best] - np.sqrt(variance))[-1]]
    below = logits[logits < lowest]
    middle = (lowest + below.max()) / 2 if len(below) else lowest
    return round(float(1 / (1 + np.exp(-middle))), 6)
