"""timm's classifiers by `timm:NAME`, with a grey stem and their own pretrained weights.

Only names of timm's own registry: one that would fetch a network's description from elsewhere
(`hf-hub:…`) is none. Filling a network is `edge_mri_train.networks.initial_weights`; needs the
extra `timm`.
"""

import difflib
import re
import urllib.error
import urllib.request
import warnings
from typing import Any

import torch
from torch import nn

from edge_mri.errors import OptionError
from edge_mri_train.errors import ArchitectureError, InitialWeightsError, first_line

PREFIX = "timm:"

_NAME = re.compile(r"[\w.-]+")

_PATIENCE_S = 10

Colours = tuple[tuple[float, ...], tuple[float, ...]]


def is_timm(name: str) -> bool:
    """Return whether an architecture's name is one of timm's."""
    return name.startswith(PREFIX)


def require_timm(name: str) -> None:
    """Raise `ArchitectureError` where timm has no network of this name."""
    import timm

    own = name.removeprefix(PREFIX)
    if not _NAME.fullmatch(own) or not timm.is_model(own):
        close = difflib.get_close_matches(own, timm.list_models(), n=2)
        raise ArchitectureError(name, [f"{PREFIX}{one}" for one in close])


def build_timm(name: str, num_classes: int, size: int) -> nn.Module:
    """Build a network of timm's with random weights and a stem that takes one channel.

    The stem has a bias, also where timm's has none: that is where the normalisation of pretrained
    weights goes.
    """
    network = _created(name, size, num_classes=num_classes, in_chans=1)
    stem = stem_of(network)
    if stem is not None and stem.bias is None:
        stem.bias = nn.Parameter(torch.zeros(stem.out_channels))
    return network


def stem_of(network: nn.Module) -> nn.Conv2d | None:
    """Return the layer that takes the image; None where there are several, or it is not linear."""
    stems = [
        one for one in network.modules() if isinstance(one, nn.Conv2d) and one.in_channels == 1
    ]
    if len(stems) != 1 or not _is_linear(stems[0]):
        return None
    return stems[0]


def colours_of(name: str) -> Colours:
    """Return mean and deviation that timm normalises this network's colours with."""
    import timm

    settings = timm.get_pretrained_cfg(name.removeprefix(PREFIX))
    return tuple(settings.mean), tuple(settings.std)


def require_pretrained(name: str) -> None:
    """Raise `InitialWeightsError` where timm has no pretrained weights for a network."""
    import timm

    if not timm.models.is_model_pretrained(name.removeprefix(PREFIX)):
        raise InitialWeightsError(
            f"timm has no pretrained weights for {name}; use --init-weights none or a file"
        )


def pretrained_state(name: str, size: int) -> dict[str, torch.Tensor]:
    """Return timm's pretrained weights for images of a size, its colour stem as it is.

    Raises:
        InitialWeightsError: There are none, or they cannot be had.
    """
    from huggingface_hub import constants

    require_pretrained(name)
    offline = constants.HF_HUB_OFFLINE
    try:
        # Else its client tries for most of a minute; what it downloaded before is still found.
        constants.HF_HUB_OFFLINE = offline or not _is_reachable(constants.ENDPOINT)
        network = _created(name, size, pretrained=True)
    except Exception as error:  # the hub's errors, and those of what it is reached by
        where = constants.ENDPOINT
        reason = first_line(error)[:160]
        if constants.HF_HUB_OFFLINE:
            reason = "offline mode is set" if offline else "it cannot be reached"
        raise InitialWeightsError(
            f"the pretrained weights of {name} cannot be had from {where}: {reason}; use "
            "--init-weights FILE with model.safetensors from elsewhere, or none"
        ) from error
    finally:
        constants.HF_HUB_OFFLINE = offline
    return network.state_dict()


def require_size(name: str, network: nn.Module, state: dict[str, torch.Tensor]) -> None:
    """Raise `InitialWeightsError` where a state's positions are those of another image size."""
    own = network.state_dict()
    for key, value in state.items():
        if "pos_embed" in key and key in own and own[key].shape != value.shape:
            raise InitialWeightsError(
                f"the weights of {name} were made for images of another size: {key} is "
                f"{tuple(value.shape)}, expected {tuple(own[key].shape)}; use the --image-size "
                "that they are for"
            )


def _is_reachable(address: str) -> bool:
    request = urllib.request.Request(address, method="HEAD")  # follows the system's proxies
    try:
        urllib.request.urlopen(request, timeout=_PATIENCE_S).close()
    except urllib.error.HTTPError:
        return True
    except (OSError, ValueError):
        return False
    return True


def _created(name: str, size: int, **options: Any) -> nn.Module:
    import timm

    own = name.removeprefix(PREFIX)
    fixed = {"img_size": size} if timm.get_pretrained_cfg(own).fixed_input_size else {}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of names that timm deprecates
            network: nn.Module = timm.create_model(own, **options, **fixed)
    except TypeError as error:
        raise OptionError(f"timm cannot make {name} grey: {first_line(error)}") from error
    return network


@torch.inference_mode()
def _is_linear(stem: nn.Conv2d) -> bool:
    """Return whether twice the weights give twice the answer, as standardised ones do not."""
    if stem.padding_mode != "zeros" or stem.weight.is_meta:
        return False
    image = torch.ones(1, 1, 4 * stem.kernel_size[0], 4 * stem.kernel_size[1])
    weight, bias = stem.weight.data, stem.bias
    if bias is not None:
        image = torch.cat([image, torch.zeros_like(image)])
    before = stem(image)
    stem.weight.data = 2 * weight
    after = stem(image)
    stem.weight.data = weight
    if bias is not None:
        before, after = before[:1] - before[1:], after[:1] - after[1:]
    return torch.allclose(after, 2 * before, rtol=1e-3, atol=1e-5)
