"""Random changes of training images that MR allows: pose, flip, contrast.

Whole batches at once, so that the data path never waits. Colour has no place here: MR is grey.
"""

import math

import torch
from torch.nn import functional

_ROTATION_DEG = 15.0
_SCALE = 0.12
_SHIFT = 0.06
_LOG_GAMMA = 0.35
_GAIN = 0.15


def augment(batch: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Return a randomly changed copy of `(N, 1, S, S)` float images in 0..1.

    Args:
        batch: The images, on any device.
        generator: A CPU generator; the same state gives the same changes.
    """
    count = len(batch)

    def uniform(limit: float) -> torch.Tensor:
        return (2 * torch.rand(count, generator=generator) - 1) * limit

    angle = uniform(math.radians(_ROTATION_DEG))
    scale = 1 + uniform(_SCALE)
    flip = torch.where(torch.rand(count, generator=generator) < 0.5, -1.0, 1.0)
    cos, sin = torch.cos(angle) * scale, torch.sin(angle) * scale
    rows = [cos * flip, -sin, uniform(2 * _SHIFT), sin * flip, cos, uniform(2 * _SHIFT)]
    matrices = torch.stack(rows, dim=1).view(count, 2, 3).to(batch.device)
    grid = functional.affine_grid(matrices, list(batch.shape), align_corners=False)
    moved = functional.grid_sample(batch, grid, align_corners=False)
    gamma = torch.exp(uniform(_LOG_GAMMA)).view(-1, 1, 1, 1).to(batch.device)
    gain = (1 + uniform(_GAIN)).view(-1, 1, 1, 1).to(batch.device)
    return (moved.clamp(min=1e-6).pow(gamma) * gain).clamp(0, 1)
