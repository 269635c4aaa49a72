"""The networks by name: our own, every classifier of torchvision and timm, the user's functions.

`NAME_lesion` is a torchvision classifier's trunk with the lesion map of `edge_net`. Where no type
means that nothing is found there is no lesion to look for, and both end in a linear layer.

A network maps `(N, 1, S, S)` float in 0..1 to `(N, K)` logits; `normalise` is the step before it
and the first node of the exported graph.
"""

import difflib

import torch
import torchvision
from torch import nn

from edge_mri.errors import OptionError
from edge_mri.labels import LabelSpace
from edge_mri_train.errors import ArchitectureError, first_line
from edge_mri_train.networks.artemis_cnn import ArtemisCnn
from edge_mri_train.networks.edge_trunk import CHANNELS, EdgeTrunk
from edge_mri_train.networks.lesion_network import LesionNetwork, PlainNetwork
from edge_mri_train.networks.own_network import build_own, is_own
from edge_mri_train.networks.timm_network import build_timm, is_timm, require_timm
from edge_mri_train.networks.torchvision_trunk import TRUNKS, TorchvisionTrunk

INPUT_SCALE = 1 / 255

_MOMENTUM = 0.1  # of BatchNorm's running statistics

_LESION = "_lesion"
_OURS = ("edge_net", "artemis_cnn", *(f"{trunk}{_LESION}" for trunk in TRUNKS))


def names() -> list[str]:
    """Return the names of our own architectures and torchvision's."""
    return [*_OURS, *torchvision.models.list_models(module=torchvision.models)]


def require_known(name: str) -> None:
    """Raise `ArchitectureError` where there is no network of this name.

    A function of the user's is not looked at: that would run its module.
    """
    if is_timm(name):
        require_timm(name)
    elif not is_own(name) and name not in names():
        raise ArchitectureError(name, difflib.get_close_matches(name, names(), n=2))


def build(name: str, num_classes: int, size: int, labels: LabelSpace | None = None) -> nn.Module:
    """Build a network with random weights.

    Args:
        name: One of `names`, `timm:NAME`, or `package.module:function`, whose code is run.
        num_classes: Number of logits K.
        size: Side S of the square input, in pixels.
        labels: The K classes, which networks with a lesion map must know; None: the default
            space, with planes where K has them.

    Raises:
        ArchitectureError: There is no network of this name.
        FactoryError: The user's function makes none.
        OptionError: The network does not work on images of this size.
    """
    require_known(name)
    if is_own(name):
        return build_own(name, num_classes, size)
    try:
        network = _random_network(name, num_classes, size, labels or _default_space(num_classes))
        _try_out(network, size)
    except (AssertionError, RuntimeError, ValueError) as error:
        reason = first_line(error)
        raise OptionError(f"{name} cannot be built for {size} px images: {reason}") from error
    return network


def _default_space(num_classes: int) -> LabelSpace:
    space = LabelSpace()
    return space.without_planes() if num_classes == len(space.types) else space


def _with_head(
    trunk: nn.Module, channels: tuple[int, int, int], num_classes: int, labels: LabelSpace
) -> nn.Module:
    if labels.absent is None:
        return PlainNetwork(trunk, channels, num_classes)
    return LesionNetwork(trunk, channels, labels)


def _random_network(name: str, num_classes: int, size: int, labels: LabelSpace) -> nn.Module:
    if name == "artemis_cnn":
        return ArtemisCnn(num_classes, size=size)
    if name == "edge_net":
        return _with_head(EdgeTrunk(), CHANNELS, num_classes, labels)
    if name.endswith(_LESION):
        base = name.removesuffix(_LESION)
        trunk = TorchvisionTrunk(base, _random_network(base, num_classes, size, labels))
        return _with_head(trunk, trunk.channels, num_classes, labels)
    if is_timm(name):
        return build_timm(name, num_classes, size)
    builder = torchvision.models.get_model_builder(name)
    options: dict[str, object] = {"num_classes": num_classes}
    if name in ("googlenet", "inception_v3"):
        options |= {"aux_logits": False, "init_weights": True}
    if name.startswith("vit_"):
        options["image_size"] = size
    network: nn.Module = builder(weights=None, **options)
    grey_stem(network)
    _quicken_norms(network)
    return network


def _quicken_norms(network: nn.Module) -> None:
    """Let BatchNorm's statistics follow the weights within tens of steps, as PyTorch's default.

    Some of torchvision's networks average over hundreds or thousands (momentum 0.01 in MobileNetV3,
    3e-4 in MNASNet), made for runs of hundreds of ImageNet epochs; in a short one the network that
    is validated would be another than the one that is trained.
    """
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d) and module.momentum is not None:
            module.momentum = max(module.momentum, _MOMENTUM)


def set_dropout(network: nn.Module, probability: float) -> None:
    """Give every dropout layer this probability; raises `OptionError` if there is none."""
    layers = [one for one in network.modules() if isinstance(one, nn.Dropout)]
    if not layers:
        raise OptionError("dropout is set, and the network has no dropout layer; leave it out")
    for layer in layers:
        layer.p = probability


@torch.inference_mode()
def _try_out(network: nn.Module, size: int) -> None:
    """Answer one black image: most networks say only then that it is too small for them."""
    network.eval()(torch.zeros(1, 1, size, size))
    network.train()


def grey_stem(network: nn.Module) -> None:
    """Replace the first three-channel convolution by a one-channel one with summed weights."""
    for path, module in network.named_modules():
        if isinstance(module, nn.Conv2d) and module.in_channels == 3:
            grey = nn.Conv2d(
                1,
                module.out_channels,
                module.kernel_size,  # type: ignore[arg-type]
                module.stride,  # type: ignore[arg-type]
                module.padding,  # type: ignore[arg-type]
                bias=module.bias is not None,
            )
            grey.weight.data = module.weight.data.sum(dim=1, keepdim=True)
            if module.bias is not None and grey.bias is not None:
                grey.bias.data = module.bias.data
            parent, _, child = path.rpartition(".")
            setattr(network.get_submodule(parent), child, grey)
            return


def normalise(batch: torch.Tensor) -> torch.Tensor:
    """Turn `(N, 1, S, S)` uint8 network input into float in 0..1."""
    return batch.float() * INPUT_SCALE
