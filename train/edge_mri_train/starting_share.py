"""A share of the starting weights in what a run keeps: what was known before is not lost.

Weights of a network that was fine-tuned lie where the way back to the starting ones is level; in
between, a network often stands better on images from elsewhere than at either end (Wortsman et al.
2022, "Robust fine-tuning of zero-shot models", arXiv 2109.01903).
"""

from collections.abc import Mapping

import torch
from torch import nn
from torch.optim.swa_utils import update_bn

from edge_mri_train.architectures import normalise

_BATCH = 128


def go_back(
    network: nn.Module, start: Mapping[str, torch.Tensor], share: float, pixels: torch.Tensor
) -> None:
    """Move a network's weights towards where it started, in place; leaves it in eval mode.

    Args:
        network: Trained.
        start: Its state before.
        share: How far: 0 leaves it, 1 is the start.
        pixels: `(N, 1, S, S)` uint8, on which BatchNorm's statistics are measured anew.
    """
    device = next(network.parameters()).device
    network.load_state_dict(
        {
            name: torch.lerp(value, start[name].to(value), share)
            if value.is_floating_point()
            else value
            for name, value in network.state_dict().items()
        }
    )
    update_bn((normalise(batch.to(device)) for batch in torch.split(pixels, _BATCH)), network)
    network.eval()
