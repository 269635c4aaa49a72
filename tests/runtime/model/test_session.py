from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from edge_mri.classifier import SHIPPED_MODEL, Classifier
from edge_mri.errors import DeviceError, ModelFormatError, OptionError
from edge_mri.model.onnx_file import OnnxFile
from edge_mri.model.session import SessionConfig, open_session, runner

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


@pytest.fixture(scope="module")
def shipped() -> OnnxFile:
    return OnnxFile.read(SHIPPED_MODEL)


@pytest.fixture
def nonsense(tmp_path: Path) -> OnnxFile:
    """A well-formed protobuf message with a graph that makes no sense."""
    path = tmp_path / "bad.onnx"
    path.write_bytes(b"\x08\x08\x3a\x02\x12\x00\x42\x02\x10\x11")
    return OnnxFile.read(path)


@pytest.mark.parametrize("cache", [True, False])
def test_a_graph_that_makes_no_sense_is_refused_in_one_line(nonsense, capfd, cache):
    with pytest.raises(ModelFormatError) as refusal:
        open_session(nonsense, SessionConfig(device="cpu", cache=cache))
    message = str(refusal.value)
    assert message.startswith(f"{nonsense.path} is not a model that onnxruntime can load: ")
    assert "\n" not in message
    assert capfd.readouterr() == ("", "")


def test_an_unknown_device_is_refused(shipped):
    with pytest.raises(OptionError) as refusal:
        open_session(shipped, SessionConfig("gpu"))
    assert str(refusal.value) == "unknown device 'gpu'; expected one of auto, cpu, cuda"


def test_cuda_is_refused_where_onnxruntime_has_none(monkeypatch, shipped):
    offered = ["AzureExecutionProvider", CPU]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: offered)
    with pytest.raises(DeviceError) as refusal:
        open_session(shipped, SessionConfig("cuda"))
    assert str(refusal.value) == (
        "CUDA was asked for, but this onnxruntime offers only AzureExecutionProvider, "
        "CPUExecutionProvider; install onnxruntime-gpu in place of onnxruntime, "
        "or use --device cpu"
    )


@both_ways
def test_cuda_is_refused_where_it_does_not_start(cuda_without_driver, shipped):
    with pytest.raises(DeviceError) as refusal:
        open_session(shipped, SessionConfig("cuda"))
    assert str(refusal.value) == (
        "CUDA was asked for, but onnxruntime could not start it; check the driver and that "
        "onnxruntime-gpu matches the CUDA version, or use --device cpu"
    )


@both_ways
def test_auto_takes_the_cpu_where_cuda_does_not_start(cuda_without_driver, shipped, capfd):
    assert open_session(shipped).get_providers() == [CPU]
    assert capfd.readouterr().out == ""


@both_ways
@pytest.mark.parametrize("device", ["auto", "cuda"])
def test_a_bad_model_is_not_blamed_on_cuda(cuda_without_driver, device, nonsense):
    with pytest.raises(ModelFormatError):
        open_session(nonsense, SessionConfig(device))


class Started:
    """A session on a provider that this machine does not have."""

    def __init__(self, data, options, providers, provider_options, **_):
        self.providers, self.options = dict(zip(providers, provider_options, strict=True)), options
        self.cpu = START(data, providers=[CPU])
        self.bound, self.wanted = [], []

    def get_providers(self):
        return list(self.providers)

    def get_inputs(self):
        return self.cpu.get_inputs()

    def get_outputs(self):
        return self.cpu.get_outputs()

    def io_binding(self):
        return self

    def bind_cpu_input(self, name, array):
        self.bound = [(name, array)]

    def bind_output(self, name):
        self.wanted.append(name)

    def run_with_iobinding(self, binding):
        assert binding is self

    def copy_outputs_to_cpu(self):
        wanted, self.wanted = self.wanted, []
        return self.cpu.run(wanted, dict(self.bound))


