"""Equalised channels: the same answers, ranges that are more alike."""

import numpy as np
import onnx
import pytest
import torch

from edge_mri.images.preprocess import PreprocessSpec
from edge_mri.labels import LabelSpace
from edge_mri.terminal.progress import NoProgress
from edge_mri_export.graph.graph import body_graph, with_pixel_input
from edge_mri_export.graph.layers import count_quantized
from edge_mri_export.guard.answers import graph_answers, memory_session
from edge_mri_export.int8.equalisation import equalised
from edge_mri_export.int8.qat import QatConfig, fine_tune
from edge_mri_export.int8.quantization import quantize
from edge_mri_export.int8.ranges import collect
from edge_mri_export.int8.recipe import TARGETS
from edge_mri_export.int8.simulation import QuantizedNetwork
from edge_mri_export.int8.values import float_values
from edge_mri_train.networks.architectures import build
from edge_mri_train.networks.checkpoint import Checkpoint


@pytest.fixture(scope="module")
def images(pixels):
    return pixels(96)


@pytest.fixture(scope="module")
def body(images) -> onnx.ModelProto:
    """An edge_net whose channels differ in range by far, as trained ones do."""
    torch.manual_seed(0)
    network = build("edge_net", 12, 96)
    with torch.no_grad():
        first = network.trunk.stem[0]
        first[1].weight.copy_(torch.logspace(-1.5, 0.5, 16))
        network.map.weight.mul_(8)
        network.train()(torch.from_numpy(images).float() / 255)
    return body_graph(Checkpoint("edge_net", LabelSpace(), PreprocessSpec(96), network.eval()))


def test_the_answers_stay_and_the_channels_are_more_alike(body, images):
    changed, groups = equalised(body, images)
    assert groups == 7
    before, after = (graph_answers(with_pixel_input(one), images) for one in (body, changed))
    np.testing.assert_allclose(after.logits, before.logits, atol=1e-4)
    np.testing.assert_allclose(after.lesion, before.lesion, atol=1e-5)
    first = next(node.output[0] for node in body.graph.node if node.op_type == "Relu")

    def spread(model: onnx.ModelProto) -> float:
        batches = [values[first] for _, values in float_values(model, [first], images)]
        largest = np.concatenate(batches).max(axis=(0, 2, 3))
        return float(largest.max() / largest[largest > 0].min())

    assert spread(changed) < 0.5 * spread(body)


@pytest.mark.parametrize("target", TARGETS)
def test_a_lesion_network_is_quantised_up_to_its_map_and_can_be_fine_tuned(body, images, target):
    limits = collect(body, images).limits("mse")
    model = quantize(body, limits, TARGETS[target])
    assert count_quantized(model) == (16, 19)
    makers = {output: node for node in model.graph.node for output in node.output}
    for node in model.graph.node:
        inputs = [makers[name].op_type for name in node.input if name in makers]
        if node.op_type == "Conv":
            assert inputs[:2] == ["DequantizeLinear"] * 2
        if node.op_type in ("Gemm", "Sigmoid", "TopK", "ReduceSum", "LogSoftmax"):
            assert "DequantizeLinear" not in inputs
    tuned = fine_tune(model, body, TARGETS[target], images, NoProgress(), QatConfig(epochs=1))
    before, after = (graph_answers(one, images) for one in (model, tuned))
    assert not np.array_equal(after.lesion, before.lesion)
    onnx.checker.check_model(tuned, full_check=True)
    network = QuantizedNetwork(model, body, TARGETS[target])
    with torch.no_grad():
        simulated = network.values(torch.from_numpy(images))
    np.testing.assert_allclose(simulated["lesion"], before.lesion, atol=0.02)
    np.testing.assert_allclose(simulated["logits"], before.logits, atol=0.05)


def test_the_teacher_of_fine_tuning_is_the_float_network(body, images):
    """Not the body whose biases were corrected: what is learned would be the correction."""
    model = quantize(body, collect(body, images).limits("mse"), TARGETS["portable"])
    wrong = onnx.ModelProto.FromString(body.SerializeToString())
    with pytest.MonkeyPatch.context() as patch:
        asked = []
        patch.setattr(
            "edge_mri_export.int8.qat.memory_session",
            lambda one: asked.append(one) or memory_session(one),
        )
        config = QatConfig(epochs=1)
        fine_tune(model, wrong, TARGETS["portable"], images, NoProgress(), config, teacher=body)
    assert asked == [body]
    assert asked[0] is body


def test_what_relu_cuts_off_counts_for_nothing():
    """A channel that is mostly far below zero, and no larger than its neighbour above it."""
    node, tensor = onnx.helper.make_node, onnx.numpy_helper.from_array
    graph = onnx.helper.make_graph(
        [
            node("Conv", ["normalised", "first", "shift"], ["made"], "first"),
            node("Relu", ["made"], ["kept"], "relu"),
            node("Conv", ["kept", "second"], ["logits"], "second"),
        ],
        "two channels",
        [onnx.helper.make_tensor_value_info("normalised", onnx.TensorProto.FLOAT, ["N", 1, 8, 8])],
        [onnx.helper.make_tensor_value_info("logits", onnx.TensorProto.FLOAT, ["N", 1, 8, 8])],
        [
            tensor(np.float32([[[[-100]]], [[[1]]]]), "first"),
            tensor(np.float32([1, 0]), "shift"),
            tensor(np.float32([[[[1]], [[1]]]]), "second"),
        ],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)])
    black_to_white = np.arange(256, dtype=np.uint8).reshape(4, 1, 8, 8)
    changed, groups = equalised(model, black_to_white)
    assert groups == 1
    ((_, before),) = float_values(model, ["kept"], black_to_white)
    ((_, after),) = float_values(changed, ["kept"], black_to_white)
    np.testing.assert_allclose(before["kept"].max(axis=(0, 2, 3)), 1, rtol=1e-5)
    np.testing.assert_allclose(after["kept"].max(axis=(0, 2, 3)), 1, rtol=1e-5)
