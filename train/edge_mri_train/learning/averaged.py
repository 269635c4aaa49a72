"""Exponential moving average of a network's weights, which is what validation sees and a run keeps.

Polyak averaging with the warm-up that young averages need: the decay of step n is at most
(1 + n) / (10 + n).
"""

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel


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
