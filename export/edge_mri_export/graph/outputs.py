"""Outputs read off a finished graph, FP32 or INT8: the embedding and class activation maps.

Covers networks that end in one linear layer; outputs that a network gives itself are exported with
it (`edge_mri_export.graph.graph`). onnxruntime runs an output's nodes whether it is fetched or not;
they are few and cheap (`docs/decisions/0016-outputs.md`), and only what is asked for is there.
"""

from collections.abc import Sequence

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, helper

from edge_mri.errors import OptionError
from edge_mri.labels import LabelSpace
from edge_mri_export.errors import GraphError
from edge_mri_export.graph.editing import Graph, attributes_of, copied
from edge_mri_export.graph.graph import EMBEDDING, LESION, LOGITS

CAM = "cam"
NAMES = (EMBEDDING, CAM)
"""What can be asked for; `logits` and a network's own `lesion` are always there."""

_SAME_VALUES = ("Identity", "Dropout", "Cast", "QuantizeLinear", "DequantizeLinear")
_SAME_NUMBERS = (*_SAME_VALUES, "Reshape", "Flatten", "Squeeze")
_POOLED_AXES = ([2, 3], [-2, -1], [-1, -2], [3, 2])


def check_names(names: Sequence[str]) -> None:
    """Raise `OptionError` on outputs that no network has."""
    unknown = [name for name in names if name not in NAMES]
    if unknown:
        raise OptionError(
            f"unknown outputs {', '.join(unknown)}; expected some of {', '.join(NAMES)} "
            "(logits, and lesion where the network has it, are always there)"
        )


def add_outputs(
    model: onnx.ModelProto, names: Sequence[str], labels: LabelSpace, architecture: str
) -> onnx.ModelProto:
    """Return the model with more outputs.

    Args:
        model: Gives `logits (N, K)`; stays as it is.
        names: Some of `NAMES`. `embedding (N, D)` is what the last linear layer takes. `cam
            (N, T, h, w)` is the feature map before global average pooling, weighted as the last
            layer weights the pooled features (Zhou et al. 2016, "Learning deep features for
            discriminative localization"), one map per type: the mean over planes of its classes'.
            The mean of a map is its type's mean logit, less the bias.
        labels: The classes in the order of the logits.
        architecture: Of the network, for the error.

    Raises:
        GraphError: The network does not end in a linear layer, or, for `cam`, not in global average
            pooling and one linear layer, or it has a lesion map.
    """
    extended = copied(model)
    graph = Graph(extended, architecture)
    for name in names:
        if name in graph.outputs:
            continue
        if name == CAM:
            _add_cam(graph, labels)
        else:
            _add_embedding(graph)
    return extended


def _add_embedding(graph: Graph) -> None:
    features, weights = _last_layer(graph)
    graph.name(features, EMBEDDING)
    graph.add_output(EMBEDDING, ["N", weights.shape[1]])


def _add_cam(graph: Graph, labels: LabelSpace) -> None:
    if LESION in graph.outputs:
        raise GraphError(graph.architecture, "it has a lesion map; cam is for networks without")
    pooled, weights = _last_layer(graph)
    pool = graph.makers.get(graph.back_through(pooled, _SAME_NUMBERS))
    if pool is None or not _pools_globally(graph, pool):
        raise GraphError(
            graph.architecture,
            "cam needs a network that ends in global average pooling and one linear layer",
        )
    by_type = weights.reshape(len(labels.types), -1, weights.shape[1]).mean(axis=1)
    graph.add(
        [helper.make_node("Conv", [graph.as_float(pool.input[0]), "cam_weights"], [CAM])],
        {"cam_weights": by_type[:, :, np.newaxis, np.newaxis].astype(np.float32)},
    )
    graph.add_output(CAM, ["N", len(labels.types), "h", "w"])


def _last_layer(graph: Graph) -> tuple[str, NDArray[np.float32]]:
    """Return what the last linear layer takes, and its `(K, D)` weights."""
    node = graph.makers.get(graph.back_through(LOGITS, _SAME_VALUES))
    if node is not None and node.op_type == "Add":
        bias = next((one for one in node.input if graph.constant(one) is not None), None)
        rest = [one for one in node.input if one != bias]
        if bias is not None and rest:
            node = graph.makers.get(graph.back_through(rest[0], _SAME_VALUES))
    if node is not None and node.op_type in ("Gemm", "MatMul"):
        weights = graph.constant(node.input[1])
        flags = attributes_of(node)
        if weights is not None and not flags.get("transA"):
            return node.input[0], weights if flags.get("transB") else weights.T
    raise GraphError(graph.architecture, "it does not end in a linear layer, so has no embedding")


def _pools_globally(graph: Graph, node: NodeProto) -> bool:
    if node.op_type == "GlobalAveragePool":
        return True
    if node.op_type != "ReduceMean":
        return False
    axes = attributes_of(node).get("axes")
    if axes is None and len(node.input) > 1:
        constant = graph.constant(node.input[1])
        axes = None if constant is None else constant.tolist()
    return axes is not None and list(axes) in _POOLED_AXES
