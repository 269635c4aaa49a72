"""What a run's configuration names: the device and the network, with random weights."""

import torch
from torch import nn

from edge_mri.errors import DeviceError, OptionError
from edge_mri.labels import LabelSpace
from edge_mri_train.learning.ranks import Ranks
from edge_mri_train.networks.architectures import build, set_dropout
from edge_mri_train.networks.lesion_network import LesionNetwork, PlainNetwork
from edge_mri_train.settings.config import TrainConfig


def resolve_device(name: str, ranks: Ranks | None = None) -> torch.device:
    """Return the torch device for `auto`, `cpu` or `cuda`; `DeviceError` if it is not there."""
    if name == "cuda" and not torch.cuda.is_available():
        raise DeviceError("CUDA was asked for, but torch finds no usable GPU; use --device cpu")
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and ranks is not None:
        return torch.device("cuda", ranks.local)
    return torch.device(name)


def build_network(
    config: TrainConfig, num_classes: int, labels: LabelSpace | None = None
) -> nn.Module:
    """Build a run's network with random weights; `OptionError` where settings do not fit it."""
    network = build(config.arch, num_classes, config.image_size, labels)
    if config.dropout is not None:
        set_dropout(network, config.dropout)
    if config.refit and not isinstance(network, LesionNetwork | PlainNetwork):
        raise OptionError(
            f"refit fits the last layers of a network with a lesion map, and {config.arch} "
            "has none; leave it out of the recipe"
        )
    return network
