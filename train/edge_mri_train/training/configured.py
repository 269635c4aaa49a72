"""What a run's configuration names: the device, the network with random weights, its defaults.

Defaults are only what depends on the network: `--arch edge_net` takes size, epochs, learning rate
and starting weights of `--recipe edge_net_scratch`, and not how images are changed.
"""

from dataclasses import dataclass, fields

import torch
from torch import nn

from edge_mri.errors import DeviceError, OptionError
from edge_mri.labels import LabelSpace
from edge_mri_train.learning.last_layers import last_layer
from edge_mri_train.learning.ranks import Ranks
from edge_mri_train.networks.architectures import build, require_known, set_dropout
from edge_mri_train.networks.lesion_network import LesionNetwork, PlainNetwork
from edge_mri_train.networks.own_network import is_own
from edge_mri_train.settings.config import TrainConfig
from edge_mri_train.settings.recipe_files import read_recipe, recipe_names


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
    if config.frozen_trunk in ("first", "always") and not (
        isinstance(network, LesionNetwork) or last_layer(network, num_classes)
    ):
        raise OptionError(
            f"frozen_trunk fits the linear layer that a network ends in, and {config.arch} ends in "
            "something else; leave it out"
        )
    if config.refit and not isinstance(network, LesionNetwork | PlainNetwork):
        raise OptionError(
            f"refit fits the last layers of a network with a lesion map, and {config.arch} "
            "has none; leave it out of the recipe"
        )
    return network


@dataclass(frozen=True)
class Defaults:
    """Fields of `TrainConfig`.

    Attributes:
        image_size: Side of the network's square input, in pixels.
        epochs: Passes over the training images.
        learning_rate: Peak of the schedule.
        init_weights: Where its weights start.
    """

    image_size: int = 160
    epochs: int = 12
    learning_rate: float = 5e-4
    init_weights: str = "imagenet"


def defaults_of(arch: str) -> Defaults:
    """Return the defaults of an architecture; raises `ArchitectureError`."""
    require_known(arch)
    if is_own(arch):  # it may give weights of its own
        return Defaults(init_weights="none")
    named = {f"{arch}_scratch", arch} & set(recipe_names())
    stages = read_recipe(max(named, key=len)) if named else []
    own = next((one.values for one in stages if one.values["arch"] == arch), {})
    return Defaults(**{one.name: own[one.name] for one in fields(Defaults) if one.name in own})
