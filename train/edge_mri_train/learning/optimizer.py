"""What moves the weights: AdamW, the one cycle of its learning rate, and an average of the steps.

Loshchilov and Hutter 2019 (arXiv 1711.05101); Smith and Topin 2018 (arXiv 1708.07120). The average
is an exponential one (Polyak) with the warm-up that young averages need: the decay of step n is at
most (1 + n) / (10 + n). Validation sees it, and a run keeps it.
"""

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

from edge_mri_train.settings.config import TrainConfig


def adamw(trained: nn.Module, config: TrainConfig) -> torch.optim.AdamW:
    """Return the optimizer; weight decay is for matrices and kernels, not for norms and biases."""
    parameters = [one for one in trained.parameters() if one.requires_grad]
    return torch.optim.AdamW(
        [
            {
                "params": [one for one in parameters if one.ndim > 1],
                "weight_decay": config.weight_decay,
            },
            {"params": [one for one in parameters if one.ndim <= 1], "weight_decay": 0.0},
        ],
        config.learning_rate,
    )


def one_cycle(
    optimizer: torch.optim.Optimizer, config: TrainConfig, steps: int
) -> torch.optim.lr_scheduler.OneCycleLR:
    """Return the schedule of `steps` batches: a rise, then a cosine down to nearly 0.

    The rise is at least two steps, where there are three: torch divides by its length less one.
    """
    total = max(steps, 3)
    rise = min(max(config.warm_up * total, 2.0), total - 1)
    return torch.optim.lr_scheduler.OneCycleLR(
        optimizer, config.learning_rate, total_steps=total, pct_start=rise / total
    )


def averaged(network: nn.Module, decay: float) -> AveragedModel:
    """Return the average of a network's weights and statistics; update it after each step.

    Args:
        network: What is trained.
        decay: Share of the average that stays at a step, below 1.
    """

    def average(
        mean: torch.Tensor, current: torch.Tensor, count: torch.Tensor | int
    ) -> torch.Tensor:
        if not mean.is_floating_point():
            return current
        share = min(decay, (1 + int(count)) / (10 + int(count)))
        return torch.lerp(current.to(mean.dtype), mean, share)

    return AveragedModel(network, avg_fn=average, use_buffers=True)
