"""Starting weights: pretrained by torchvision's or timm's name, our own that ship, a file, none.

ImageNet networks take three channels normalised by mean and deviation; ours take one grey
channel in 0..1. The loader folds the difference into the stem, so that a grey image gives the same
features, but for the rim where a padded stem looks beyond the image. It also undoes a BatchNorm
that was folded away before the weights were stored.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torchvision
from torch import nn

from edge_mri_train.errors import InitialWeightsError, first_line
from edge_mri_train.networks.own_network import is_own
from edge_mri_train.networks.tensor_file import read_tensors
from edge_mri_train.networks.timm_network import (
    Colours,
    colours_of,
    is_timm,
    pretrained_state,
    require_pretrained,
    require_size,
    stem_of,
)
from edge_mri_train.settings.runs import checkpoint_file

IMAGENET_COLOURS = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
HALVES = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
_TAKE_HALVES = ("efficientnet_v2_l", "googlenet", "inception_v3")

IMAGENET = "imagenet"
"""What `--init-weights` calls the weights that torchvision or timm has for a network."""

SHIPPED = "shipped"
"""What `--init-weights` calls the weights of the packaged model."""

TRUNK = "trunk.body."
"""Where a network with a lesion map has the classifier it was made from."""

_WEIGHTS = Path(__file__).parents[1] / "weights"
_ENOUGH = 0.8  # share of a network's tensors that a file must fill


def load_initial_weights(
    network: nn.Module, name: str, source: str, images: torch.Tensor
) -> frozenset[str]:
    """Fill a network with starting weights; a head of another size keeps its random ones.

    Args:
        network: What to fill, built by `edge_mri_train.networks.architectures.build`.
        name: Its architecture.
        source: `imagenet`, `shipped`, `none`, or the path of a state dict or checkpoint.
        images: `(N, 1, S, S)` float in 0..1, for the statistics of a folded BatchNorm.

    Returns:
        The tensors that were filled, by their names; what is missing stayed random.

    Raises:
        InitialWeightsError: There are no such weights, or they fit another architecture.
    """
    if source == "none":
        return frozenset()
    base = name.removesuffix("_lesion")
    state = _state(source, base, images.shape[-1])
    if is_timm(name):
        require_size(name, network, state)
    if base != name and not any(key.startswith(TRUNK) for key in state):
        state = {f"{TRUNK}{key}": value for key, value in state.items()}
    shift = None if is_own(name) else _fold_stem(network, state, name, _colours(base))
    own = network.state_dict()
    fitting = {k: v for k, v in state.items() if k in own and v.shape == own[k].shape}
    if len(fitting) < _ENOUGH * len(own):
        raise InitialWeightsError(
            f"{source} fits {len(fitting)} of {len(own)} tensors of {name}; "
            "expected weights of the same architecture"
        )
    network.load_state_dict(fitting, strict=False)
    if shift is not None:
        _shift_stem(network, shift)
    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    if norms and all(_is_identity(norm) for norm in norms[1:]):
        unfold_batch_norm(network, images)
    return frozenset(fitting)


@torch.no_grad()
def unfold_batch_norm(network: nn.Module, images: torch.Tensor) -> None:
    """Give each BatchNorm the statistics of what it sees, its function unchanged.

    Args:
        network: A network whose BatchNorms were folded into its convolutions.
        images: `(N, 1, S, S)` float in 0..1.
    """
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    seen: dict[nn.Module, tuple[torch.Tensor, torch.Tensor]] = {}

    def watch(norm: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        assert isinstance(norm, nn.BatchNorm2d)
        seen[norm] = (inputs[0].mean(dim=(0, 2, 3)), inputs[0].var(dim=(0, 2, 3)))

    hooks = [norm.register_forward_pre_hook(watch) for norm in norms]
    was_training = network.training
    network.eval()(images)
    network.train(was_training)
    for hook in hooks:
        hook.remove()
    for norm in norms:
        mean, variance = seen[norm]
        running_mean, running_var = norm.running_mean, norm.running_var
        if running_mean is None or running_var is None:
            continue
        gain = norm.weight / (running_var + norm.eps).sqrt()
        norm.bias.add_((mean - running_mean) * gain)
        norm.weight.copy_(gain * (variance + norm.eps).sqrt())
        running_mean.copy_(mean)
        running_var.copy_(variance)


def _colours(name: str) -> Colours:
    if is_timm(name):
        return colours_of(name)
    return HALVES if name in _TAKE_HALVES else IMAGENET_COLOURS


def _state(source: str, name: str, size: int) -> dict[str, torch.Tensor]:
    if source == IMAGENET:
        require_imagenet(name)
        return pretrained_state(name, size) if is_timm(name) else _imagenet_state(name)
    if source == SHIPPED:
        if name not in _shipped():
            raise InitialWeightsError(
                f"the package has no weights of {name}, only of {', '.join(_shipped())}; "
                "use --init-weights imagenet, a file, or none"
            )
        return _file_state(_WEIGHTS / f"{name}.pt")
    return _file_state(checkpoint_file(Path(source)))


def _shipped() -> list[str]:
    return sorted(path.stem for path in _WEIGHTS.glob("*.pt"))


def require_imagenet(name: str) -> None:
    """Raise `InitialWeightsError` where nobody has pretrained weights of an architecture."""
    if is_own(name):
        raise InitialWeightsError(
            f"{name} is a network of your own; use --init-weights none, which keeps the weights "
            "that the function gives it, or a file"
        )
    if is_timm(name):
        require_pretrained(name)
        return
    _imagenet_weights(name.removesuffix("_lesion"))


def _imagenet_weights(name: str) -> torchvision.models.WeightsEnum:
    try:
        weights: torchvision.models.WeightsEnum = torchvision.models.get_model_weights(name).DEFAULT
    except ValueError as error:
        raise InitialWeightsError(
            f"torchvision has no ImageNet weights for {name}; use --init-weights "
            + (f"{SHIPPED}, none or a file" if name in _shipped() else "none or a file")
        ) from error
    return weights


def _imagenet_state(name: str) -> dict[str, torch.Tensor]:
    weights = _imagenet_weights(name)
    try:
        state: dict[str, torch.Tensor] = weights.get_state_dict(progress=True, check_hash=True)
    except OSError as error:
        raise InitialWeightsError(
            f"the ImageNet weights of {name} cannot be downloaded ({error}); "
            "use --init-weights FILE with a state dict from elsewhere, or none"
        ) from error
    return state


def _file_state(path: Path) -> dict[str, torch.Tensor]:
    def refusal(reason: str) -> InitialWeightsError:
        return InitialWeightsError(f"{path} holds no weights that can be used: {reason}")

    try:
        if path.suffix == ".safetensors":
            loaded: Any = _safetensors(path, refusal)
        else:
            loaded = read_tensors(path, refusal, zip_alone=False)
    except OSError as error:
        raise InitialWeightsError(
            f"starting weights {path} cannot be read: {error.strerror}; "
            "expected imagenet, shipped, none or a file"
        ) from error
    state = loaded.get("state", loaded) if isinstance(loaded, dict) else None
    if not isinstance(state, dict) or not all(isinstance(v, torch.Tensor) for v in state.values()):
        raise InitialWeightsError(f"{path} is neither a state dict nor a checkpoint of edge-mri")
    return {
        key: value.float() if value.is_floating_point() else value for key, value in state.items()
    }


def _safetensors(path: Path, refusal: Callable[[str], InitialWeightsError]) -> Any:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except SafetensorError as error:
        raise refusal(first_line(error)) from error


def _stem(network: nn.Module) -> tuple[str, nn.Conv2d]:
    return next((n, m) for n, m in network.named_modules() if isinstance(m, nn.Conv2d))


def _fold_stem(
    network: nn.Module, state: dict[str, torch.Tensor], name: str, colours: Colours
) -> torch.Tensor | None:
    """Make a colour stem in `state` grey; return the `(C,)` shift its input's mean stood for."""
    if is_timm(name) and stem_of(network) is None:
        raise InitialWeightsError(
            f"{name} has several stems, or one whose weights are standardised: colour weights "
            "cannot be made grey for it; use --init-weights none, or another network"
        )
    means, deviations = colours
    path, _ = _stem(network)
    weight = state.get(f"{path}.weight")
    if weight is None or weight.ndim != 4 or weight.shape[1] != 3:
        return None
    mean = torch.tensor(means).view(1, 3, 1, 1)
    deviation = torch.tensor(deviations).view(1, 3, 1, 1)
    state[f"{path}.weight"] = (weight / deviation).sum(dim=1, keepdim=True)
    return -(weight * mean / deviation).sum(dim=(1, 2, 3))


@torch.no_grad()
def _shift_stem(network: nn.Module, shift: torch.Tensor) -> None:
    _, stem = _stem(network)
    if stem.bias is not None:
        stem.bias.add_(shift)
        return
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d) and module.running_mean is not None:
            module.running_mean -= shift
            return


def _is_identity(norm: nn.BatchNorm2d) -> bool:
    mean, variance = norm.running_mean, norm.running_var
    if mean is None or variance is None:
        return False
    return not mean.any() and torch.equal(variance, torch.ones_like(variance))
