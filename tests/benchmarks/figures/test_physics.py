import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edge_mri.classifier import SHIPPED_MODEL, Classifier
from edge_mri_bench.figures.physics import count_macs, peak_kernels
from edge_mri_bench.measuring.layers import DENSE, DEPTHWISE, POINTWISE, layer_shares


def test_multiplications_are_counted_as_by_hand(tmp_path):
    weights = {
        "w": np.zeros((8, 3, 3, 3), np.float32),
        "depthwise": np.zeros((8, 1, 3, 3), np.float32),
        "fc": np.zeros((5, 8), np.float32),
        "b": np.zeros(5, np.float32),
    }
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"], pads=[1, 1, 1, 1], strides=[2, 2]),
        helper.make_node("Conv", ["a", "depthwise"], ["d"], pads=[1, 1, 1, 1], group=8),
        helper.make_node("Conv", ["d", "depthwise"], ["map"], pads=[1, 1, 1, 1], group=8),
        helper.make_node("GlobalAveragePool", ["d"], ["p"]),
        helper.make_node("Flatten", ["p"], ["f"]),
        helper.make_node("Gemm", ["f", "fc", "b"], ["logits"], transB=1),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3, 20, 16])],
        [
            helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", 5]),
            helper.make_tensor_value_info("map", TensorProto.FLOAT, ["N", 8, 10, 8]),
        ],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    onnx.save(model, tmp_path / "m.onnx")
    out = 10 * 8
    assert count_macs(tmp_path / "m.onnx") == out * 8 * 27 + out * 8 * 9 + 8 * 5


def test_the_model_that_ships_is_counted_through_its_quantisation():
    assert count_macs(SHIPPED_MODEL) > 1e6


def test_the_kernels_of_the_peak_run():
    assert {kernel.precision for kernel in peak_kernels()} == {"int8", "fp32"}
    for kernel in peak_kernels():
        (answer,) = kernel.cell.call(0)
        channels, side = answer.shape[1:3]
        assert kernel.macs == 9 * channels**2 * side**2
        assert answer.std() > 0
        assert answer.dtype == {"int8": np.uint8, "fp32": np.float32}[kernel.precision]


def test_the_layers_of_a_quantised_file_are_told_apart():
    shares = layer_shares(SHIPPED_MODEL, Classifier.load(device="cpu").contract.preprocess.size)
    assert sum(shares.values()) == pytest.approx(1, abs=0.01)
    assert list(shares.values()) == sorted(shares.values(), reverse=True)
    assert sum(shares.get(kind, 0) for kind in (DENSE, POINTWISE, DEPTHWISE)) > 0.5
    assert "QLinearConv" not in shares
