"""A share of the starting weights in what a run keeps: what was known before is not lost.

Weights of a network that was fine-tuned lie where the way back to the starting ones is level; in
between, a network often stands better on images from elsewhere than at either end (Wortsman et al.
2022, "Robust fine-tuning of zero-shot models", arXiv 2109.01903).
"""

import math
from collections.abc import Mapping

import torch
from torch import nn

from edge_mri_train.networks.architectures import normalise

_BATCH = 128


def go_back(
    network: nn.Module, start: Mapping[str, torch.Tensor], share: float, pixels: torch.Tensor
) -> None:
    """Move a network's weights towards where it started, in place; leaves it in eval mode.

    Args:
        network: Trained.
        start: Its state before, without what was random: that stays as it was trained.
        share: How far: 0 leaves it, 1 is the start.
        pixels: `(N, 1, S, S)` uint8, on which BatchNorm's statistics are measured anew.
    """
    network.load_state_dict(
        {
            name: torch.lerp(value, start[name].to(value), share)
            if name in start and value.is_floating_point()
            else value
            for name, value in network.state_dict().items()
        }
    )
    measure_norms(network, pixels)


@torch.no_grad()
def measure_norms(network: nn.Module, pixels: torch.Tensor) -> None:
    """Measure BatchNorm's statistics anew; everything else computes as in use.

    Images come shuffled, always in the same way, and in equal parts: in the order of folders a
    part would have one class, and what lies between classes would be missing from the variance.
    """
    network.eval()
    norms = [one for one in network.modules() if isinstance(one, nn.modules.batchnorm._BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the plain mean of all parts
        norm.train()
    device = next(network.parameters()).device
    order = torch.randperm(len(pixels), generator=torch.Generator().manual_seed(0))
    for part in torch.tensor_split(pixels[order], math.ceil(len(pixels) / _BATCH)):
        network(normalise(part.to(device)))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    network.eval()
