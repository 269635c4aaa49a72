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
    return _add_means(graph, name, 1)[1]


def add_statistics(graph: Graph, name: str, step: int) -> str:
    """Add means and standard deviations of the same halves; return the `(N, 2 D)` value.

    Args:
        graph: The network.
        name: The map.
        step: Of the rows and columns that are looked at: neighbouring cells of a fine map say much
            the same, and all of them take several times as long.
    """
    halves, means = _add_means(graph, name, step)
    own = f"{halves}_"
    graph.add(
        [
            helper.make_node("Mul", [halves, halves], [f"{own}squares"]),
            helper.make_node(
                "ReduceMean", [f"{own}squares", _CELLS], [f"{own}mean_squares"], keepdims=0
            ),
            helper.make_node("Flatten", [f"{own}mean_squares"], [f"{own}flat_squares"]),
            helper.make_node("Mul", [means, means], [f"{own}squared_means"]),
            helper.make_node(
                "Sub", [f"{own}flat_squares", f"{own}squared_means"], [f"{own}difference"]
            ),
            helper.make_node("Relu", [f"{own}difference"], [f"{own}variance"]),
            helper.make_node("Sqrt", [f"{own}variance"], [f"{own}deviations"]),
            helper.make_node("Concat", [means, f"{own}deviations"], [f"{own}statistics"], axis=1),
        ],
        {},
    )
    return f"{own}statistics"


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


def _add_means(graph: Graph, name: str, step: int) -> tuple[str, str]:
    """Add a map's halves `(N, C, 2, cells)`, of every step-th row and column, and their means."""
    _, _, height, width = graph.shapes()[name]
    rows, columns = -(-height // step), -(-width // step)
    own = f"{_OWN}{name}_{step}_"
    whole, halves, means = graph.as_float(name), f"{own}halves", f"{own}means"
    if means in graph.makers:
        return halves, means
    if step > 1:
        ends = ("starts", "ends", "axes", "steps")
        values = ([0, 0], [height, width], [2, 3], [step, step])
        thin = [whole, *(f"{own}{one}" for one in ends)]
        constants = {
            f"{own}{one}": np.array(value, np.int64)
            for one, value in zip(ends, values, strict=True)
        }
        graph.add([helper.make_node("Slice", thin, [f"{own}thin"])], constants)
        whole = f"{own}thin"
    split = np.array([0, 0, 1 if rows * columns % 2 else 2, -1], np.int64)
    constants = {f"{own}split": split}
    if graph.constant(_CELLS) is None:
        constants[_CELLS] = np.array([3], np.int64)
    graph.add(
        [
            helper.make_node("Reshape", [whole, f"{own}split"], [halves]),
            helper.make_node("ReduceMean", [halves, _CELLS], [f"{own}average"], keepdims=0),
            helper.make_node("Flatten", [f"{own}average"], [means]),
        ],
        constants,
    )
    return halves, means
