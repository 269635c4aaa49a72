"""How unlike the training images an image is: fitted at export, part of the graph.

The score is the squared Mahalanobis distance (Lee et al. 2018, "A simple unified framework for
detecting out-of-distribution samples") of one feature map's channel means, over its upper and over
its lower half, to those of the training images. The map is the widest at an eighth of the image's
side. Which scores are too high is `edge_mri_export.gate.rejection`.
"""

import math
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

from edge_mri_export.gate.features import add_means, feature_map, values_of
from edge_mri_export.gate.images import Groups, weights
from edge_mri_export.graph.editing import Graph, copied

NOVELTY = "novelty"

_REDUCTION = 8
_DIMENSIONS = 96
_SHRINKAGE = 1e-3
FEATURES = "novelty_features"


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
    def fit(
        cls, features: NDArray[np.float32], shares: NDArray[np.float64] | None = None
    ) -> "Distance":
        """Fit to `(N, D)` features; the covariance is shrunk a little towards a sphere.

        Args:
            features: Of the images.
            shares: `(N,)` what each counts, together 1; None: all alike.
        """
        values = features.astype(np.float64)
        counts = np.full(len(values), 1 / len(values)) if shares is None else shares
        mean = counts @ values
        deviations = values - mean
        variances, axes = np.linalg.eigh((deviations.T * counts) @ deviations)
        variances = np.maximum(variances, 0) + _SHRINKAGE * variances.mean() + 1e-12
        kept = min(_DIMENSIONS, len(mean) - 1)
        rest = float(variances[: len(mean) - kept].mean())
        largest, axes = variances[-kept:], axes[:, -kept:]
        scales = np.sqrt(np.maximum(1 / rest - 1 / largest, 0))
        return cls(mean.astype(np.float32), (axes * scales).astype(np.float32), rest)


def add_novelty(model: onnx.ModelProto, training: Groups, architecture: str) -> onnx.ModelProto:
    """Return the model with the output `novelty (N,)`: about 1 for an image like the training's.

    Args:
        model: `pixels (N, 1, S, S) uint8` to outputs, FP32 or quantised; stays as it is. Each
            needs its own fit, since quantising moves features.
        training: Training images; each group counts alike.
        architecture: Of the network, for the error.

    Raises:
        GraphError: The network has no feature map.
    """
    extended = copied(model)
    graph = Graph(extended, architecture)
    add_features(graph)
    features = values_of(extended, FEATURES, list(training.values()))
    distance = Distance.fit(np.concatenate(features), weights([len(one) for one in features]))
    width = len(distance.mean)
    graph.add(
        [
            helper.make_node("Sub", [FEATURES, "novelty_mean"], ["novelty_deviation"]),
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


def add_features(graph: Graph) -> None:
    """Add `FEATURES (N, D)`: channel means of a feature map's halves, together of length 1."""
    means = add_means(graph, feature_map(graph, _REDUCTION))
    graph.add(
        [
            helper.make_node("ReduceL2", [means, "novelty_axis"], ["novelty_length"]),
            helper.make_node("Max", ["novelty_length", "novelty_tiny"], ["novelty_divisor"]),
            helper.make_node("Div", [means, "novelty_divisor"], [FEATURES]),
        ],
        {
            "novelty_axis": np.array([1], np.int64),
            "novelty_tiny": np.array(1e-6, np.float32),
        },
    )
