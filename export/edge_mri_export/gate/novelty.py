"""How unlike the training images an image is: fitted at export, part of the graph.

The score is the squared Mahalanobis distance (Lee et al. 2018, "A simple unified framework for
detecting out-of-distribution samples") of one feature map's channel means, over its upper and over
its lower half, to those of the training images. The map is the widest at an eighth of the image's
side, before anything smaller: deep features forget what they need not tell apart, and separate
brain MR from other images worse (`docs/decisions/0015-novelty.md` has the figures). Which scores
are too high is `edge_mri_export.gate.rejection`.
"""

import math
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

from edge_mri_export.errors import GraphError
from edge_mri_export.graph.editing import Graph, copied, only
from edge_mri_export.graph.graph import PIXELS
from edge_mri_export.graph.work import images_at_once
from edge_mri_export.guard.answers import in_batches, memory_session

NOVELTY = "novelty"

_REDUCTION = 8
_DIMENSIONS = 96
_SHRINKAGE = 1e-3
_FEATURES = "novelty_features"


@dataclass(frozen=True)
class Distance:
    """A Gaussian fitted to D features: k directions as they vary, the others all alike.

    Attributes:
        mean: `(D,)`.
        directions: `(D, k)`, those of the largest variance, scaled so that `|e|^2 / rest` less
            `|e directions|^2` is the squared distance of a deviation e.
        rest: Variance along each of the other directions.
    """

    mean: NDArray[np.float32]
    directions: NDArray[np.float32]
    rest: float

    @classmethod
    def fit(cls, features: NDArray[np.float32]) -> "Distance":
        """Fit to `(N, D)` features; the covariance is shrunk a little towards a sphere."""
        values = features.astype(np.float64)
        mean = values.mean(axis=0)
        deviations = values - mean
        variances, axes = np.linalg.eigh(deviations.T @ deviations / len(values))
        variances = np.maximum(variances, 0) + _SHRINKAGE * variances.mean() + 1e-12
        kept = min(_DIMENSIONS, len(mean) - 1)
        rest = float(variances[: len(mean) - kept].mean())
        largest, axes = variances[-kept:], axes[:, -kept:]
        scales = np.sqrt(np.maximum(1 / rest - 1 / largest, 0))
        return cls(mean.astype(np.float32), (axes * scales).astype(np.float32), rest)


def add_novelty(
    model: onnx.ModelProto, training: NDArray[np.uint8], architecture: str
) -> onnx.ModelProto:
    """Return the model with the output `novelty (N,)`: about 1 for an image like the training's.

    Args:
        model: `pixels (N, 1, S, S) uint8` to outputs, FP32 or quantised; stays as it is. Each
            needs its own fit, since quantising moves features.
        training: `(M, 1, S, S)` uint8 training images.
        architecture: Of the network, for the error.

    Raises:
        GraphError: The network has no feature map.
    """
    extended = copied(model)
    graph = Graph(extended, architecture)
    _add_features(graph)
    distance = Distance.fit(_features(extended, training))
    width = len(distance.mean)
    graph.add(
        [
            helper.make_node("Sub", [_FEATURES, "novelty_mean"], ["novelty_deviation"]),
            helper.make_node(
                "ReduceSumSquare",
                ["novelty_deviation", "novelty_axis"],
                ["novelty_squares"],
                keepdims=0,
            ),
            helper.make_node("Mul", ["novelty_squares", "novelty_rest"], ["novelty_sphere"]),
            helper.make_node(
                "MatMul", ["novelty_deviation", "novelty_directions"], ["novelty_along"]
            ),
            helper.make_node(
                "ReduceSumSquare",
                ["novelty_along", "novelty_axis"],
                ["novelty_known"],
                keepdims=0,
            ),
            helper.make_node("Sub", ["novelty_sphere", "novelty_known"], [NOVELTY]),
        ],
        {
            "novelty_mean": distance.mean,
            "novelty_rest": np.array(1 / (distance.rest * width), np.float32),
            "novelty_directions": distance.directions / np.float32(math.sqrt(width)),
        },
    )
    graph.add_output(NOVELTY, ["N"])
    return extended


def _add_features(graph: Graph) -> None:
    """Add the channel means `(N, D)` of a feature map's halves together, of length 1.

    A map with an odd number of cells is taken whole.
    """
    name = _feature_map(graph)
    _, _, height, width = graph.shapes()[name]
    halves = 1 if height * width % 2 else 2
    graph.add(
        [
            helper.make_node("Reshape", [graph.as_float(name), "novelty_split"], ["novelty_parts"]),
            helper.make_node(
                "ReduceMean", ["novelty_parts", "novelty_cells"], ["novelty_halves"], keepdims=0
            ),
            helper.make_node("Flatten", ["novelty_halves"], ["novelty_means"]),
            helper.make_node("ReduceL2", ["novelty_means", "novelty_axis"], ["novelty_length"]),
            helper.make_node("Max", ["novelty_length", "novelty_tiny"], ["novelty_divisor"]),
            helper.make_node("Div", ["novelty_means", "novelty_divisor"], [_FEATURES]),
        ],
        {
            "novelty_split": np.array([0, 0, halves, -1], np.int64),
            "novelty_cells": np.array([3], np.int64),
            "novelty_axis": np.array([1], np.int64),
            "novelty_tiny": np.array(1e-6, np.float32),
        },
    )


def _feature_map(graph: Graph) -> str:
    """Return the feature map to look at, as the layers behind it see it."""
    (image,) = (one for one in graph.proto.input if one.name == PIXELS)
    size = image.type.tensor_type.shape.dim[2].dim_value
    takers: dict[str, set[str]] = {}
    for node in graph.proto.node:
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
        {shape[2] for _, shape in maps}, key=lambda one: abs(math.log(one * _REDUCTION / size))
    )
    before = [shape[2] < side for _, shape in maps]
    backbone = maps[: before.index(True)] if True in before else maps
    here = [
        (shape[1], position) for position, (_, shape) in enumerate(backbone) if shape[2] == side
    ]
    return backbone[max(here)[1]][0]


def _features(model: onnx.ModelProto, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the features of `(M, 1, S, S)` images, running only what they need."""
    session = memory_session(only(model, [_FEATURES]))
    (features,) = in_batches(session, [_FEATURES], PIXELS, pixels, images_at_once(model))
    return features
