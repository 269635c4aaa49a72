"""A network that looks for the lesion first, and answers type and plane from what it found.

Any trunk with features at strides 8, 16 and 32 takes the head: a small feature pyramid (Lin et al.
2017, arXiv 1612.03144) to a lesion map at stride 8. The mean of the map's highest cells is the
evidence for a tumour, to which `edge_mri_train.learning.last_layers` may add what the features
there look like; the type is read from those and the whole image, the plane from the whole image.
The class probabilities are composed of the three.
"""

from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional

from edge_mri.labels import LabelSpace

STRIDE = 8
"""Side of a cell of the lesion map, in pixels of the input."""

_PEAK_CELLS = 6
_PYRAMID_CHANNELS = 64
_RARE = -3.0  # log odds of a lesion in a cell, before training


class LesionAnswer(NamedTuple):
    """What the network says of N images, before it is composed.

    Attributes:
        lesion: `(N, 1, S/8, S/8)` log odds of the share of the cell that a lesion covers.
        peak: `(N,)` mean of the map's highest cells.
        tumor: `(N,)` log odds of any tumour.
        types: `(N, T - 1)` logits of the types but the absent one, given one of them.
        planes: `(N, P)` logits of the plane; P = 0 for a network that knows no planes.
        embedding: `(N, D)` pooled features.
        absent: Position of the absent type among the T; -1: it is the last.
    """

    lesion: torch.Tensor
    peak: torch.Tensor
    tumor: torch.Tensor
    types: torch.Tensor
    planes: torch.Tensor
    embedding: torch.Tensor
    absent: int = -1

    def log_probabilities(self) -> torch.Tensor:
        """Return `(N, K)` log probabilities of the classes, types outermost.

        In float32 also where a training step computes in less: they are to sum to 1.
        """
        # exp(-tumor) is to 1, the sum of all types, as P(no tumour) is to P(tumour).
        types, none = self.types.float().log_softmax(dim=1), -self.tumor.float().unsqueeze(1)
        if self.absent in (-1, types.shape[1]):
            odds = torch.cat([types, none], dim=1)
        elif self.absent == 0:
            odds = torch.cat([none, types], dim=1)
        else:
            odds = torch.cat([types[:, : self.absent], none, types[:, self.absent :]], dim=1)
        if self.planes.shape[1]:
            odds = (odds.unsqueeze(2) + self.planes.float().unsqueeze(1)).flatten(1)
        return odds.log_softmax(dim=1)


class LesionNetwork(nn.Module):
    """A trunk with a lesion map, a type and a plane head.

    Args:
        trunk: Maps `(N, 1, S, S)` to three features, at strides 8, 16 and 32.
        channels: Their channels.
        space: The classes; one of the types is absent.
    """

    def __init__(self, trunk: nn.Module, channels: tuple[int, int, int], space: LabelSpace) -> None:
        super().__init__()
        planes = len(space.planes)
        self._absent = space.types.index(str(space.absent))
        width = _PYRAMID_CHANNELS
        self.trunk = trunk
        self.laterals = nn.ModuleList([nn.Conv2d(one, width, 1) for one in channels])
        self.smooth = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU()
        )
        self.map = nn.Conv2d(width, 1, 1)
        nn.init.constant_(self.map.bias, _RARE)  # type: ignore[arg-type]
        self.evidence = nn.Parameter(torch.tensor([1.0, 0.0]))  # gain and offset of the peak
        self.appearance = _silent(nn.Linear(width + channels[1], 1))
        self.dropout = nn.Dropout(0.1)
        self.types = nn.Linear(width + channels[1] + channels[2], len(space.types) - 1)
        self.planes = nn.Linear(channels[2], planes) if planes else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map `(N, 1, S, S)` float in 0..1 to `(N, K)` log probabilities."""
        return self.answer(x).log_probabilities()

    def outputs(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return what an exported graph gives: `logits`, `lesion` in 0..1, and `embedding`."""
        answer = self.answer(x)
        return {
            "logits": answer.log_probabilities(),
            "lesion": answer.lesion.sigmoid(),
            "embedding": answer.embedding,
        }

    def answer(self, x: torch.Tensor) -> LesionAnswer:
        """Return the parts of the answer to `(N, 1, S, S)` float in 0..1."""
        fine, middle, coarse = self.trunk(x)
        top = self.laterals[1](middle) + _enlarged(self.laterals[2](coarse), middle)
        pyramid = self.smooth(self.laterals[0](fine) + _enlarged(top, fine))
        lesion = self.map(pyramid)
        peak = lesion.flatten(1).topk(_PEAK_CELLS, dim=1).values.mean(dim=1)
        attention = lesion.detach().sigmoid()
        whole = coarse.mean(dim=(2, 3))
        near = torch.cat(
            [
                _attended(pyramid, attention),
                _attended(middle, functional.adaptive_avg_pool2d(attention, middle.shape[2:])),
            ],
            dim=1,
        )
        embedding = torch.cat([near, whole], dim=1)
        looks = self.appearance(near).squeeze(1)
        return LesionAnswer(
            lesion,
            peak,
            self.evidence[0] * peak + self.evidence[1] + looks,
            self.types(self.dropout(embedding)),
            whole[:, :0] if self.planes is None else self.planes(self.dropout(whole)),
            embedding,
            self._absent,
        )


class PlainNetwork(nn.Module):
    """A trunk with one linear layer, for classes of which none means that nothing is found.

    The layer reads the features of all three strides: what tells such classes apart need not be
    what the coarsest were made for (docs/decisions/0068).

    Args:
        trunk: As for `LesionNetwork`.
        channels: Of its features.
        num_classes: K.
    """

    def __init__(self, trunk: nn.Module, channels: tuple[int, int, int], num_classes: int) -> None:
        super().__init__()
        self.trunk = trunk
        self.dropout = nn.Dropout(0.1)
        self.classes = nn.Linear(sum(channels), num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map `(N, 1, S, S)` float in 0..1 to `(N, K)` logits."""
        fine, middle, coarse = self.trunk(x)
        finer = torch.cat([_halved(fine), middle], dim=1)
        features = torch.cat([_halved(finer), coarse], dim=1)
        logits: torch.Tensor = self.classes(self.dropout(features.mean(dim=(2, 3))))
        return logits


def _halved(features: torch.Tensor) -> torch.Tensor:
    """Return features at twice the stride; a side is halved as convolutions halve it, upwards."""
    return functional.avg_pool2d(features, 2, ceil_mode=True)


def _silent(layer: nn.Linear) -> nn.Linear:
    """Return a layer that answers 0 and does not learn by gradients."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
        parameter.requires_grad_(False)
    return layer


def _enlarged(coarse: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    side = like.shape[2]
    if side == 2 * coarse.shape[2]:  # a factor is one node in the exported graph, a size is four
        return functional.interpolate(coarse, scale_factor=2.0, mode="nearest")
    return functional.interpolate(coarse, size=(side, side), mode="nearest")


def _attended(features: torch.Tensor, attention: torch.Tensor) -> torch.Tensor:
    """Return `(N, C)` features averaged with the map's weights; all alike where it is empty."""
    weights = attention + 1e-3
    return (features * weights).sum(dim=(2, 3)) / weights.sum(dim=(2, 3))
