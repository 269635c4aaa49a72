import numpy as np
import onnx
import pytest
from onnx import TensorProto, numpy_helper

from edge_mri_export import quantization
from edge_mri_export.errors import QuantizationError
from edge_mri_export.graph import body_graph
from edge_mri_export.quantization import count_quantized, quantize

LAYERS = {"artemis_cnn": 8, "mobilenet_v2": 53}


def test_only_a_dequantize_stands_between_the_pixels_and_the_first_convolution(each, nodes):
    graph, _, takers = nodes(each.int8)
    values = {one.name: numpy_helper.to_array(one) for one in graph.initializer}
    (dequantize,) = takers["pixels"]
    assert dequantize.op_type == "DequantizeLinear"
    assert values[dequantize.input[1]] == np.float32(1 / 255)
    assert values[dequantize.input[2]] == 0
    assert values[dequantize.input[2]].dtype == np.uint8
    (convolution,) = takers[dequantize.output[0]]
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
    assert exported.int8.stat().st_size < 0.35 * exported.fp32.stat().st_size


def test_the_calibration_images_decide_the_ranges(small):
    body = body_graph(small.checkpoint)
    one = quantize(body, small.pixels).SerializeToString()
    assert quantize(body, small.pixels).SerializeToString() == one
    assert quantize(body, small.pixels // 4).SerializeToString() != one


def test_the_body_is_left_as_it_was(small):
    body = body_graph(small.checkpoint)
    before = body.SerializeToString()
    quantize(body, small.pixels[:4])
    assert body.SerializeToString() == before


def test_what_onnxruntime_cannot_quantise_is_said_in_one_line(small, monkeypatch):
    def fail(*_, **__):
        raise KeyError  # without a message

    monkeypatch.setattr(quantization, "quantize_static", fail)
    with pytest.raises(QuantizationError) as caught:
        quantize(body_graph(small.checkpoint), small.pixels[:4])
    assert str(caught.value) == "onnxruntime cannot quantise this network: KeyError"
