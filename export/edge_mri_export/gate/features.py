"""What the gate looks at: means and spreads of early feature maps, as values of the graph.

Deep features forget what they need not tell apart, and separate brain MR from other images worse
(`docs/decisions/0015-novelty.md` and `0070-no-brain-or-an-odd-one.md` have the figures). What is
made of them is `novelty` and `foreign`.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from edge_mri_export.errors import GraphError
from edge_mri_export.graph.editing import Graph, only
from edge_mri_export.graph.graph import PIXELS
from edge_mri_export.graph.work import images_at_once
from edge_mri_export.guard.answers import in_batches, memory_session

_OWN = "gate_"  # begins the names of what is added here
_CELLS = f"{_OWN}cells"


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
    return _add_means(graph, _add_halves(graph, name, graph.as_float(name), 1))


def add_statistics(graph: Graph, maps: Mapping[str, int], name: str) -> None:
    """Add means and standard deviations of the same halves, as the value `name (N, D)`.

    A quantised map counts in its own steps: scale and zero point make no difference to what is
    fitted to them, and cost a copy for each node that takes the map.

    Args:
        graph: The network.
        maps: Names, and every which row is looked at: neighbouring rows of a fine map say much the
            same, and all of them take several times as long. Where a step does not divide the
            rows, a smaller one is taken.
        name: Of the value.
    """
    averages, mean_squares = [], []
    for one, step in maps.items():
        cells = _add_steps(graph, one, math.gcd(step, graph.shapes()[one][2]))
        squares = f"{cells}_squares"
        graph.add([helper.make_node("Mul", [cells, cells], [squares])], {})
        averages.append(_add_means(graph, cells))
        mean_squares.append(_add_means(graph, squares))
    own = ("means", "mean_squares", "squared_means", "difference", "variance", "deviations")
    means, spread, squared, difference, variance, deviations = (f"{_OWN}{one}" for one in own)
    graph.add(
        [
            helper.make_node("Concat", averages, [means], axis=1),
            helper.make_node("Concat", mean_squares, [spread], axis=1),
            helper.make_node("Mul", [means, means], [squared]),
            helper.make_node("Sub", [spread, squared], [difference]),
            helper.make_node("Relu", [difference], [variance]),
            helper.make_node("Sqrt", [variance], [deviations]),
            helper.make_node("Concat", [means, deviations], [name], axis=1),
        ],
        {},
    )


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


def _add_steps(graph: Graph, name: str, step: int) -> str:
    """Add the cells of a map's halves, of every step-th row, in steps of a quantised map."""
    own = f"{_OWN}{name}_{step}_steps"
    maker = graph.makers[name]
    is_quantised = maker.op_type == "DequantizeLinear"
    values = maker.input[0] if is_quantised else graph.as_float(name)
    if step > 1:
        width = graph.shapes()[name][3]
        ends = {f"{own}_start": 0, f"{own}_end": width, f"{own}_axis": 3}
        graph.add(
            [  # rows end to end, of which the first of each `step` is copied whole
                helper.make_node("Reshape", [values, f"{own}_shape"], [f"{own}_rows"]),
                helper.make_node("Slice", [f"{own}_rows", *ends], [f"{own}_kept"]),
            ],
            {f"{own}_shape": np.array([0, 0, -1, step * width], np.int64)}
            | {end: np.array([at], np.int64) for end, at in ends.items()},
        )
        values = f"{own}_kept"
    halves = _add_halves(graph, name, values, step)
    if not is_quantised:
        return halves
    graph.add([helper.make_node("Cast", [halves], [own], to=TensorProto.FLOAT)], {})
    return own


def _add_halves(graph: Graph, name: str, values: str, step: int) -> str:
    """Add the cells of a map's halves `(N, 2 C, cells)`, of every step-th row's values."""
    _, channels, height, width = graph.shapes()[name]
    parts = channels * (1 if height // step * width % 2 else 2)
    halves, split = f"{_OWN}{values}_halves", f"{_OWN}{values}_split"
    if halves not in graph.makers:
        shape = {split: np.array([0, parts, -1], np.int64)}
        graph.add([helper.make_node("Reshape", [values, split], [halves])], shape)
    return halves


def _add_means(graph: Graph, cells: str) -> str:
    """Add the means `(N, D)` of `(N, D, cells)`; return the value."""
    means = f"{cells}_means"
    if means not in graph.makers:
        axis = {} if graph.constant(_CELLS) is not None else {_CELLS: np.array([2], np.int64)}
        graph.add([helper.make_node("ReduceMean", [cells, _CELLS], [means], keepdims=0)], axis)
    return means
