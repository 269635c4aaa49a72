import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch.nn import functional

from edge_mri.errors import OptionError
from edge_mri_export.errors import QuantizationError
from edge_mri_export.graph.editing import copied
from edge_mri_export.graph.layers import count_quantized, layers
from edge_mri_export.guard.answers import graph_answers, memory_session
from edge_mri_export.int8 import quantization
from edge_mri_export.int8.quantization import quantize
from edge_mri_export.int8.ranges import METHODS, collect
from edge_mri_export.int8.recipe import TARGETS
from edge_mri_export.int8.repair import worst_layers
from edge_mri_export.int8.values import with_outputs

LAYERS = {"artemis_cnn": 8, "mobilenet_v2": 53}


def test_nothing_but_views_and_a_dequantize_lie_between_the_pixels_and_the_first_layer(each, nodes):
    graph, _, takers = nodes(each.int8)
    values = {one.name: numpy_helper.to_array(one) for one in graph.initializer}
    (node,) = takers["pixels"]
    while node.op_type in ("Reshape", "Transpose"):  # the packing of neighbours
        (node,) = takers[node.output[0]]
    assert node.op_type == "DequantizeLinear"
    assert values[node.input[1]] == np.float32(1 / 255)
    assert values[node.input[2]] == 0
    assert values[node.input[2]].dtype == np.uint8
    (convolution,) = takers[node.output[0]]
    assert convolution.op_type == "Conv"


def test_the_logits_come_from_a_layer_and_are_not_rounded_to_eight_bits(each, nodes):
    graph, makers, _ = nodes(each.int8)
    assert makers["logits"].op_type in ("Gemm", "MatMul", "Add")
    assert graph.output[0].type.tensor_type.elem_type == TensorProto.FLOAT


@pytest.mark.parametrize(("name", "count"), LAYERS.items())
def test_every_layer_with_weights_is_quantised(road, name, count):
    exported = road(name).exported
    assert exported[0].quantized_layers is None
    assert exported[1].quantized_layers == (count, count)
    assert count_quantized(onnx.load(exported[1].path)) == (count, count)
    assert count_quantized(onnx.load(exported[0].path)) == (0, count)


def test_weights_are_int8_per_channel_in_7_bits(each, nodes):
    graph, makers, _ = nodes(each.int8)
    values = {one.name: numpy_helper.to_array(one) for one in graph.initializer}
    convolutions = [node for node in graph.node if node.op_type == "Conv"]
    for node in convolutions:
        dequantize = makers[node.input[1]]
        weight, scale = values[dequantize.input[0]], values[dequantize.input[1]]
        assert weight.dtype == np.int8
        assert np.abs(weight.astype(int)).max() <= 64
        assert scale.shape == (len(weight),)


def test_the_int8_file_is_smaller(road):
    exported = road("mobilenet_v2")
    assert exported.int8.stat().st_size < 0.29 * exported.fp32.stat().st_size


@pytest.fixture(scope="module")
def body(road, body_of):
    return body_of(road("mobilenet_v2").checkpoint)


@pytest.fixture(scope="module")
def ranges(road, body):
    return collect(body, road("mobilenet_v2").pixels)


def integers(model: onnx.ModelProto) -> dict[str, np.ndarray]:
    """The integer weights of the layers, by the layer's name."""
    values = {one.name: numpy_helper.to_array(one) for one in model.graph.initializer}
    makers = {output: node for node in model.graph.node for output in node.output}
    return {
        node.name: values[makers[node.input[1]].input[0]]
        for node in layers(model.graph)
        if node.input[1] in makers
    }


def kinds(model: onnx.ModelProto) -> set[np.dtype]:
    """The types of all zero points of activations."""
    values = {one.name: numpy_helper.to_array(one) for one in model.graph.initializer}
    return {
        values[node.input[2]].dtype for node in model.graph.node if node.op_type == "QuantizeLinear"
    }


