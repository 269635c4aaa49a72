"""The 12-class baseline of the Erdos "Artemis" project: five sigmoid convolutions, 82,104 weights.

The count holds for a three-channel stem at 150 px; with the grey stem used here it is 81,848.
"""

import torch
from torch import nn

_STAGES = ((32, 2), (64, 3), (32, 3), (32, 3), (64, 2))  # channels, kernel side
_SIGMOID_GAIN = 4.0


class ArtemisCnn(nn.Module):
    """Unpadded convolutions, each with a sigmoid and a 2 x 2 max pool, then a dense head.

    Args:
        num_classes: Number of logits.
        in_channels: 1 for grey, 3 for the original's colour stem.
        size: Side of the square input in pixels; the dense head depends on it.
    """

    def __init__(self, num_classes: int = 12, in_channels: int = 1, size: int = 150) -> None:
        super().__init__()
        stages: list[nn.Module] = []
        channels, side = in_channels, size
        for out_channels, kernel in _STAGES:
            stages += [nn.Conv2d(channels, out_channels, kernel), nn.Sigmoid(), nn.MaxPool2d(2)]
            channels, side = out_channels, (side - kernel + 1) // 2
        if side < 1:
            raise ValueError("its five stages leave no pixel")
        self.features = nn.Sequential(*stages)
        self.head = nn.Sequential(
            nn.Flatten(),
            nn.Linear(channels * side * side, 44),
            nn.Sigmoid(),
            nn.Linear(44, 32),
            nn.Sigmoid(),
            nn.Linear(32, num_classes),
        )
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                _awaken(module, centred=module is not self.features[0])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map `(N, in_channels, size, size)` float in 0..1 to `(N, num_classes)` logits."""
        logits: torch.Tensor = self.head(self.features(x))
        return logits


@torch.no_grad()
def _awaken(layer: nn.Conv2d | nn.Linear, *, centred: bool) -> None:
    """Give a layer weights with which a stack of sigmoids begins to learn.

    Glorot's uniform ones, four times as large since a sigmoid's slope is a quarter (Glorot and
    Bengio 2010), and biases that take off the 0.5 that sigmoids give of nothing. With Glorot's
    alone seven sigmoids say the same of every image for ten epochs and more.
    """
    nn.init.xavier_uniform_(layer.weight, gain=_SIGMOID_GAIN)
    assert layer.bias is not None  # all of them have one
    nn.init.zeros_(layer.bias)
    if centred:
        layer.bias.sub_(0.5 * layer.weight.flatten(1).sum(dim=1))