@pytest.fixture
def offered(monkeypatch):
    """An onnxruntime with CUDA and OpenVINO that both start."""
    names = [CUDA, "OpenVINOExecutionProvider", CPU]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: names)
    monkeypatch.setattr(onnxruntime, "InferenceSession", Started)


@pytest.mark.parametrize("device", ["auto", "cuda"])
def test_cuda_is_taken_where_it_works(offered, shipped, device):
    session = open_session(shipped, SessionConfig(device))
    assert session.get_providers() == [CUDA, CPU]
    assert session.providers[CUDA] == {"cudnn_conv_algo_search": "HEURISTIC"}


def test_a_batch_travels_to_cuda_by_io_binding(offered, classifier, phantoms):
    on_cuda = Classifier.load(device="cuda")
    files = sorted(phantoms.rglob("*.png"))[:6]
    assert (on_cuda.device, on_cuda.batch_size) == ("cuda", 64)
    for found, expected in zip(on_cuda.stream(files), classifier.stream(files), strict=True):
        assert (found.path, found.type, found.plane) == (
            expected.path,
            expected.type,
            expected.plane,
        )
        assert found.type_probabilities == pytest.approx(expected.type_probabilities, abs=1e-5)
    pixels = np.random.default_rng(0).integers(0, 256, (3, 1, 160, 160), np.uint8)
    session = open_session(OnnxFile.read(SHIPPED_MODEL), SessionConfig("cuda"))
    runner(session)(["logits"], pixels)
    assert session.bound[0][1] is pixels


@pytest.mark.parametrize("name", ["openvino", "OpenVINO", "OpenVINOExecutionProvider"])
def test_another_provider_goes_by_its_name(offered, name):
    assert Classifier.load(providers=[name]).device == "OpenVINOExecutionProvider"


def test_a_provider_that_is_not_offered_is_refused_with_those_that_are(shipped, offered):
    with pytest.raises(DeviceError) as refusal:
        open_session(shipped, SessionConfig(providers=("openvino", "tensorrt")))
    assert str(refusal.value) == (
        "the execution provider 'tensorrt' was asked for, but this onnxruntime offers only cuda, "
        "openvino, cpu; install the onnxruntime that has it"
    )


def test_a_provider_that_does_not_start_is_refused(shipped, offered, monkeypatch):
    def start(data, options, providers, **settings):
        if "OpenVINOExecutionProvider" in providers:
            raise RuntimeError("no device found\nmore of it")
        return Started(data, options, providers, **settings)

    monkeypatch.setattr(onnxruntime, "InferenceSession", start)
    with pytest.raises(DeviceError) as refusal:
        open_session(shipped, SessionConfig(providers=("openvino",)))
    assert str(refusal.value) == "onnxruntime could not start openvino: no device found"


def test_a_provider_that_is_silently_left_out_is_refused(shipped, offered, monkeypatch):
    monkeypatch.setattr(Started, "get_providers", lambda _: [CPU])
    with pytest.raises(DeviceError) as refusal:
        open_session(shipped, SessionConfig(providers=("openvino",)))
    assert str(refusal.value) == (
        "onnxruntime did not start openvino though asked to; check its libraries, or leave it "
        "out of --providers"
    )


def test_a_device_and_providers_together_are_refused():
    with pytest.raises(OptionError) as refusal:
        SessionConfig("cuda", ("openvino", "cpu"))
    assert str(refusal.value) == "device 'cuda' and providers openvino, cpu: give one"


def test_low_power_holds_nothing_in_reserve_and_spins_not(shipped, offered):
    options = open_session(shipped, SessionConfig("cpu", low_power=True, cache=False)).options
    assert not options.enable_cpu_mem_arena
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"
    assert options.intra_op_num_threads == options.inter_op_num_threads == 1
    ordinary = open_session(shipped, SessionConfig("cpu", cache=False)).options
    assert ordinary.enable_cpu_mem_arena
