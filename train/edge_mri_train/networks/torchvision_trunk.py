"""Trunks cut from torchvision's classifiers, for large networks with a lesion map."""

import torch
from torch import nn
from torchvision.models.feature_extraction import create_feature_extractor

_RESNET = ("layer2", "layer3", "layer4")
NODES = {
    "mobilenet_v2": ("features.6", "features.13", "features.17"),
    "mobilenet_v3_large": ("features.6", "features.12", "features.15"),
    "resnet18": _RESNET,
    "resnet34": _RESNET,
    "resnet50": _RESNET,
}
"""Where torchvision classifiers have their features at strides 8, 16 and 32, by name."""

TRUNKS = tuple(NODES)
"""The classifiers of `NODES`."""


class TorchvisionTrunk(nn.Module):
    """Maps `(N, 1, S, S)` to a classifier's features at strides 8, 16 and 32.

    Args:
        name: One of `TRUNKS`.
        network: The classifier, its stem grey already; its head is left out.

    Attributes:
        channels: Channels of the three features.
    """

    def __init__(self, name: str, network: nn.Module) -> None:
        super().__init__()
        self.body = create_feature_extractor(network, list(NODES[name]))
        with torch.no_grad():
            features = self.body.eval()(torch.zeros(1, 1, 64, 64))
        self.body.train()
        fine, middle, coarse = (features[node].shape[1] for node in NODES[name])
        self.channels: tuple[int, int, int] = (fine, middle, coarse)
        self._nodes = NODES[name]

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return the features at strides 8, 16 and 32."""
        features = self.body(x)
        return tuple(features[node] for node in self._nodes)
