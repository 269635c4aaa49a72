"""The limits no backend on this core can pass, and how much arithmetic a network needs.

Decoding: the bare grey JPEG decode of the same files, bytes in memory to pixels. Arithmetic: the
multiply-accumulates a second that ONNX Runtime's best kernels reach on one core, in INT8 and in
FP32, from dense 3x3 layers, which have all the reuse there can be and nothing but multiplications.
How far the two are apart depends on the CPU.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from edge_mri_bench.figures.rounds import Cell

LIMIT = "limit"
GREY_DECODE = "grey_decode"
_SHAPES = ((64, 40), (128, 28), (256, 14))  # channels, side
_MULTIPLIES = ("Conv", "ConvInteger", "QLinearConv", "Gemm", "MatMul", "MatMulInteger")


def grey_decode_cell(files: Sequence[Path]) -> Cell:
    """Return the bare grey decode of the timed images as a cell."""
    contents = [np.frombuffer(file.read_bytes(), np.uint8) for file in files]
    return Cell(
        LIMIT,
        GREY_DECODE,
        lambda image: cv2.imdecode(contents[image % len(contents)], cv2.IMREAD_GRAYSCALE),
    )


@dataclass(frozen=True)
class Kernel:
    """A dense convolution to measure the peak with.

    Attributes:
        precision: `int8` or `fp32`.
        macs: Multiply-accumulates of one call.
        cell: Runs it once.
    """

    precision: str
    macs: int
    cell: Cell


def peak_kernels() -> list[Kernel]:
    """Return the dense convolutions; the fastest of a precision is its peak."""
    return [make(channels, side) for make in (_int8, _fp32) for channels, side in _SHAPES]


def _int8(channels: int, side: int) -> Kernel:
    constants = {
        "x_scale": np.float32(0.02),
        "x_zero": np.uint8(128),
        "w": _weights(channels).astype(np.int8),
        "w_scale": np.full(channels, 0.01, np.float32),
        "w_zero": np.zeros(channels, np.int8),
        "y_scale": np.float32(0.1),
        "y_zero": np.uint8(128),
    }
    return _kernel("int8", "QLinearConv", constants, (channels, side))


def _fp32(channels: int, side: int) -> Kernel:
    return _kernel("fp32", "Conv", {"w": _weights(channels).astype(np.float32)}, (channels, side))


def _weights(channels: int) -> NDArray[np.int64]:
    return np.random.default_rng(0).integers(-63, 64, (channels, channels, 3, 3))


def _kernel(
    precision: str, kind: str, constants: Mapping[str, Any], size: tuple[int, int]
) -> Kernel:
    channels, side = size
    shape = [1, channels, side, side]
    pixel = TensorProto.UINT8 if precision == "int8" else TensorProto.FLOAT
    node = helper.make_node(kind, ["x", *constants], ["y"], kernel_shape=[3, 3], pads=[1] * 4)
    graph = helper.make_graph(
        [node],
        "peak",
        [helper.make_tensor_value_info("x", pixel, shape)],
        [helper.make_tensor_value_info("y", pixel, shape)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    pixels = np.random.default_rng(1).integers(0, 256, shape)
    pixels = pixels.astype(helper.tensor_dtype_to_np_dtype(pixel))
    return Kernel(
        precision=precision,
        macs=channels * channels * 9 * side * side,
        cell=Cell(
            LIMIT,
            f"{precision}_conv_{channels}x{side}",
            lambda _: session.run(None, {"x": pixels}),
        ),
    )


def count_macs(path: Path) -> int | None:
    """Return the multiply-accumulates of one image; None where the graph does not tell.

    Convolutions and matrix products on the way to the `logits` count, what else a graph does not.
    """
    model = onnx.load(path, load_external_data=False)
    for value in model.graph.input:
        value.type.tensor_type.shape.dim[0].dim_value = 1
    inferred = onnx.shape_inference.infer_shapes(model, data_prop=True)
    graph = inferred.graph
    shapes = {
        value.name: [dim.dim_value for dim in value.type.tensor_type.shape.dim]
        for value in (*graph.input, *graph.output, *graph.value_info)
    }
    shapes |= {tensor.name: list(tensor.dims) for tensor in graph.initializer}
    total = 0
    for node in _towards("logits", graph):
        if node.op_type in _MULTIPLIES:
            macs = _macs(node, shapes)
            if macs is None:
                return None
            total += macs
    return total or None


def _towards(output: str, graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    """Return the nodes that an output needs; all of them in a graph that has no such output."""
    if output not in {value.name for value in graph.output}:
        return list(graph.node)
    needed, found = {output}, []
    for node in reversed(graph.node):  # sorted, as ONNX wants them
        if not needed.isdisjoint(node.output):
            needed.update(node.input)
            found.append(node)
    return found


def _macs(node: onnx.NodeProto, shapes: dict[str, list[int]]) -> int | None:
    quantised = node.op_type == "QLinearConv"
    weights = shapes.get(node.input[3 if quantised else 1], [])
    output = shapes.get(node.output[0], [])
    if not weights or not output or not prod(weights):
        return None
    image = [dim or 1 for dim in output]  # a batch that stayed symbolic
    if "Conv" in node.op_type:
        return prod(image) * prod(weights[1:])
    attributes = {one.name: one.i for one in node.attribute}
    inner = weights[1] if attributes.get("transB") else weights[-2]
    return prod(image) * inner
