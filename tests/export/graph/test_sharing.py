import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edge_mri_export.graph.sharing import shared
from edge_mri_export.guard.answers import graph_answers, memory_session
from edge_mri_export.int8.quantization import quantize
from edge_mri_export.int8.ranges import collect
from edge_mri_export.int8.recipe import TARGETS


@pytest.fixture
def model() -> onnx.ModelProto:
    """`((2 x + 3) 2 + 3) 2`: two constants twice, and others alike but for type or shape."""
    constants = {
        "two": np.array([2], np.float32),
        "three": np.array([3], np.float32),
        "too": np.array([2], np.float32),
        "tree": np.array([3], np.float32),
        "axis": np.array([0], np.int64),
        "other": np.array([[2]], np.float32),
    }
    steps = [
        ("Mul", "x", "two", "a"),
        ("Add", "a", "three", "b"),
        ("Mul", "b", "too", "c"),
        ("Add", "c", "tree", "d"),
        ("Unsqueeze", "d", "axis", "e"),
        ("Mul", "e", "other", "y"),
    ]
    nodes = [helper.make_node(kind, list(given), [made]) for kind, *given, made in steps]
    floats = [helper.make_tensor_value_info(one, TensorProto.FLOAT, None) for one in ("x", "y")]
    stored = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "twice", floats[:1], floats[1:], stored)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


def test_like_constants_are_stored_once_and_the_answer_stays(model):
    before = model.SerializeToString()
    small = shared(model)
    assert [one.name for one in small.graph.initializer] == ["two", "three", "axis", "other"]
    assert model.SerializeToString() == before
    given = {"x": np.array([1.5, -2], np.float32)}
    for one in (model, small):
        (answer,) = memory_session(one).run(None, given)
        assert answer.tolist() == [[30, 2]]


@pytest.mark.parametrize("target", ["avx512-vnni", "arm64"])
def test_a_full_range_file_opens_on_every_cpu(small, body_of, target):
    """On x86 without VNNI onnxruntime rewrites the weights of each layer and their zero points."""
    body = body_of(small.checkpoint)
    limits = collect(body, small.pixels[:8]).limits("minmax")
    model = quantize(body, limits, TARGETS[target])
    answers = [graph_answers(one, small.pixels[:8]).logits for one in (model, shared(model))]
    np.testing.assert_array_equal(*answers)


@pytest.mark.parametrize("kind", ["fp32", "int8"])
def test_no_file_holds_a_constant_twice(each, kind):
    stored = [
        one
        for one in onnx.load(getattr(each, kind)).graph.initializer
        if one.data_type != TensorProto.INT8
    ]
    alike = {
        (one.data_type, tuple(one.dims), numpy_helper.to_array(one).tobytes()) for one in stored
    }
    assert len(alike) == len(stored)
