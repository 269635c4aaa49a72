"""Weights of eight bits, whose products overflow 16 bits on x86 without VNNI.

`.ci/wheel-test` runs this with the oldest and the newest onnxruntime too, `full_range.onnx` being
stored since the runtime is tested without onnx; `python tests/runtime/test_full_range.py` writes it
again. On a CPU with VNNI the answers are right in any case.
"""

from pathlib import Path

import numpy as np
import pytest

from edge_mri.model.onnx_file import OnnxFile
from edge_mri.model.session import EXACT_INTEGERS, LAYERS_IN_FLOAT, SessionConfig, open_session

FILE = Path(__file__).parents[1] / "golden/expected/full_range.onnx"
SIDE, CHANNELS = 8, 16
LARGEST = 64 * 127 * 255


@pytest.mark.parametrize("pixel", [255, 200, 3])
@pytest.mark.parametrize("cache", [True, False])
def test_full_range_weights_do_not_saturate(pixel, cache, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    image = np.full((2, 1, SIDE, SIDE), pixel, np.uint8)
    for _ in range(2):  # the second session is the kept one
        session = open_session(OnnxFile.read(FILE), SessionConfig("cpu", cache=cache))
        (sums,) = session.run(["logits"], {"pixels": image})
        expected = 64 * 127 * pixel
        np.testing.assert_allclose(sums, expected, atol=LARGEST / 250 / 2 * 1.01)
        assert sums.shape == (2, CHANNELS, 1, 1)


def test_every_session_is_told_to(monkeypatch):
    """On a CPU with VNNI the answers cannot show it."""
    told = []

    def start(data, options, **_):
        told.extend(
            options.get_session_config_entry(name) for name, _ in (EXACT_INTEGERS, LAYERS_IN_FLOAT)
        )

    monkeypatch.setattr("onnxruntime.InferenceSession", start)
    open_session(OnnxFile.read(FILE), SessionConfig("cpu", cache=False))
    assert told == ["1", "WeightBiasQuantization"]


def write() -> None:
    """Write a convolution that adds all pixels, each with the weight 127, in every channel."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    values = {
        "one": np.array(1, np.float32),
        "scale": np.array(LARGEST / 250, np.float32),
        "zero": np.array(0, np.uint8),
        "weights": np.full((CHANNELS, 1, SIDE, SIDE), 127, np.int8),
        "weights_zero": np.array(0, np.int8),
    }
    nodes = [
        helper.make_node("DequantizeLinear", ["pixels", "one", "zero"], ["image"]),
        helper.make_node("DequantizeLinear", ["weights", "one", "weights_zero"], ["kernel"]),
        helper.make_node("Conv", ["image", "kernel"], ["sums"]),
        helper.make_node("QuantizeLinear", ["sums", "scale", "zero"], ["rounded"]),
        helper.make_node("DequantizeLinear", ["rounded", "scale", "zero"], ["logits"]),
    ]
    pixels = helper.make_tensor_value_info("pixels", TensorProto.UINT8, ["N", 1, SIDE, SIDE])
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", CHANNELS, 1, 1])
    constants = [numpy_helper.from_array(value, name) for name, value in values.items()]
    graph = helper.make_graph(nodes, "full range", [pixels], [logits], constants)
    opset = helper.make_opsetid("", 18)
    onnx.save(helper.make_model(graph, opset_imports=[opset], ir_version=8), FILE)


if __name__ == "__main__":
    write()
