"""The marginal likelihood: one loss for images labelled with type and plane, or type alone.

An image's label names a set of classes, one or several types in one or all planes; the loss is
the negative log of their summed probability. With one class it is the cross entropy.
"""

from collections import Counter
from collections.abc import Sequence

import torch

from edge_mri.labels import Label, LabelSpace


def class_masks(labels: Sequence[Label], space: LabelSpace) -> torch.Tensor:
    """Return `(N, K)` bool: the classes of the space that each label allows."""
    return torch.tensor(
        [
            [
                one.type in label.types
                and (None in (one.plane, label.plane) or one.plane == label.plane)
                for one in space.classes
            ]
            for label in labels
        ]
    )


def balanced_weights(labels: Sequence[Label]) -> torch.Tensor:
    """Return `(N,)` float weights with which each label that occurs counts the same; mean 1."""
    counts = Counter(labels)
    return torch.tensor([len(labels) / (len(counts) * counts[label]) for label in labels])


def marginal_loss(
    logits: torch.Tensor,
    masks: torch.Tensor,
    smoothing: float = 0.0,
    weights: torch.Tensor | None = None,
    mixed: tuple[torch.Tensor, torch.Tensor] | None = None,
) -> torch.Tensor:
    """Return the mean loss of a batch.

    Args:
        logits: `(N, K)` float.
        masks: `(N, K)` bool, the classes that each image's label allows.
        smoothing: Weight of a uniform target over all classes, 0 to 1 (label smoothing).
        weights: `(N,)` weight of each image in the mean; None: all alike.
        mixed: `(N, K)` bool, what a second label of each image allows, and `(N,)` the share of the
            first, 0 to 1; None: each image has one.
    """
    log_probabilities = logits.log_softmax(dim=1)
    allowed = _log_sum(log_probabilities, masks)
    if mixed is not None:
        others, shares = mixed
        allowed = shares * allowed + (1 - shares) * _log_sum(log_probabilities, others)
    loss = -(1 - smoothing) * allowed - smoothing * log_probabilities.mean(dim=1)
    return loss.mean() if weights is None else (loss * weights).sum() / weights.sum()


def _log_sum(log_probabilities: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
    return log_probabilities.masked_fill(~masks, -torch.inf).logsumexp(dim=1)
