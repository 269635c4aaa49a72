"""Networks of the user's own: `package.module:function` names what makes one.

The function is called as `function(num_classes=K, in_channels=1, size=S)` and returns an
`nn.Module` from `(N, 1, S, S)` float in 0..1 to `(N, K)` logits. Its module is looked for among the
installed packages, then in the working folder. Code runs only where the caller names it: what a
checkpoint says is never enough (`edge_mri_train.networks.checkpoint`).
"""

import copy
import inspect
import re
import sys
import traceback
from collections.abc import Callable
from difflib import get_close_matches
from functools import reduce
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import nn

from edge_mri_train.errors import FactoryError, first_line

_NAME = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*")
_IMAGES = 2  # one alone is refused by BatchNorm, and hides what forgets the batch
_ARGUMENTS = "num_classes, in_channels and size"


def is_own(name: str) -> bool:
    """Return whether an architecture's name is that of a function: `package.module:function`."""
    return _NAME.fullmatch(name) is not None and not name.startswith("timm:")


def build_own(name: str, num_classes: int, size: int) -> nn.Module:
    """Run the function that a name stands for, and try what it makes on black images.

    Args:
        name: `package.module:function`.
        num_classes: Number of logits K.
        size: Side S of the square input, in pixels.

    Raises:
        FactoryError: It cannot be imported or called, or what it returns is no network from
            `(N, 1, S, S)` to `(N, K)`.
    """
    function = _function(name)
    given = {"num_classes": num_classes, "in_channels": 1, "size": size}
    try:
        inspect.signature(function).bind(**given)
    except TypeError as error:
        raise FactoryError(
            name, f"it has to take {_ARGUMENTS} by name, and takes {_signature(function)}"
        ) from error
    except ValueError:  # written in C: calling it will tell
        pass
    network = _run(name, "it", lambda: function(**given))
    if not isinstance(network, nn.Module):
        raise FactoryError(
            name,
            f"it returned {_kind(network)}; expected a torch.nn.Module, not its class",
        )
    if not any(weights.requires_grad for weights in network.parameters()):
        raise FactoryError(name, "its network has no weights to train; expected some unfrozen")
    with torch.random.fork_rng(devices=[]):
        for trial in (network.eval(), copy.deepcopy(network).train()):
            _require_logits(name, trial, num_classes, size)
    return network.train()


def _function(name: str) -> Callable[..., Any]:
    module_name, _, path = name.partition(":")
    here = str(Path.cwd())
    if here not in sys.path and not sys.flags.safe_path:
        sys.path.append(here)
    try:
        module = _run(name, f"importing {module_name}", lambda: import_module(module_name))
    except FactoryError as error:
        cause = error.__cause__
        missing = cause.name or "" if isinstance(cause, ModuleNotFoundError) else ""
        if missing and f"{module_name}.".startswith(f"{missing}."):
            raise FactoryError(
                name,
                f"there is no module {missing}, neither installed nor in {here}; install it, or "
                "run from the folder that it lies in",
            ) from cause
        raise
    try:
        function = reduce(getattr, path.split("."), module)
    except AttributeError as error:
        names = [one for one, value in vars(module).items() if callable(value)]
        close = get_close_matches(path, names, n=2)
        raise FactoryError(
            name,
            f"{module_name} has no {path}"
            + (f"; did you mean {' or '.join(close)}?" if close else f" ({module.__file__})"),
        ) from error
    if not callable(function):
        raise FactoryError(name, f"it is {_kind(function)}; expected a function")
    return function  # type: ignore[no-any-return]


@torch.inference_mode()
def _require_logits(name: str, network: nn.Module, num_classes: int, size: int) -> None:
    mode = "training" if network.training else "eval"
    what = f"its network, in {mode} mode and given ({_IMAGES}, 1, {size}, {size}) float,"
    logits = _run(name, what, lambda: network(torch.zeros(_IMAGES, 1, size, size)))
    if not isinstance(logits, torch.Tensor):
        raise FactoryError(name, f"{what} answers {_kind(logits)}; expected a tensor of logits")
    if logits.shape != (_IMAGES, num_classes) or not logits.is_floating_point():
        kind = str(logits.dtype).removeprefix("torch.")
        raise FactoryError(
            name,
            f"{what} answers {tuple(logits.shape)} {kind}; expected ({_IMAGES}, {num_classes}) "
            "float, a logit for each class",
        )
    values = logits.float().cpu()
    if bool((values >= 0).all()) and torch.allclose(values.sum(dim=1), torch.ones(_IMAGES)):
        raise FactoryError(
            name, f"{what} answers probabilities; expected logits: leave its softmax out"
        )


def _run(name: str, what: str, step: Callable[[], Any]) -> Any:
    """Run code of the user's; what it raises becomes one line that says where."""
    try:
        return step()
    except (Exception, SystemExit) as error:  # a script may end itself when it is imported
        frame = traceback.extract_tb(error.__traceback__)[-1]
        raise FactoryError(
            name,
            f"{what} raised {type(error).__name__}: {_told(error)} "
            f"({Path(frame.filename).name}, line {frame.lineno})",
        ) from error


def _told(error: BaseException) -> str:
    return first_line(error) if isinstance(error, Exception) else "it ended the program"


def _signature(function: Callable[..., Any]) -> str:
    return str(inspect.signature(function))


def _kind(value: object) -> str:
    return f"the class {value.__name__}" if isinstance(value, type) else type(value).__name__
