"""Temperature scaling: one number that makes probabilities as sure as they are right.

Guo et al. 2017, "On Calibration of Modern Neural Networks" (arXiv 1706.04599). Fitted on
validation images, never on those the network learned from, nor on a test folder.
"""

import torch

from edge_mri_train.learning.loss import marginal_loss

_LOWEST, _HIGHEST = 0.2, 5.0
_STEPS = 60
_GOLDEN = (5**0.5 - 1) / 2


def fit_temperature(logits: torch.Tensor, allowed: torch.Tensor) -> float:
    """Return the temperature with the smallest negative log likelihood, 0.2 to 5.

    Args:
        logits: `(N, K)` float of validation images.
        allowed: `(N, K)` bool, the classes that each image's label allows.
    """

    def loss(log_temperature: float) -> float:
        return float(marginal_loss(logits / torch.tensor(log_temperature).exp(), allowed))

    low, high = (float(torch.tensor(one).log()) for one in (_LOWEST, _HIGHEST))
    for _ in range(_STEPS):  # the likelihood has one optimum in 1 / temperature
        span = _GOLDEN * (high - low)
        left, right = high - span, low + span
        if loss(left) < loss(right):
            high = right
        else:
            low = left
    return round(float(torch.tensor((low + high) / 2).exp()), 4)
