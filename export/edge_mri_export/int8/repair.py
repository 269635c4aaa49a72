"""Mending a quantised network without training: bias correction, and which layers hurt most.

Both compare a layer's output in the float body with the same layer's in the quantised graph, on
calibration images. When to mend is `edge_mri_export.int8.search`.
"""

from collections.abc import Iterator

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from edge_mri_export.graph.editing import copied
from edge_mri_export.graph.graph import NORMALISED, PIXELS
from edge_mri_export.graph.layers import layers, quantized_layers
from edge_mri_export.guard.answers import memory_session
from edge_mri_export.int8.values import float_values, with_outputs

_IMAGES = 96
_SMALLEST = 1e-12
_GIVEN = "_given"

Values = NDArray[np.float32]


def corrected_body(
    body: onnx.ModelProto,
    original: onnx.ModelProto,
    quantized: onnx.ModelProto,
    pixels: NDArray[np.uint8],
) -> onnx.ModelProto:
    """Return a body with biases that make up for what rounding and quantisation shift.

    Empirical bias correction (Nagel et al. 2019, section 4.2): each channel's mean output of the
    float layer less that of the quantised one, both given the float network's values, is added to
    the bias.

    Args:
        body: What was quantised; its weights may have been rounded.
        original: The float network whose answers are wanted.
        quantized: `body` quantised, from pixels.
        pixels: `(N, 1, S, S)` uint8 calibration images.
    """
    shifts: dict[str, Values] = {}
    count = 0
    for pairs, images in _layer_outputs(original, quantized, pixels):
        count += images
        for name, (float_output, int_output) in pairs.items():
            axes = tuple(axis for axis in range(float_output.ndim) if axis != 1)
            shift = (float_output - int_output).mean(axis=axes) * images
            shifts[name] = shifts.get(name, 0) + shift
    model = copied(body)
    stored = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in layers(model.graph):
        if node.op_type in ("Conv", "Gemm") and len(node.input) == 3 and node.name in shifts:
            bias = stored[node.input[2]]
            values = numpy_helper.to_array(bias) + shifts[node.name] / count
            bias.CopyFrom(numpy_helper.from_array(values.astype(np.float32), bias.name))
    return model


def worst_layers(
    body: onnx.ModelProto, quantized: onnx.ModelProto, pixels: NDArray[np.uint8]
) -> dict[str, float]:
    """Return each quantised layer's own signal-to-noise ratio in dB by name, the worst first."""
    signal: dict[str, float] = {}
    noise: dict[str, float] = {}
    for pairs, _ in _layer_outputs(body, quantized, pixels):
        for name, (float_output, int_output) in pairs.items():
            signal[name] = signal.get(name, 0) + float(np.square(float_output).sum())
            error = float(np.square(float_output - int_output).sum())
            noise[name] = noise.get(name, 0) + error
    ratios = {
        name: float(10 * np.log10((signal[name] + _SMALLEST) / (noise[name] + _SMALLEST)))
        for name in signal
    }
    return dict(sorted(ratios.items(), key=lambda item: item[1]))


def _layer_outputs(
    body: onnx.ModelProto, quantized: onnx.ModelProto, pixels: NDArray[np.uint8]
) -> Iterator[tuple[dict[str, tuple[Values, Values]], int]]:
    """Yield, batch by batch, each quantised layer's output in both graphs, and the images.

    Every layer of the quantised graph is given what it is given in the float one, so that what
    its output lacks is its own.
    """
    cut, given = _cut(quantized)
    integer = {node.name for node in quantized_layers(quantized.graph)}
    ends = [{node.name: node.output[0] for node in layers(one.graph)} for one in (body, cut)]
    names = [name for name in ends[0] if name in integer]
    float_names = list(dict.fromkeys([*given, *(ends[0][name] for name in names)]))
    int_names = [ends[1][name] for name in names]
    int_session = memory_session(with_outputs(cut, int_names))
    for batch, found in float_values(body, float_names, pixels[:_IMAGES]):
        feed = {PIXELS: batch, **{name + _GIVEN: found[name] for name in given}}
        int_values = int_session.run(int_names, feed)
        yield (
            {
                name: (found[ends[0][name]], value)
                for name, value in zip(names, int_values, strict=True)
            },
            len(batch),
        )


def _cut(quantized: onnx.ModelProto) -> tuple[onnx.ModelProto, list[str]]:
    """Return the graph with an input of its own for whatever is quantised, and their names."""
    model = copied(quantized)
    given: dict[str, None] = {}
    for node in model.graph.node:
        if node.op_type == "QuantizeLinear" and node.input[0] != NORMALISED:
            given[node.input[0]] = None
            node.input[0] += _GIVEN
    model.graph.input.extend(
        helper.make_tensor_value_info(name + _GIVEN, TensorProto.FLOAT, None) for name in given
    )
    return model, list(given)
