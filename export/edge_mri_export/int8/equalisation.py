"""Cross-layer equalisation: channels of one value made alike in range before it is quantised.

Activations have one scale a tensor, so that a channel of small values gets few of its levels. What
only convolutions make and only convolutions take, through ReLU, sums and whole-number resizing, can
have its channels scaled where it is made and scaled back where it is taken; the network's answers
stay as they are (Nagel et al. 2019, arXiv 1906.04721; the factors as in SmoothQuant, Xiao et al.
2023, arXiv 2211.10438). A Clip ends it: ReLU6 does not scale.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, numpy_helper

from edge_mri_export.graph.editing import attributes_of, copied
from edge_mri_export.int8.values import float_values

_IMAGES = 96
_SHARE = 0.7  # how much of the difference goes from the activations to the weights
_MOST = 16.0  # no channel is scaled by more, or less than its inverse
_THROUGH = ("Relu", "Add", "MaxPool", "AveragePool", "Resize")


@dataclass
class _Group:
    """Values whose channels can only be scaled together.

    Attributes:
        values: Their names.
        stored: Those of them that are quantised: what only a ReLU takes never is, and what the
            ReLU cuts off counts for nothing.
        makers: Convolutions that make one of them.
        takers: Convolutions that take one of them.
    """

    values: set[str] = field(default_factory=set)
    stored: set[str] = field(default_factory=set)
    makers: dict[str, NodeProto] = field(default_factory=dict)
    takers: dict[str, NodeProto] = field(default_factory=dict)


def equalised(body: onnx.ModelProto, pixels: NDArray[np.uint8]) -> tuple[onnx.ModelProto, int]:
    """Return a body with the same answers whose channels are more alike in range.

    With it comes how many groups of values there were to scale; 0 leaves it as it was.

    Args:
        body: `normalised (N, 1, S, S) float` to `logits`; left as it is.
        pixels: `(N, 1, S, S)` uint8 calibration images.
    """
    model = copied(body)
    groups = list(_groups(model.graph))
    if not groups:
        return model, 0
    largest = _channel_maxima(body, pixels, [name for one in groups for name in one.stored])
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    for group in groups:
        activations = np.max([largest[name] for name in group.stored], axis=0)
        taken = [numpy_helper.to_array(weights[node.input[1]]) for node in group.takers.values()]
        columns = np.max([np.abs(one).max(axis=(0, 2, 3)) for one in taken], axis=0)
        factors = _factors(activations, columns)
        for node in group.makers.values():
            for name in node.input[1:]:
                _scale(weights[name], factors, 0)
        for node in group.takers.values():
            _scale(weights[node.input[1]], np.float32(1) / factors, 1)
    return model, len(groups)


def _factors(activations: NDArray[np.float32], columns: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return what each channel is multiplied by; 1 for one that is dead on either side."""
    alive = (activations > 0) & (columns > 0)
    factors = np.ones_like(activations)
    if alive.any():
        raw = columns[alive] ** (1 - _SHARE) / activations[alive] ** _SHARE
        factors[alive] = np.clip(raw / np.exp(np.log(raw).mean()), 1 / _MOST, _MOST)
    return factors


def _scale(tensor: onnx.TensorProto, factors: NDArray[np.float32], axis: int) -> None:
    values = numpy_helper.to_array(tensor)
    shape = [1] * values.ndim
    shape[axis] = -1
    scaled = (values * factors.reshape(shape)).astype(np.float32)
    tensor.CopyFrom(numpy_helper.from_array(scaled, tensor.name))


def _groups(graph: onnx.GraphProto) -> Iterator[_Group]:
    """Yield the groups that convolutions alone make and take."""
    makers = {output: node for node in graph.node for output in node.output}
    takers: dict[str, list[NodeProto]] = {}
    for node in graph.node:
        for name in node.input:
            takers.setdefault(name, []).append(node)
    outputs = {output.name for output in graph.output}
    constants = {tensor.name for tensor in graph.initializer}
    shared = {name for name in constants if len(takers.get(name, [])) > 1}
    seen: set[str] = set()
    for start in [node.output[0] for node in graph.node if node.op_type == "Conv"]:
        if start in seen:
            continue
        group, whole = _Group(), True
        waiting = [start]
        while waiting:
            name = waiting.pop()
            if name in group.values:
                continue
            group.values.add(name)
            if any(node.op_type != "Relu" for node in takers.get(name, [])):
                group.stored.add(name)
            maker = makers.get(name)
            whole &= maker is not None and name not in outputs
            if maker is None:
                continue
            if maker.op_type == "Conv":
                group.makers[maker.name] = maker
                whole &= not shared.intersection(maker.input) and constants.issuperset(
                    maker.input[1:]
                )
            elif maker.op_type in _THROUGH:
                waiting += maker.input[: 2 if maker.op_type == "Add" else 1]
            else:
                whole = False
            for node in takers.get(name, []):
                if node.op_type == "Shape":
                    continue
                if node.op_type in _THROUGH:
                    waiting.append(node.output[0])
                elif (
                    node.op_type == "Conv"
                    and attributes_of(node).get("group", 1) == 1
                    and node.input[0] == name
                ):
                    group.takers[node.name] = node
                    whole &= not shared.intersection(node.input)
                else:
                    whole = False
        seen |= group.values
        if whole and group.stored and group.makers and group.takers:
            yield group


def _channel_maxima(
    body: onnx.ModelProto, pixels: NDArray[np.uint8], names: list[str]
) -> dict[str, NDArray[np.float32]]:
    """Return the largest absolute value of each channel on calibration images."""
    largest: dict[str, NDArray[np.float32]] = {}
    for _, batch in float_values(body, names, pixels[:_IMAGES]):
        for name, values in batch.items():
            found = np.abs(values).max(axis=(0, 2, 3))
            largest[name] = np.maximum(largest.get(name, found), found)
    return largest
