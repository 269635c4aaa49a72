"""ONNX Runtime sessions: a model file, and what is to run it."""

from collections.abc import Callable
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from edge_mri.errors import DeviceError, ModelFormatError, OptionError
from edge_mri.model.onnx_file import OnnxFile
from edge_mri.model.providers import (
    CPU,
    CUDA,
    check_device,
    resolve_providers,
    settings_of,
    short_name,
)
from edge_mri.model.session_cache import SessionCache

Run = Callable[[list[str], NDArray[np.uint8]], list[NDArray[np.float32]]]

EXACT_INTEGERS = ("session.x64quantprecision", "1")
"""Entry of a session's configuration: on x86 without VNNI, whose fast products of uint8 and int8
overflow 16 bits, weights of more than 7 bits are multiplied another way. Elsewhere it changes
nothing (`docs/decisions/0017-portability.md`)."""

LAYERS_IN_FLOAT = ("optimization.disable_specified_optimizers", "WeightBiasQuantization")
"""Entry that leaves a layer in float where the file does: onnxruntime would round its weights, one
scale for all channels, wherever its input and output are integers
(`docs/decisions/0011-repairs.md`)."""

_MOST_GROWN = 8
"""How many times a model's bytes its optimised form may have: shared weights are written apart."""


@dataclass(frozen=True)
class SessionConfig:
    """What runs a model, and how.

    Attributes:
        device: `cpu`; `cuda`, an error where CUDA cannot be used; `auto`, CUDA where it works.
        providers: Other execution providers by name, such as `openvino`, the first preferred; an
            error where one is not offered or does not start. Not together with a device.
        low_power: Keep the device cool and free: no spinning thread, no memory held in reserve.
        cache: Keep the optimised model for the next start (`edge_mri.model.session_cache`).
        require_signature: A public key, PEM: a model that was not signed with the private one is
            refused (`edge_mri.model.signature`). None: any model runs.
    """

    device: str = "auto"
    providers: tuple[str, ...] = ()
    low_power: bool = False
    cache: bool = True
    require_signature: Path | None = None

    def __post_init__(self) -> None:
        if self.providers and self.device != "auto":
            raise OptionError(
                f"device {self.device!r} and providers {', '.join(self.providers)}: give one"
            )


def open_session(model: OnnxFile, config: SessionConfig | None = None) -> ort.InferenceSession:
    """Open a model.

    A CPU session runs each call on the calling thread alone: parallel work comes from several
    threads calling the same session, which ONNX Runtime allows.

    Raises:
        DeviceError: What was asked for is not there or does not start.
        ModelFormatError: onnxruntime cannot load the model.
    """
    config = config or SessionConfig()
    offered = ort.get_available_providers()
    check_device(config.device, offered)
    if config.providers:
        providers = resolve_providers(config.providers, offered)
        model.check()
        return _on_providers(model, config, providers)
    if config.device != "cpu" and CUDA in offered:
        model.check()
        session = _on_cuda(model, config)
        if session is not None:
            return session
    session = _on_cpu(model, config)
    if config.device == "cuda":
        raise DeviceError(
            "CUDA was asked for, but onnxruntime could not start it; check the driver and that "
            "onnxruntime-gpu matches the CUDA version, or use --device cpu"
        )
    return session


def compute_as_written(options: ort.SessionOptions) -> None:
    """Tell a session to compute what its file says where onnxruntime would trade that for speed."""
    for entry in (EXACT_INTEGERS, LAYERS_IN_FLOAT):
        options.add_session_config_entry(*entry)


def runner(session: ort.InferenceSession) -> Run:
    """Return what runs a session: names of outputs and a batch in, arrays out.

    On CUDA the batch and the answers travel by IO binding, one copy each way, and the stream is
    waited for once.
    """
    name = session.get_inputs()[0].name
    if session.get_providers()[0] != CUDA:
        return lambda outputs, batch: list(session.run(outputs, {name: batch}))

    def run_bound(outputs: list[str], batch: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
        binding = session.io_binding()
        binding.bind_cpu_input(name, np.ascontiguousarray(batch))
        for output in outputs:
            binding.bind_output(output)
        session.run_with_iobinding(binding)
        return list(binding.copy_outputs_to_cpu())

    return run_bound


def _on_providers(
    model: OnnxFile, config: SessionConfig, providers: list[str]
) -> ort.InferenceSession:
    wanted = [*providers, *([] if CPU in providers else [CPU])]
    try:
        session = _create(model.data, wanted, config)
    except Exception as error:  # onnxruntime's exceptions share no public base class
        _on_cpu(model, config)  # where the model is why, this says so
        raise DeviceError(
            f"onnxruntime could not start {', '.join(map(short_name, providers))}: "
            f"{_first_line(error)}"
        ) from error
    missing = [short_name(name) for name in providers if name not in session.get_providers()]
    if missing:
        names = ",".join(missing)
        raise DeviceError(
            f"onnxruntime did not start {names} though asked to; check its libraries, or leave it "
            "out of --providers"
        )
    return session


def _on_cuda(model: OnnxFile, config: SessionConfig) -> ort.InferenceSession | None:
    """Return None where it does not work; whether CUDA or the model is why, the CPU tells."""
    try:
        session = _create(model.data, [CUDA, CPU], config)
        if CUDA not in session.get_providers():
            return None
        takes = session.get_inputs()[0]
        sides = [side if isinstance(side, int) else 1 for side in takes.shape]
        runner(session)(["logits"], np.zeros(sides, np.uint8))  # a driver may fail only now
    except Exception:
        return None
    return session


def _on_cpu(model: OnnxFile, config: SessionConfig) -> ort.InferenceSession:
    cache = None
    if config.cache:
        cache = SessionCache(model.sha256, ort.__version__, _MOST_GROWN * len(model.data) + 2**20)
    if cache and (optimised := cache.load()) is not None:
        # Only what passed `check` was ever kept under this model's hash.
        with suppress(Exception):
            return _create(optimised, [CPU], config, optimised=True)
    model.check()
    with cache.scratch() if cache else nullcontext() as scratch:
        try:
            session = _create(
                model.data, [CPU], config, keep=None if scratch is None else scratch.path
            )
        except Exception as error:
            if scratch is None:
                raise _not_loadable(model, error) from error
            try:  # keeping it may be what failed
                return _create(model.data, [CPU], config)
            except Exception as second:
                raise _not_loadable(model, second) from second
        if cache and scratch:
            cache.store(scratch)
    return session


def _not_loadable(model: OnnxFile, error: Exception) -> ModelFormatError:
    return ModelFormatError(model.path, "a model that onnxruntime can load", _first_line(error))


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)


def _create(
    data: bytes,
    providers: list[str],
    config: SessionConfig,
    *,
    optimised: bool = False,
    keep: Path | None = None,
) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 4  # what goes wrong comes as an exception
    if optimised:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    if keep:
        options.optimized_model_filepath = str(keep)
    compute_as_written(options)
    options.enable_mem_pattern = False  # costs memory a batch size, saves no time here
    if config.low_power:
        options.enable_cpu_mem_arena = False
        for pool in ("intra_op", "inter_op"):
            options.add_session_config_entry(f"session.{pool}.allow_spinning", "0")
    # Its own fallback to the CPU would announce itself on stdout, among the records.
    return ort.InferenceSession(
        data,
        options,
        providers=providers,
        provider_options=[settings_of(provider) for provider in providers],
        enable_fallback=False,
    )
