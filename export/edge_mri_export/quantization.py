"""Static INT8 quantisation in the QDQ form, calibrated on real images.

Activations are asymmetric uint8, weights int8 per channel in 7 bits: full-range weights
saturate the 16-bit sums of x86 CPUs without VNNI, and this file is to be right everywhere.
"""

import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_static,
)
from onnxruntime.quantization.shape_inference import quant_pre_process

from edge_mri_export.errors import QuantizationError
from edge_mri_export.graph import LOGITS, NORMALISED, absorb_pixel_input
from edge_mri_train.architectures import INPUT_SCALE
from edge_mri_train.errors import first_line

RECIPE = {
    "format": "QDQ",
    "method": "static",
    "calibration_method": "minmax",
    "activations": "uint8 asymmetric, per tensor",
    "weights": "int8 symmetric, per channel, 7 bits",
}

_WEIGHTED = ("Conv", "Gemm", "MatMul")
_BATCH = 16


def quantize(body: onnx.ModelProto, pixels: NDArray[np.uint8]) -> onnx.ModelProto:
    """Quantise a network's body and let it take raw pixels.

    Args:
        body: `normalised (N, 1, S, S) float` to `logits`.
        pixels: `(N, 1, S, S)` uint8 calibration images.

    Returns:
        `pixels (N, 1, S, S) uint8` to `logits`, the logits themselves in float.

    Raises:
        QuantizationError: ONNX Runtime cannot quantise it, or quantised nothing.
    """
    with tempfile.TemporaryDirectory(prefix="edge-mri-") as folder, _quiet():
        source, prepared, target = (Path(folder) / f"{name}.onnx" for name in "abc")
        onnx.save(body, source)
        try:
            quant_pre_process(source, prepared, skip_symbolic_shape=True)
            quantize_static(
                prepared,
                target,
                _Calibration(pixels),
                quant_format=QuantFormat.QDQ,
                per_channel=True,
                reduce_range=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                calibrate_method=CalibrationMethod.MinMax,
                extra_options={
                    "ActivationSymmetric": False,
                    "WeightSymmetric": True,
                    "TensorQuantOverrides": {NORMALISED: [_pixel_quantization()]},
                },
            )
        except Exception as error:  # onnxruntime's errors share no base class
            raise QuantizationError(
                f"onnxruntime cannot quantise this network: {first_line(error)}"
            ) from error
        quantized = onnx.load(target)
    model = absorb_pixel_input(quantized)
    _keep_logits_float(model.graph)
    done, total = count_quantized(model)
    if not done:
        raise QuantizationError(f"none of the {total} layers with weights was quantised")
    return model


def count_quantized(model: onnx.ModelProto) -> tuple[int, int]:
    """Return how many layers with weights run on quantised ones, and how many there are."""
    dequantized = {
        output
        for node in model.graph.node
        if node.op_type == "DequantizeLinear"
        for output in node.output
    }
    layers = [node for node in model.graph.node if node.op_type in _WEIGHTED]
    done = [node for node in layers if dequantized.issuperset(node.input[:2])]
    return len(done), len(layers)


class _Calibration(CalibrationDataReader):  # type: ignore[misc]
    """Feeds normalised batches."""

    def __init__(self, pixels: NDArray[np.uint8]) -> None:
        starts = range(0, len(pixels), _BATCH)
        self._batches = (_normalised(pixels[start : start + _BATCH]) for start in starts)

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        return next(self._batches, None)


def _normalised(pixels: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
    return {NORMALISED: pixels.astype(np.float32) * np.float32(INPUT_SCALE)}


def _pixel_quantization() -> dict[str, Any]:
    return {
        "quant_type": QuantType.QUInt8,
        "scale": np.array(INPUT_SCALE, np.float32),
        "zero_point": np.array(0, np.uint8),
    }


def _keep_logits_float(graph: onnx.GraphProto) -> None:
    """Drop the last QuantizeLinear and DequantizeLinear: eight bits are too few for logits."""
    by_output = {node.output[0]: node for node in graph.node}
    dequantize = by_output.get(LOGITS)
    if dequantize is None or dequantize.op_type != "DequantizeLinear":
        return
    quantize_ = by_output.get(dequantize.input[0])
    producer = by_output.get(quantize_.input[0]) if quantize_ is not None else None
    if quantize_ is None or producer is None:
        return
    producer.output[0] = LOGITS
    graph.node.remove(dequantize)
    graph.node.remove(quantize_)
    used = {name for node in graph.node for name in node.input}
    for tensor in [tensor for tensor in graph.initializer if tensor.name not in used]:
        graph.initializer.remove(tensor)


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the quantiser's advice, which it logs to the root logger."""
    level = logging.root.level
    logging.root.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logging.root.setLevel(level)
