"""Packing changes how a quantised graph is written, and no answer."""

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from edge_mri.images.preprocess import PreprocessSpec
from edge_mri.labels import LabelSpace
from edge_mri_export.graph.editing import in_order
from edge_mri_export.graph.graph import NORMALISED, body_graph
from edge_mri_export.graph.layers import count_quantized
from edge_mri_export.graph.packing import packed
from edge_mri_export.guard.answers import graph_answers
from edge_mri_export.int8.quantization import quantize
from edge_mri_export.int8.ranges import collect
from edge_mri_export.int8.recipe import TARGETS
from edge_mri_train.networks.architectures import build
from edge_mri_train.networks.checkpoint import Checkpoint

SIZE = 64


def first_layer(kernel: int, pad: int, stride: int) -> onnx.ModelProto:
    """A convolution with biases that mostly keep its ReLU open, and a linear layer."""
    rng = np.random.default_rng(kernel * 10 + pad)
    side = (SIZE + 2 * pad - kernel) // stride + 1
    constants = {
        "weight": rng.normal(0, 1, (5, 1, kernel, kernel)),
        "bias": rng.normal(1, 0.5, 5),
        "linear": rng.normal(0, 0.1, (5 * side * side, 12)),
    }
    nodes = [
        helper.make_node(
            "Conv", [NORMALISED, "weight", "bias"], ["sums"], "first",
            strides=[stride] * 2, pads=[pad] * 4,
        ),
        helper.make_node("Relu", ["sums"], ["features"], "open"),
        helper.make_node("Flatten", ["features"], ["flat"], "flat"),
        helper.make_node("MatMul", ["flat", "linear"], ["logits"], "linear"),
    ]  # fmt: skip
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info(NORMALISED, TensorProto.FLOAT, ["N", 1, SIZE, SIZE])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", 12])],
        [numpy_helper.from_array(one.astype(np.float32), key) for key, one in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


@pytest.fixture(scope="module")
def noise() -> np.ndarray:
    """Images with edges in every phase of a block of pixels."""
    return np.random.default_rng(0).integers(0, 256, (6, 1, SIZE, SIZE), np.uint8)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize(("kernel", "pad"), [(2, 0), (3, 1), (5, 2), (7, 3)])
def test_the_first_convolution_gives_the_same_integers(noise, kernel, pad, target):
    body = first_layer(kernel, pad, stride=2)
    model = in_order(quantize(body, collect(body, noise).limits("minmax", 100.0), TARGETS[target]))
    changed = packed(model)
    assert "first_rows" in [node.name for node in changed.graph.node]
    assert count_quantized(changed) == count_quantized(model) == (2, 2)
    onnx.checker.check_model(changed, full_check=True)
    expected, given = graph_answers(model, noise), graph_answers(changed, noise)
    np.testing.assert_array_equal(given.logits, expected.logits)


@pytest.mark.parametrize(("kernel", "pad", "stride"), [(3, 1, 1), (5, 1, 2)])
def test_a_layer_of_another_form_stays_as_it_is(noise, kernel, pad, stride):
    body = first_layer(kernel, pad, stride)
    limits = collect(body, noise).limits("minmax", 100.0)
    model = in_order(quantize(body, limits, TARGETS["portable"]))
    assert packed(model) == model


def test_edge_net_answers_the_same_from_fewer_gathered_bytes(noise):
    torch.manual_seed(0)
    network = build("edge_net", 12, SIZE).eval()
    body = body_graph(Checkpoint("edge_net", LabelSpace(), PreprocessSpec(SIZE), network))
    limits = collect(body, noise).limits("minmax", 100.0)
    model = in_order(quantize(body, limits, TARGETS["portable"]))
    changed = packed(model)
    kinds = [node.op_type for node in changed.graph.node]
    assert (kinds.count("Resize"), kinds.count("Expand")) == (0, 2)
    assert count_quantized(changed) == count_quantized(model)
    expected, given = graph_answers(model, noise), graph_answers(changed, noise)
    np.testing.assert_array_equal(given.logits, expected.logits)
    np.testing.assert_array_equal(given.lesion, expected.lesion)
    assert expected.lesion.std() > 0


def test_onnxruntime_moves_no_byte_for_it(noise, tmp_path):
    """What it adds are views: onnxruntime's own layout leaves no transposition of them."""
    body = first_layer(3, 1, stride=2)
    limits = collect(body, noise).limits("minmax", 100.0)
    changed = packed(in_order(quantize(body, limits, TARGETS["portable"])))
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    ort.InferenceSession(changed.SerializeToString(), options, providers=["CPUExecutionProvider"])
    optimised = onnx.load(tmp_path / "optimised.onnx").graph
    before = [node.op_type for node in optimised.node]
    assert "QLinearConv" in before
    assert before[: before.index("QLinearConv")] == ["Reshape"]
