"""What the gate looks at: means and spreads of early feature maps, as values of the graph.

Deep features forget what they need not tell apart, and separate brain MR from other images worse
(`docs/decisions/0015-novelty.md` and `0070-no-brain-or-an-odd-one.md` have the figures). What is
made of them is `novelty` and `foreign`.
"""

import math
from collections.abc import Sequence

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

from edge_mri_export.errors import GraphError
from edge_mri_export.graph.editing import Graph, only
from edge_mri_export.graph.graph import PIXELS
from edge_mri_export.graph.work import images_at_once
from edge_mri_export.guard.answers import in_batches, memory_session

_OWN = "gate_"  # begins the names of what is added here


def feature_map(graph: Graph, reduction: int) -> str:
    """Return the widest feature map at a share of the image's side, as the layers behind see it.

    The last of those before anything smaller; the nearest share where there is none of it.

    Args:
        graph: The network.
        reduction: The image's side by the map's.

    Raises:
        GraphError: The network has no feature map.
    """
    (image,) = (one for one in graph.proto.input if one.name == PIXELS)
    size = image.type.tensor_type.shape.dim[2].dim_value
    takers: dict[str, set[str]] = {}
    for node in graph.proto.node:
        if not node.output[0].startswith(_OWN):
            for name in node.input:
                takers.setdefault(name, set()).add(node.op_type)
    maps = [
        (name, shape)
        for name, shape in graph.shapes().items()
        if len(shape) == 4
        and 1 < shape[2] < size
        and takers.get(name, set()) - {"QuantizeLinear"}
        and graph.constant(name) is None
    ]
    if not maps:
        raise GraphError(graph.architecture, "it has no feature map to tell foreign images by")
    side = min(
        {shape[2] for _, shape in maps}, key=lambda one: abs(math.log(one * reduction / size))
    )
    before = [shape[2] < side for _, shape in maps]
    backbone = maps[: before.index(True)] if True in before else maps
    here = [
        (shape[1], position) for position, (_, shape) in enumerate(backbone) if shape[2] == side
    ]
    return backbone[max(here)[1]][0]


def add_means(graph: Graph, name: str) -> str:
    """Add the channel means of a map's upper and of its lower half; return the `(N, D)` value.

    A map with an odd number of cells is taken whole.
    """
    means = f"{_OWN}{name}_means"
    if means not in graph.makers:
        halves = _add_halves(graph, name)
        average = helper.make_node("ReduceMean", [halves, _CELLS], [f"{halves}_mean"], keepdims=0)
        flat = helper.make_node("Flatten", [f"{halves}_mean"], [means])
        graph.add([average, flat], {})
    return means


def add_spreads(graph: Graph, name: str) -> str:
    """Add the channels' standard deviations over the same halves; return the `(N, D)` value."""
    spreads = f"{_OWN}{name}_spreads"
    if spreads in graph.makers:
        return spreads
    means, halves = add_means(graph, name), _add_halves(graph, name)
    _, _, height, width = graph.shapes()[name]
    cells = np.array(height * width // (1 if height * width % 2 else 2), np.float32)
    parts = [f"{halves}_{part}" for part in ("sum", "flat", "square", "mean_square", "rest", "var")]
    total, flat, square, mean_square, rest, variance = parts
    graph.add(
        [
            helper.make_node("ReduceSumSquare", [halves, _CELLS], [total], keepdims=0),
            helper.make_node("Flatten", [total], [flat]),
            helper.make_node("Div", [flat, f"{halves}_cells"], [mean_square]),
            helper.make_node("Mul", [means, means], [square]),
            helper.make_node("Sub", [mean_square, square], [rest]),
            helper.make_node("Relu", [rest], [variance]),
            helper.make_node("Sqrt", [variance], [spreads]),
        ],
        {f"{halves}_cells": cells},
    )
    return spreads


def values_of(
    model: onnx.ModelProto, name: str, groups: Sequence[NDArray[np.uint8]]
) -> list[NDArray[np.float32]]:
    """Return a value `(M, D)` for each group of `(M, 1, S, S)` images, running only what it needs.

    Args:
        model: The graph.
        name: Of the value.
        groups: The images.
    """
    session, count = memory_session(only(model, [name])), images_at_once(model)
    return [in_batches(session, [name], PIXELS, pixels, count)[0] for pixels in groups]


_CELLS = f"{_OWN}cells"


def _add_halves(graph: Graph, name: str) -> str:
    """Add a map's halves, one behind the other: `(N, C, 2, cells)`, or `(N, C, 1, cells)`."""
    halves = f"{_OWN}{name}_halves"
    if halves not in graph.makers:
        _, _, height, width = graph.shapes()[name]
        split = np.array([0, 0, 1 if height * width % 2 else 2, -1], np.int64)
        shape = f"{halves}_split"
        node = helper.make_node("Reshape", [graph.as_float(name), shape], [halves])
        constants = {shape: split}
        if graph.constant(_CELLS) is None:
            constants[_CELLS] = np.array([3], np.int64)
        graph.add([node], constants)
    return halves
