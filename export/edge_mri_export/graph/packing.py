"""Quantised graphs laid out for onnxruntime's integer kernels: the same answers to the bit, sooner.

Two layers take time out of proportion to their arithmetic, and are written otherwise. The first
convolution of a grey image has one channel, and gathers its input byte by byte: here eight
neighbouring pixels of a row become eight channels, and four neighbouring results four groups of
channels, so that it gathers eight bytes at a time. Enlarging to twice the side looks up every
value: here rows and columns are copied. Neither moves a byte besides, since onnxruntime works on
channels last, where neighbours in a row lie as channels do (`docs/decisions/0019-packing.md`).

It is the last thing done to a graph: what repairs or trains quantised graphs knows them unpacked.
"""

from collections import defaultdict
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from edge_mri_export.graph.editing import Graph, in_order
from edge_mri_export.graph.graph import PIXELS

_TOGETHER = (8, 4)  # pixels of a row that become channels, the first that divides the side
_QDQ = ("QuantizeLinear", "DequantizeLinear")
_CHANNELS_LAST, _CHANNELS_FIRST = (0, 2, 3, 1), (0, 3, 1, 2)


def packed(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a quantised model with its first convolution and its enlargements rewritten.

    Args:
        model: `pixels (N, 1, S, S) uint8` to outputs, in the QDQ form; stays as it is. What is not
            there, or has another form than these rewrites know, is left alone.
    """
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    shapes = Graph(model, "").shapes()
    for name in [node.name for node in model.graph.node if node.op_type in ("Conv", "Resize")]:
        graph = _Wiring(changed)
        node = next(one for one in changed.graph.node if one.name == name)
        if node.op_type == "Conv":
            _pack_convolution(graph, node)
        else:
            _enlarge_by_copies(graph, node, shapes.get(node.input[0], ()))
    return in_order(changed)


class _Wiring:
    """A graph with its nodes by what they make and take, and its constants by name."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.proto = model.graph
        self.makers = {output: node for node in self.proto.node for output in node.output}
        self.constants = {one.name: one for one in self.proto.initializer}
        self._takers: dict[str, list[onnx.NodeProto]] = defaultdict(list)
        for node in self.proto.node:
            for name in node.input:
                self._takers[name].append(node)

    def maker(self, name: str, kind: str) -> onnx.NodeProto | None:
        """Return the node that makes a value, if it is of a kind."""
        node = self.makers.get(name)
        return node if node is not None and node.op_type == kind else None

    def taker(self, name: str, kind: str) -> onnx.NodeProto | None:
        """Return the one node that takes a value, if there is one alone, of a kind."""
        nodes = self._takers[name]
        given_out = name in {output.name for output in self.proto.output}
        return nodes[0] if len(nodes) == 1 and nodes[0].op_type == kind and not given_out else None

    def constant(self, name: str) -> NDArray[Any] | None:
        """Return a constant's values; None for what is computed."""
        return numpy_helper.to_array(self.constants[name]) if name in self.constants else None

    def add_constant(self, values: NDArray[Any], name: str) -> str:
        """Add a constant and return its name."""
        self.proto.initializer.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def drop(self, *names: str) -> None:
        """Drop constants that no node takes any more."""
        taken = {name for node in self.proto.node for name in node.input}
        for name in set(names) & set(self.constants) - taken:
            self.proto.initializer.remove(self.constants[name])

    def reshape(self, value: str, shape: tuple[int, ...], name: str) -> str:
        """Add a Reshape of `(N, ...)` values to `shape` behind N."""
        target = self.add_constant(np.array([-1, *shape], np.int64), f"{name}_shape")
        self.proto.node.append(helper.make_node("Reshape", [value, target], [name], name=name))
        return name

    def transpose(self, value: str, order: tuple[int, ...], name: str) -> str:
        """Add a Transpose."""
        self.proto.node.append(helper.make_node("Transpose", [value], [name], name, perm=order))
        return name


def _pack_convolution(graph: _Wiring, node: onnx.NodeProto) -> None:
    """Let a convolution of the grey image, stride two, take pixels of a row as channels."""
    source = graph.maker(node.input[0], "DequantizeLinear")
    rounding = graph.taker(node.output[0], "QuantizeLinear")
    makers = [graph.maker(name, "DequantizeLinear") for name in node.input[1:]]
    constants = [maker for maker in makers if maker is not None]
    alone = [one for one in (source, *constants) if one and graph.taker(one.output[0], "Conv")]
    if source is None or rounding is None or len(alone) != 1 + len(makers):
        return
    size = _side_of_pixels(graph, source.input[0])
    weights = graph.constant(constants[0].input[0])
    attributes = {one.name: helper.get_attribute_value(one) for one in node.attribute}
    together = next((count for count in _TOGETHER if size and size % count == 0), 0)
    if not together or weights is None or weights.ndim != 4 or weights.shape[1] != 1:
        return
    top, left, bottom, right = attributes.get("pads", [0, 0, 0, 0])
    height, width = weights.shape[2:]
    plain = attributes.get("dilations", [1, 1]) == [1, 1]
    plain &= attributes.get("auto_pad", b"NOTSET") == b"NOTSET"
    halves = (size + left + right - width) // 2 + 1 == size // 2
    if attributes.get("strides") != [2, 2] or not plain or not halves:
        return
    wide, first, last = _wide_weights(weights[:, 0], left, together)
    channels, name = len(weights), node.name
    old = [value for one in constants for value in one.input]
    for one in constants:
        for position, value in enumerate(one.input):
            stored = graph.constant(value)
            if value == constants[0].input[0]:
                one.input[position] = graph.add_constant(wide, f"{value}_packed")
            elif stored is not None and stored.ndim:  # one number a channel
                tiled = np.tile(stored, together // 2)
                one.input[position] = graph.add_constant(tiled, f"{value}_packed")
    graph.drop(*old)
    rows_name = graph.reshape(source.input[0], (size, size // together, together), f"{name}_rows")
    source.input[0] = graph.transpose(rows_name, _CHANNELS_FIRST, f"{name}_packed")
    del node.attribute[:]
    sides = {
        "kernel_shape": list(wide.shape[2:]),
        "strides": [2, 1],
        "pads": [top, -first, bottom, last],
    }
    node.attribute.extend(helper.make_attribute(key, value) for key, value in sides.items())
    given = rounding.output[0]
    rounding.output[0] = f"{name}_wide"
    last_name = graph.transpose(rounding.output[0], _CHANNELS_LAST, f"{name}_wide_rows")
    lines = (size + top + bottom - height) // 2 + 1
    apart = graph.reshape(last_name, (lines, size // 2, channels), f"{name}_apart")
    graph.proto.node.append(
        helper.make_node("Transpose", [apart], [given], f"{name}_unpacked", perm=_CHANNELS_FIRST)
    )


def _wide_weights(weights: NDArray[Any], left: int, together: int) -> tuple[NDArray[Any], int, int]:
    """Return the weights that take pixels as channels, and what blocks of pixels they cover.

    Args:
        weights: `(O, kh, kw)`, of one channel.
        left: Columns of padding.
        together: Pixels of a block.

    Returns:
        `(together / 2 * O, together, kh, blocks)`, and the first and last block, counted from
        the one that the results lie in.
    """
    channels, height, width = weights.shape
    results = together // 2
    columns = [(result, tap, 2 * result - left + tap) for result, tap in np.ndindex(results, width)]
    first = min(column for _, _, column in columns) // together
    last = max(column for _, _, column in columns) // together
    wide = np.zeros((results, channels, together, height, last - first + 1), weights.dtype)
    for result, tap, column in columns:
        block, pixel = divmod(column, together)
        wide[result, :, pixel, :, block - first] = weights[:, :, tap]
    return wide.reshape(-1, *wide.shape[2:]), first, last


def _side_of_pixels(graph: _Wiring, name: str) -> int:
    """Return S where a value is the pixels, whatever integers they are in; 0 where it is not."""
    while (maker := graph.makers.get(name)) is not None and maker.op_type in _QDQ:
        name = maker.input[0]
    if name != PIXELS:
        return 0
    (image,) = (one for one in graph.proto.input if one.name == PIXELS)
    sides = [dim.dim_value for dim in image.type.tensor_type.shape.dim]
    return sides[2] if sides[1:] == [1, sides[2], sides[2]] else 0


def _enlarge_by_copies(graph: _Wiring, node: onnx.NodeProto, shape: tuple[int, ...]) -> None:
    """Enlarge to twice the side by copying rows and columns, on the integers themselves."""
    source = graph.maker(node.input[0], "DequantizeLinear")
    rounding = graph.taker(node.output[0], "QuantizeLinear")
    if source is None or rounding is None or not _doubles_by_copying(graph, node):
        return
    same = [
        np.array_equal(np.asarray(graph.constant(one)), np.asarray(graph.constant(other)))
        for one, other in zip(source.input[1:], rounding.input[1:], strict=True)
    ]
    if not all(same) or len(shape) != 4 or not all(shape[1:]):
        return
    _, channels, height, width = shape
    name = node.name
    nodes = graph.proto.node
    rows = graph.transpose(source.input[0], _CHANNELS_LAST, f"{name}_rows")
    apart = graph.reshape(rows, (height, 1, width, 1, channels), f"{name}_apart")
    twice = graph.add_constant(np.array([1, 1, 2, 1, 2, 1], np.int64), f"{name}_twice")
    nodes.append(helper.make_node("Expand", [apart, twice], [f"{name}_copies"], f"{name}_copies"))
    whole = (2 * height, 2 * width, channels)
    large = graph.reshape(f"{name}_copies", whole, f"{name}_large")
    given = rounding.output[0]
    nodes.append(
        helper.make_node("Transpose", [large], [given], f"{name}_doubled", perm=_CHANNELS_FIRST)
    )
    alone = graph.taker(source.output[0], "Resize") is not None
    for one in (node, rounding, *([source] if alone else [])):
        nodes.remove(one)
    graph.drop(*node.input, *rounding.input, *source.input)


def _doubles_by_copying(graph: _Wiring, node: onnx.NodeProto) -> bool:
    scales = graph.constant(node.input[2]) if len(node.input) == 3 else None
    kinds = {one.name: helper.get_attribute_value(one) for one in node.attribute}
    return (
        scales is not None
        and scales.tolist() == [1, 1, 2, 2]
        and kinds.get("mode", b"nearest") == b"nearest"
        and kinds.get("coordinate_transformation_mode") == b"asymmetric"
        and kinds.get("nearest_mode") == b"floor"
    )
