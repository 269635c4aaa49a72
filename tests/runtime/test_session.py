from pathlib import Path

import onnxruntime
import pytest

from edge_mri import session
from edge_mri.classifier import SHIPPED_MODEL
from edge_mri.errors import DeviceError, ModelFormatError, ModelNotFoundError, OptionError
from edge_mri.workers import available_threads, open_session

CUDA, CPU = "CUDAExecutionProvider", "CPUExecutionProvider"
START = onnxruntime.InferenceSession


@pytest.fixture
def cuda_without_driver(monkeypatch, request):
    """An onnxruntime-gpu on a machine whose CUDA cannot be started."""

    def start(path, options, providers, **settings):
        if CUDA in providers and request.param == "raises":
            raise RuntimeError("CUDA failure 100: no CUDA-capable device is detected")
        return START(path, options, providers=[CPU])

    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [CUDA, CPU])
    monkeypatch.setattr(onnxruntime, "InferenceSession", start)


both_ways = pytest.mark.parametrize("cuda_without_driver", ["raises", "falls back"], indirect=True)


@pytest.mark.parametrize("name", ["missing.onnx", "missing/model.onnx", "a" * 300, "."])
def test_a_model_that_is_not_there_is_refused(tmp_path, name):
    with pytest.raises(ModelNotFoundError) as refusal:
        open_session(tmp_path / name)
    assert str(refusal.value) == f"model file not found: {tmp_path / name}"


@pytest.mark.parametrize(
    "data", [b"", b"\0", b"hello, I am no model\n", SHIPPED_MODEL.read_bytes()[:100_000]]
)
def test_a_file_that_is_no_model_is_refused_in_one_line(tmp_path, capfd, data):
    path = tmp_path / "bad.onnx"
    path.write_bytes(data)
    with pytest.raises(ModelFormatError) as refusal:
        open_session(path, "cpu")
    message = str(refusal.value)
    assert message.startswith(f"{path} is not a model that onnxruntime can load: ")
    assert "\n" not in message
    assert capfd.readouterr() == ("", "")


def test_an_unknown_device_is_refused():
    with pytest.raises(OptionError) as refusal:
        open_session(SHIPPED_MODEL, "gpu")
    assert str(refusal.value) == "unknown device 'gpu'; expected one of auto, cpu, cuda"


def test_cuda_is_refused_where_onnxruntime_has_none(monkeypatch):
    offered = ["AzureExecutionProvider", CPU]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: offered)
    with pytest.raises(DeviceError) as refusal:
        open_session(SHIPPED_MODEL, "cuda")
    assert str(refusal.value) == (
        "CUDA was asked for, but this onnxruntime offers only AzureExecutionProvider, "
        "CPUExecutionProvider; install onnxruntime-gpu in place of onnxruntime, "
        "or use --device cpu"
    )


@both_ways
def test_cuda_is_refused_where_it_does_not_start(cuda_without_driver):
    with pytest.raises(DeviceError) as refusal:
        open_session(SHIPPED_MODEL, "cuda")
    assert str(refusal.value) == (
        "CUDA was asked for, but onnxruntime could not start it; check the driver and that "
        "onnxruntime-gpu matches the CUDA version, or use --device cpu"
    )


@both_ways
def test_auto_takes_the_cpu_where_cuda_does_not_start(cuda_without_driver, capfd):
    assert open_session(SHIPPED_MODEL, "auto").get_providers() == [CPU]
    assert capfd.readouterr().out == ""


@both_ways
@pytest.mark.parametrize("device", ["auto", "cuda"])
def test_a_bad_model_is_not_blamed_on_cuda(cuda_without_driver, device, tmp_path):
    path = tmp_path / "bad.onnx"
    path.write_bytes(b"hello")
    with pytest.raises(ModelFormatError):
        open_session(path, device)
