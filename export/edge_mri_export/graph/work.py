"""How much a graph computes and holds for one image, so that large ones stay within bounds."""

from collections.abc import Collection
from math import prod

import onnx

from edge_mri_export.graph.editing import attributes_of
from edge_mri_export.graph.layers import CONVOLUTIONS

_WORK = 4e12  # multiplications of one pass: a minute or two of one core
_LEAST_IMAGES = 200
_MOST_AT_ONCE = 64
_MOST_BYTES = 256e6
_FLOAT_BYTES = 4


def macs(model: onnx.ModelProto) -> int:
    """Return the multiplications of a graph's layers for one image; what has no shape counts 0."""
    shapes = _shapes(model)
    weights = {one.name: tuple(one.dims) for one in model.graph.initializer}
    total = 0
    for node in model.graph.node:
        made = shapes.get(node.output[0], ())
        kernel = next((weights[name] for name in node.input[1:2] if name in weights), ())
        if node.op_type in CONVOLUTIONS and len(kernel) > 2:
            total += prod(made[1:]) * prod(kernel[1:])
        elif node.op_type in ("Gemm", "MatMul") and len(kernel) == 2:
            turned = node.op_type == "Gemm" and attributes_of(node).get("transB")
            total += prod(made[1:]) * kernel[1 if turned else 0]
    return total


def images_within(work: int, most: int) -> int:
    """Return how many images a network is asked about over and over, `most` or fewer.

    Args:
        work: Its multiplications for an image.
        most: That small networks are asked about.
    """
    return int(min(most, max(_LEAST_IMAGES, _WORK / max(work, 1))))


def images_at_once(model: onnx.ModelProto, size: int = 0) -> int:
    """Return how many images a graph takes at once, so that no value grows beyond 256 MB.

    Args:
        model: The graph.
        size: Side of its input, where its graph does not say it.
    """
    largest = max((prod(shape[1:]) for shape in _shapes(model).values()), default=0)
    largest = max(largest, 64 * size * size if not largest else 0, 1)
    return int(min(max(_MOST_BYTES / (_FLOAT_BYTES * largest), 1), _MOST_AT_ONCE))


def bytes_of(model: onnx.ModelProto, names: Collection[str]) -> int:
    """Return how many bytes some float values of a graph take for one image."""
    sizes = [prod(shape[1:]) for name, shape in _shapes(model).items() if name in names]
    return _FLOAT_BYTES * sum(sizes)


def _shapes(model: onnx.ModelProto) -> dict[str, tuple[int, ...]]:
    try:
        graph = onnx.shape_inference.infer_shapes(model).graph
    except Exception:  # of a graph that onnx cannot follow; its errors share no base class
        return {}
    return {
        value.name: tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim)
        for value in (*graph.value_info, *graph.output)
    }
