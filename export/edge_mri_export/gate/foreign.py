"""How surely an image is no brain MR slice: fitted at export, part of the graph.

A logistic regression on means and spreads of early feature maps: brain images on one side, as they
are and extracted, on the other the images that an export is shown (`--foreign`), drawn ones and
spoiled ones. Every source counts alike, so that many images of one thing do not outweigh a few of
another. Where the answer ends is `edge_mri_export.gate.rejection`.
"""

from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

from edge_mri_export.gate.features import add_statistics, feature_map, values_of
from edge_mri_export.gate.images import Groups, weights
from edge_mri_export.graph.editing import Graph, copied

FOREIGN = "foreign"

_STEPS = {4: 4, 8: 1}
"""Which maps are looked at, by the input's side over theirs, and every which row of them."""
FEATURES = "foreign_features"
_C = 30.0  # inverse strength of the ridge, images counting 1 together


@dataclass(frozen=True)
class Head:
    """A logistic regression on D features.

    Attributes:
        slope: `(D,)` float32.
        offset: Log odds of no features.
    """

    slope: NDArray[np.float32]
    offset: float

    @classmethod
    def fit(
        cls,
        features: NDArray[np.float32],
        is_foreign: NDArray[np.bool_],
        shares: NDArray[np.float64],
    ) -> "Head":
        """Fit to `(N, D)` features, standardised, of images that count as `(N,)` shares say."""
        from sklearn.linear_model import LogisticRegression

        values = features.astype(np.float64)
        centre = values.mean(axis=0)
        scale = values.std(axis=0)
        scale[scale < 1e-6 * max(float(scale.max()), 1e-6)] = np.inf  # says nothing
        fit = LogisticRegression(C=_C, max_iter=3000)
        fit.fit((values - centre) / scale, is_foreign, sample_weight=shares)
        slope = fit.coef_[0] / scale
        return cls(slope.astype(np.float32), float(fit.intercept_[0] - slope @ centre))


def add_foreign(
    model: onnx.ModelProto, brains: Groups, foreign: Groups, architecture: str
) -> onnx.ModelProto:
    """Return the model with the output `foreign (N,)`: log odds that an image is no brain MR.

    Args:
        model: `pixels (N, 1, S, S) uint8` to outputs, FP32 or quantised; stays as it is.
        brains: Images that are.
        foreign: Images that are not.
        architecture: Of the network, for the error.

    Raises:
        GraphError: The network has no feature map.
    """
    extended = copied(model)
    graph = Graph(extended, architecture)
    add_features(graph)
    sides = [values_of(extended, FEATURES, list(one.values())) for one in (brains, foreign)]
    head = Head.fit(
        np.concatenate([one for side in sides for one in side]),
        np.repeat([False, True], [sum(map(len, side)) for side in sides]),
        np.concatenate([weights([len(one) for one in side]) for side in sides]) / 2,
    )
    graph.add(
        [
            helper.make_node("Mul", [FEATURES, "foreign_slope"], ["foreign_weighed"]),
            helper.make_node(
                "ReduceSum", ["foreign_weighed", "foreign_axis"], ["foreign_sum"], keepdims=0
            ),
            helper.make_node("Add", ["foreign_sum", "foreign_offset"], [FOREIGN]),
        ],
        {
            "foreign_slope": head.slope,
            "foreign_axis": np.array([1], np.int64),
            "foreign_offset": np.array(head.offset, np.float32),
        },
    )
    graph.add_output(FOREIGN, ["N"])
    return extended


def add_features(graph: Graph) -> None:
    """Add `FEATURES (N, D)`: means and spreads of the maps at a quarter and at an eighth."""
    maps = {feature_map(graph, reduction): step for reduction, step in _STEPS.items()}
    add_statistics(graph, maps, FEATURES)
