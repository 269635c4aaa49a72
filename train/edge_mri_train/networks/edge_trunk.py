"""The trunk of `edge_net`: a thin residual network of dense 3 x 3 convolutions.

Made for INT8 on a CPU core: no depthwise convolution, no squeeze-and-excitation, nothing but
ReLU. At 160 px it takes about 100 million multiplications.
"""

import torch
from torch import nn

CHANNELS = (64, 128, 192)
"""Channels at strides 8, 16 and 32."""


class EdgeTrunk(nn.Module):
    """Maps `(N, 1, S, S)` to features at strides 8, 16 and 32."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            _convolution(1, 16, stride=2), _convolution(16, 24, stride=2), Residual(24)
        )
        self.fine = nn.Sequential(_convolution(24, 64, stride=2), Residual(64))
        self.middle = nn.Sequential(_convolution(64, 128, stride=2), Residual(128))
        self.coarse = _convolution(128, 192, stride=2)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return `(N, 64, S/8, S/8)`, `(N, 128, S/16, S/16)` and `(N, 192, S/32, S/32)`."""
        fine = self.fine(self.stem(x))
        middle = self.middle(fine)
        return fine, middle, self.coarse(middle)


class Residual(nn.Module):
    """Two 3 x 3 convolutions and a shortcut (He et al. 2016, arXiv 1512.03385)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = _convolution(channels, channels)
        self.second = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels)
        )
        self.relu = nn.ReLU()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return `(N, C, H, W)` of the same shape."""
        changed: torch.Tensor = self.relu(x + self.second(self.first(x)))
        return changed


def _convolution(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
    )
