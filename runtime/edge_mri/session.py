"""ONNX Runtime sessions: the device, the threads, and the model file they are made from."""

import os
from pathlib import Path

import onnxruntime as ort

from edge_mri.errors import DeviceError, ModelFormatError, ModelNotFoundError, OptionError

DEVICES = ("auto", "cpu", "cuda")
_CUDA = "CUDAExecutionProvider"
_CPU = "CPUExecutionProvider"


def available_threads() -> int:
    """Return how many cores this process may use: affinity mask and cgroup v2 quota."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        allowed = int(quota) // int(period)
    except (OSError, ValueError):  # no cgroup v2, or quota "max"
        return cores or 1
    return max(min(cores or 1, allowed), 1)


def open_session(path: Path, device: str = "auto") -> ort.InferenceSession:
    """Open a model file.

    A CPU session runs each call on the calling thread alone: parallel work comes from several
    threads calling the same session, which ONNX Runtime allows.

    Args:
        path: The ONNX file.
        device: `cpu`; `cuda`, an error where CUDA cannot be used; `auto`, CUDA where it works.
    """
    if device not in DEVICES:
        raise OptionError(f"unknown device {device!r}; expected one of {', '.join(DEVICES)}")
    try:
        found = path.is_file()
    except OSError:  # a name that is too long, a folder that may not be searched
        found = False
    if not found:
        raise ModelNotFoundError(path)
    offered = ort.get_available_providers()
    if device == "cuda" and _CUDA not in offered:
        raise DeviceError(
            f"CUDA was asked for, but this onnxruntime offers only {', '.join(offered)}; "
            "install onnxruntime-gpu in place of onnxruntime, or use --device cpu"
        )
    if device != "cpu" and _CUDA in offered:
        session = _on_cuda(path)
        if session is not None:
            return session
    session = _on_cpu(path)
    if device == "cuda":
        raise DeviceError(
            "CUDA was asked for, but onnxruntime could not start it; check the driver and that "
            "onnxruntime-gpu matches the CUDA version, or use --device cpu"
        )
    return session


def _on_cuda(path: Path) -> ort.InferenceSession | None:
    """Return None where it does not work; whether CUDA or the model is why, the CPU tells."""
    try:
        session = _create(path, [_CUDA, _CPU])
    except Exception:  # onnxruntime's exceptions share no public base class
        return None
    return session if _CUDA in session.get_providers() else None


def _on_cpu(path: Path) -> ort.InferenceSession:
    try:
        return _create(path, [_CPU])
    except Exception as error:  # as above
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise ModelFormatError(path, "a model that onnxruntime can load", reason) from error


def _create(path: Path, providers: list[str]) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # Its own fallback to the CPU would announce itself on stdout, among the records.
    return ort.InferenceSession(str(path), options, providers=providers, enable_fallback=False)
