import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edge_mri_export.answers import memory_session
from edge_mri_export.sharing import shared


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


@pytest.mark.parametrize("kind", ["fp32", "int8"])
def test_no_file_holds_a_constant_twice(each, kind):
    stored = onnx.load(getattr(each, kind)).graph.initializer
    alike = {
        (one.data_type, tuple(one.dims), numpy_helper.to_array(one).tobytes()) for one in stored
    }
    assert len(alike) == len(stored)