@pytest.mark.parametrize(
    ("target", "activations", "largest"),
    [("portable", np.uint8, 64), ("avx512-vnni", np.uint8, 127), ("arm64", np.int8, 127)],
)
def test_a_target_decides_the_integers(body, ranges, road, target, activations, largest):
    model = quantize(body, ranges.limits("minmax"), TARGETS[target])
    onnx.checker.check_model(model, full_check=True)
    weights = integers(model)
    assert len(weights) == 53
    assert max(int(np.abs(one.astype(int)).max()) for one in weights.values()) == largest
    assert kinds(model) == {np.dtype(activations)}
    ratios = worst_layers(body, model, road("mobilenet_v2").pixels)
    assert len(ratios) == 53
    assert next(iter(ratios.values())) > (12 if largest == 64 else 18)  # dB


def test_two_products_of_the_portable_target_fit_into_16_bits(body, ranges):
    """AVX2 without VNNI adds two products of uint8 and int8 into a saturating int16."""
    weights = integers(quantize(body, ranges.limits("minmax"), TARGETS["portable"]))
    for one in weights.values():
        pairs = np.abs(one.astype(int)).reshape(len(one), -1)
        assert 2 * 255 * pairs.max() <= np.iinfo(np.int16).max


def test_excluded_nodes_stay_float_and_their_neighbours_activations_stay(body, ranges, road):
    pixels = road("mobilenet_v2").pixels
    names = [node.name for node in layers(body.graph)]
    limits = ranges.limits("minmax")
    model = quantize(body, limits, TARGETS["avx512-vnni"], names[3:6])
    assert set(names) - set(integers(model)) == set(names[3:6])
    assert count_quantized(model) == (50, 53)
    expected = road("mobilenet_v2").checkpoint.logits(pixels)
    errors = [
        np.abs(graph_answers(one, pixels).logits - expected).mean()
        for one in (model, quantize(body, limits, TARGETS["avx512-vnni"]))
    ]
    assert errors[0] < 1.2 * errors[1]  # a lost ReLU6 would be worse by far


def test_a_layer_in_float_is_computed_in_float(body, ranges, road):
    """Between integers onnxruntime would round its weights, all channels by the largest."""
    node = layers(body.graph)[1]
    uneven = copied(body)
    weights = next(one for one in uneven.graph.initializer if one.name == node.input[1])
    values = numpy_helper.to_array(weights).copy()
    values[0] *= 1000
    weights.CopyFrom(numpy_helper.from_array(values, weights.name))
    model = quantize(uneven, ranges.limits("minmax"), TARGETS["portable"], [node.name])
    (left,) = [one for one in model.graph.node if one.name == node.name]
    (clip,) = [one for one in model.graph.node if left.output[0] in one.input]
    after = f"{clip.output[0]}_DequantizeLinear_Output"
    session = memory_session(with_outputs(model, [left.input[0], after]))
    given, found = session.run([left.input[0], after], {"pixels": road("mobilenet_v2").pixels[:8]})
    bias = next(one for one in body.graph.initializer if one.name == node.input[2])
    expected = functional.conv2d(
        torch.from_numpy(given),
        torch.from_numpy(values),
        torch.from_numpy(numpy_helper.to_array(bias).copy()),
        padding=1,
        groups=len(values),
    ).clamp(0, 6)
    assert expected[:, 1:].std() > 0.1
    step = 6 / 255
    np.testing.assert_allclose(found[:, 1:], expected[:, 1:].numpy(), atol=0.51 * step)


def test_a_first_layer_in_float_takes_normalised_pixels(body, ranges, road):
    first = layers(body.graph)[0].name
    model = quantize(body, ranges.limits("minmax"), TARGETS["portable"], [first])
    assert [(one.name, one.type.tensor_type.elem_type) for one in model.graph.input] == [
        ("pixels", TensorProto.UINT8)
    ]
    assert model.graph.node[0].output[0] == "normalised"
    graph_answers(model, road("mobilenet_v2").pixels[:2])


