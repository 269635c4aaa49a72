"""The trainable quantised network against the file that onnxruntime runs."""

import numpy as np
import onnx
import pytest
import torch
from onnx import helper, numpy_helper

from edge_mri.terminal.progress import NoProgress
from edge_mri_export.errors import GraphError
from edge_mri_export.guard.answers import graph_answers, memory_session
from edge_mri_export.int8.qat import QatConfig, fine_tune
from edge_mri_export.int8.quantization import quantize
from edge_mri_export.int8.ranges import collect
from edge_mri_export.int8.recipe import TARGETS
from edge_mri_export.int8.repair import corrected_body, worst_layers
from edge_mri_export.int8.simulation import QuantizedNetwork

NAMES = ("artemis_cnn", "mobilenet_v2", "mobilenet_v3_small")


@pytest.fixture(scope="module")
def made(road, body_of):
    """A network's body and its quantised graph."""
    kept: dict[tuple[str, str], tuple[onnx.ModelProto, onnx.ModelProto]] = {}

    def of(name: str, target: str = "portable"):
        if (name, target) not in kept:
            body = body_of(road(name).checkpoint)
            limits = collect(body, road(name).pixels).limits("percentile")
            kept[name, target] = body, quantize(body, limits, TARGETS[target])
        return kept[name, target]

    return of


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("name", NAMES)
def test_every_layer_is_within_one_quantisation_step_of_the_files(made, road, name, target):
    """Given the values that onnxruntime computed so far, the next are the same integers or next."""
    body, model = made(name, target)
    pixels = road(name).pixels[:6]
    model = fine_tuned = onnx.ModelProto.FromString(
        fine_tune(
            model, body, TARGETS[target], road(name).pixels, NoProgress(), QatConfig(epochs=1)
        ).SerializeToString()
    )
    quantizers = [node for node in model.graph.node if node.op_type == "QuantizeLinear"]
    values = {one.name: numpy_helper.to_array(one) for one in model.graph.initializer}
    wider = onnx.ModelProto.FromString(fine_tuned.SerializeToString())
    for node in quantizers:
        kind = helper.np_dtype_to_tensor_dtype(values[node.input[2]].dtype)
        wider.graph.output.append(helper.make_tensor_value_info(node.output[0], kind, None))
    names = [node.output[0] for node in quantizers]
    *found, logits = memory_session(wider).run([*names, "logits"], {"pixels": pixels})
    scales = {node.output[0]: values[node.input[1]] for node in quantizers}
    zeros = {node.output[0]: values[node.input[2]].astype(np.float32) for node in quantizers}
    theirs = {
        name: torch.from_numpy((one.astype(np.float32) - zeros[name]) * scales[name])
        for name, one in zip(names, found, strict=True)
    }
    network = QuantizedNetwork(model, _floats(body, model), TARGETS[target])
    with torch.no_grad():
        ours = network.values(torch.from_numpy(pixels), theirs)
    for name in names:
        steps = (ours[name] - theirs[name]).abs().max() / float(scales[name])
        assert steps <= 1.01, name
    np.testing.assert_allclose(ours["logits"], logits, atol=1e-3 * np.abs(logits).max())


def _floats(body: onnx.ModelProto, model: onnx.ModelProto) -> onnx.ModelProto:
    """The body with the weights that the integers of a graph stand for."""
    values = {one.name: numpy_helper.to_array(one) for one in model.graph.initializer}
    rounded = onnx.ModelProto.FromString(body.SerializeToString())
    axes = {
        node.input[0]: (node.input[1], {one.name: one.i for one in node.attribute}.get("axis", 1))
        for node in model.graph.node
        if node.op_type == "DequantizeLinear"
    }
    for one in rounded.graph.initializer:
        if (stored := f"{one.name}_quantized") in values:
            name, axis = axes[stored]
            shape = [1] * values[stored].ndim
            scale = values[name]
            if scale.size > 1:
                shape[axis if values[stored].ndim > 1 else 0] = -1
            numbers = values[stored] * scale.reshape(shape)
            one.CopyFrom(numpy_helper.from_array(numbers.astype(np.float32), one.name))
    return rounded


@pytest.mark.parametrize("name", NAMES)
def test_untrained_it_gives_back_the_graph(made, name):
    body, model = made(name)
    again = QuantizedNetwork(model, body, TARGETS["portable"]).to_model()
    before, after = (
        {tensor.name: numpy_helper.to_array(tensor) for tensor in one.graph.initializer}
        for one in (model, again)
    )
    assert before.keys() == after.keys()
    for key, value in before.items():
        assert value.dtype == after[key].dtype
        difference = np.abs(value.astype(np.float64) - after[key].astype(np.float64))
        assert difference.max() <= 1  # ties of the rounding
        assert (difference > 0).sum() <= max(1, difference.size // 1000)
    assert [node.op_type for node in again.graph.node] == [
        node.op_type for node in model.graph.node
    ]


def test_training_brings_the_answers_nearer_and_changes_nothing_but_integers(made, road):
    body, model = made("artemis_cnn")
    pixels = road("artemis_cnn").pixels
    config = QatConfig(epochs=16, batch_size=16, learning_rate=1e-4)
    trained = fine_tune(model, body, TARGETS["portable"], pixels, NoProgress(), config)
    expected = road("artemis_cnn").checkpoint.logits(pixels)
    before, after = (
        np.abs(graph_answers(one, pixels).logits - expected).mean() for one in (model, trained)
    )
    assert after < 0.85 * before
    floats = [
        {one.name: one.raw_data for one in graph.graph.initializer if one.data_type == 1}
        for graph in (model, trained)
    ]
    assert floats[0] == floats[1]


def test_what_cannot_be_trained_is_refused_with_the_reason(made):
    body, model = made("artemis_cnn")
    other = onnx.ModelProto.FromString(model.SerializeToString())
    other.graph.node[-1].op_type = "Einsum"
    with pytest.raises(GraphError, match=r"training with Einsum is not supported$"):
        QuantizedNetwork(other, body, TARGETS["portable"])


def test_corrected_biases_bring_the_answers_nearer(made, road):
    body, model = made("mobilenet_v2")
    pixels = road("mobilenet_v2").pixels
    limits = collect(body, pixels).limits("percentile")
    corrected = quantize(corrected_body(body, body, model, pixels), limits, TARGETS["portable"])
    expected = road("mobilenet_v2").checkpoint.logits(pixels)
    before, after = (
        np.abs(graph_answers(one, pixels).logits - expected).mean() for one in (model, corrected)
    )
    assert after < before


def test_the_layer_that_was_damaged_is_the_worst(made, road):
    body, model = made("mobilenet_v2")
    pixels = road("mobilenet_v2").pixels
    damaged = onnx.ModelProto.FromString(model.SerializeToString())
    sound = worst_layers(body, model, pixels)
    name = list(sound)[20]
    (layer,) = [node for node in damaged.graph.node if node.name == name]
    makers = {output: node for node in damaged.graph.node for output in node.output}
    stored = makers[layer.input[1]].input[0]
    (tensor,) = [one for one in damaged.graph.initializer if one.name == stored]
    coarse = numpy_helper.to_array(tensor) // 16 * 16
    tensor.CopyFrom(numpy_helper.from_array(coarse, tensor.name))
    found = worst_layers(body, damaged, pixels)
    assert next(iter(found)) == name
    others = [one for one in found if one != name]
    assert [found[one] for one in others] == pytest.approx([sound[one] for one in others], abs=0.01)
