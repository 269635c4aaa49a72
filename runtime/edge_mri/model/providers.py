"""Execution providers: which part of onnxruntime runs a model, as users name them.

`cpu` and `cuda` are devices with a promise each; any other provider that the installed onnxruntime
offers goes by its own name. What was asked for and is not there is an error, never another one.
"""

from collections.abc import Sequence

from edge_mri.errors import DeviceError, OptionError

DEVICES = ("auto", "cpu", "cuda")
CUDA = "CUDAExecutionProvider"
CPU = "CPUExecutionProvider"

_SUFFIX = "ExecutionProvider"
# An exhaustive search for the fastest convolutions takes longer than most runs.
_SETTINGS: dict[str, dict[str, str]] = {CUDA: {"cudnn_conv_algo_search": "HEURISTIC"}}


def settings_of(provider: str) -> dict[str, str]:
    """Return the options that a provider is started with."""
    return dict(_SETTINGS.get(provider, {}))


def resolve_providers(names: Sequence[str], offered: Sequence[str]) -> list[str]:
    """Return onnxruntime's names of the providers that a user asks for, in their order.

    Args:
        names: Such as `openvino` or `OpenVINOExecutionProvider`, in any case.
        offered: What the installed onnxruntime has.

    Raises:
        DeviceError: One of them is not offered; the message lists those that are.
    """
    known = {short_name(provider): provider for provider in offered}
    found = []
    for name in names:
        provider = known.get(short_name(name.strip()))
        if provider is None:
            raise DeviceError(
                f"the execution provider {name.strip()!r} was asked for, but this onnxruntime "
                f"offers only {', '.join(known)}; install the onnxruntime that has it"
            )
        found.append(provider)
    return list(dict.fromkeys(found))


def short_name(provider: str) -> str:
    """Return a provider's name as users type it: `openvino`, `coreml`."""
    lowered = provider.lower()
    return lowered.removesuffix(_SUFFIX.lower())


def check_device(device: str, offered: Sequence[str]) -> None:
    """Refuse a device that is unknown or not offered."""
    if device not in DEVICES:
        raise OptionError(f"unknown device {device!r}; expected one of {', '.join(DEVICES)}")
    if device == "cuda" and CUDA not in offered:
        raise DeviceError(
            f"CUDA was asked for, but this onnxruntime offers only {', '.join(offered)}; "
            "install onnxruntime-gpu in place of onnxruntime, or use --device cpu"
        )