def test_an_excluded_node_that_does_not_exist_is_an_error(body, ranges):
    name = layers(body.graph)[7].name
    with pytest.raises(OptionError) as caught:
        quantize(body, ranges.limits("minmax"), TARGETS["portable"], [name + "0"])
    assert str(caught.value).startswith(
        f"--exclude '{name}0' is no node of the graph; did you mean"
    )
    assert name in str(caught.value)


def test_excluding_what_stays_float_in_any_case_is_an_error(body, ranges):
    """Behind the last layer, and an operation that onnxruntime has no integer kernel for."""
    model = onnx.ModelProto()
    model.CopyFrom(body)
    last = layers(model.graph)[-1]
    given = last.input[0]
    last.input[0] = "rounded"
    model.graph.node.insert(0, helper.make_node("Ceil", [given], ["rounded"], "ceil"))
    model.graph.node.append(helper.make_node("LogSoftmax", ["logits"], ["logs"], "normalise"))
    for name in ("ceil", "normalise"):
        with pytest.raises(OptionError) as caught:
            quantize(model, ranges.limits("minmax"), TARGETS["portable"], [name])
        assert str(caught.value) == (
            f"--exclude '{name}' has no effect: that node stays in float in any case; leave it out"
        )


def test_nothing_left_to_quantise_is_an_error(body, ranges):
    everything = [node.name for node in layers(body.graph)]
    with pytest.raises(QuantizationError, match=r"^no layer with weights is left to quantise$"):
        quantize(body, ranges.limits("minmax"), TARGETS["portable"], everything)


def test_what_comes_after_the_last_layer_stays_float(body, ranges):
    model = onnx.ModelProto()
    model.CopyFrom(body)
    model.graph.node.append(
        helper.make_node("LogSoftmax", ["logits"], ["log_probabilities"], "normalise")
    )
    model.graph.output.append(
        helper.make_tensor_value_info("log_probabilities", TensorProto.FLOAT, None)
    )
    quantized = quantize(model, ranges.limits("minmax"), TARGETS["portable"])
    assert count_quantized(quantized) == (53, 53)
    makers = {output: node for node in quantized.graph.node for output in node.output}
    assert makers["log_probabilities"].input[0] == "logits"
    assert makers["logits"].op_type == "Gemm"


@pytest.mark.parametrize("target", TARGETS)
def test_each_recipe_quantises_every_layer_in_its_own_way(small, body_of, target):
    body = body_of(small.checkpoint)
    ranges = collect(body, small.pixels)
    made = {name: quantize(body, ranges.limits(name), TARGETS[target]) for name in METHODS}
    for name, model in made.items():
        assert count_quantized(model) == (8, 8), name
        rounded = {one.op_type for one in model.graph.node}
        assert {"QuantizeLinear", "DequantizeLinear"} <= rounded
    assert len({model.SerializeToString() for model in made.values()}) == len(METHODS)


def test_the_calibration_images_decide_the_ranges(small, body_of):
    body = body_of(small.checkpoint)

    def made(pixels):
        limits = collect(body, pixels).limits("minmax")
        return quantize(body, limits, TARGETS["portable"]).SerializeToString()

    one = made(small.pixels)
    assert made(small.pixels) == one
    assert made(small.pixels // 4) != one


def test_the_body_is_left_as_it_was(body, ranges):
    before = body.SerializeToString()
    quantize(body, ranges.limits("minmax"), TARGETS["portable"])
    assert body.SerializeToString() == before


def test_what_onnxruntime_cannot_quantise_is_said_in_one_line(body, ranges, monkeypatch):
    def fail(*_, **__):
        raise KeyError  # without a message

    monkeypatch.setattr(quantization, "QDQQuantizer", fail)
    with pytest.raises(QuantizationError) as caught:
        quantize(body, ranges.limits("minmax"), TARGETS["portable"])
    assert str(caught.value) == "onnxruntime cannot quantise this network: KeyError"
