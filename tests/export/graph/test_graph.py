from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, numpy_helper

from edge_mri.classifier import Classifier
from edge_mri_export.graph.graph import body_graph, with_pixel_input


def test_the_first_node_turns_bytes_into_0_to_1(each, nodes):
    graph, _, takers = nodes(each.fp32)
    (takes,) = graph.input
    assert takes.name == "pixels"
    assert takes.type.tensor_type.elem_type == TensorProto.UINT8
    (first,) = takers["pixels"]
    assert first is graph.node[0]
    assert first.op_type == "DequantizeLinear"
    values = {one.name: numpy_helper.to_array(one) for one in graph.initializer}
    assert values[first.input[1]] == np.float32(1 / 255)
    assert values[first.input[2]] == 0


@pytest.mark.parametrize("kind", ["fp32", "int8"])
def test_both_files_take_pixels_and_give_float_logits_for_any_number_of_images(each, kind):
    graph = onnx.load(getattr(each, kind)).graph
    size = each.checkpoint.preprocess.size
    (takes,), (gives,) = graph.input, graph.output
    assert takes.type.tensor_type.elem_type == TensorProto.UINT8
    assert gives.type.tensor_type.elem_type == TensorProto.FLOAT
    assert (takes.name, gives.name) == ("pixels", "logits")
    shape = takes.type.tensor_type.shape.dim
    assert [one.dim_param or one.dim_value for one in shape] == ["N", 1, size, size]
    assert gives.type.tensor_type.shape.dim[0].dim_param == "N"
    assert gives.type.tensor_type.shape.dim[1].dim_value == 12


@pytest.mark.parametrize("kind", ["fp32", "int8"])
def test_an_image_alone_gets_the_answer_it_gets_among_seven(each, kind):
    classifier = Classifier.load(getattr(each, kind), device="cpu")
    together = classifier.logits(each.pixels[:7])
    alone = [classifier.logits(each.pixels[row : row + 1]) for row in range(7)]
    np.testing.assert_allclose(np.concatenate(alone), together, rtol=1e-4, atol=1e-4)
    assert np.ptp(together, axis=0).min() > 0.1


@pytest.mark.parametrize("kind", ["fp32", "int8"])
def test_a_file_names_neither_the_machine_nor_its_folders(each, kind):
    data = getattr(each, kind).read_bytes()
    for private in (
        str(Path.cwd()),
        str(each.path.parent),
        str(Path.home()) + "/",
        "site-packages",
        ".py",
        "/tmp/",
    ):
        assert private.encode() not in data, private


@pytest.mark.parametrize("kind", ["fp32", "int8"])
def test_a_file_is_a_valid_model_with_nothing_but_the_contract_in_it(each, kind):
    model = onnx.load(getattr(each, kind))
    onnx.checker.check_model(model, full_check=True)
    assert [entry.key for entry in model.metadata_props] == ["edge_mri.contract", "edge_mri.sha256"]
    assert not model.functions
    assert {opset.domain for opset in model.opset_import} == {""}


@pytest.mark.parametrize("kind", ["fp32", "int8"])
def test_no_initialiser_is_left_over(each, kind):
    """onnxruntime warns of each, on the user's terminal."""
    graph = onnx.load(getattr(each, kind)).graph
    used = {name for node in graph.node for name in node.input}
    assert {one.name for one in graph.initializer} <= used


def test_batch_norms_are_folded_into_the_convolutions(road, nodes):
    graph, _, _ = nodes(road("mobilenet_v2").fp32)
    assert "BatchNormalization" not in {node.op_type for node in graph.node}


def test_exporting_leaves_the_network_as_it_was(small):
    before = small.checkpoint.logits(small.pixels[:3])
    body_graph(small.checkpoint)
    np.testing.assert_array_equal(small.checkpoint.logits(small.pixels[:3]), before)


def test_a_body_keeps_its_float_input_when_pixels_are_put_before_it(small):
    body = body_graph(small.checkpoint)
    before = body.SerializeToString()
    with_pixel_input(body)
    assert body.SerializeToString() == before
