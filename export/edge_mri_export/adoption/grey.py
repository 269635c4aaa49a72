"""A colour classifier behind one grey channel: the same answers to grey images, at a grey's cost.

Normalisation and repetition of the channel are a 1 x 1 convolution before the graph. Where a
convolution follows, the two are made one, exactly: without a mean its weights are summed over the
colours; with one and without padding the mean goes into the bias. With both, the rim sees padding
that is no black, so that a second plane, white everywhere, carries the mean
(`docs/decisions/0062-adopted-networks.md`).
"""

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper

from edge_mri_export.adoption.ending import Ending
from edge_mri_export.adoption.foreign import Foreign
from edge_mri_export.adoption.simplified import in_opset, simplified
from edge_mri_export.graph.editing import attributes_of
from edge_mri_export.graph.graph import NORMALISED, WHITE_PLANE

_COLOURS = "colours"
_WEIGHTS, _OFFSETS = "colour_gains", "colour_offsets"
_ARITHMETIC = ("Add", "Sub", "Mul", "Div")
_PADDED = (b"SAME_UPPER", b"SAME_LOWER")

Values = tuple[NDArray[np.float64], NDArray[np.float64]]
"""Gain and offset of each colour."""


def grey_body(foreign: Foreign, ending: Ending) -> onnx.ModelProto:
    """Return a foreign model as `normalised (N, 1, S, S) float`, 0 to 1, to `logits (N, K)`."""
    model = onnx.ModelProto()
    model.CopyFrom(foreign.model)
    takes = foreign.takes
    stored = {one.name for one in model.graph.initializer}
    kept = [one for one in model.graph.input if one.name not in stored]
    del model.graph.input[:]
    model.graph.input.extend(kept)
    model.graph.input[0].type.tensor_type.shape.CopyFrom(_shape(foreign))
    for value in model.graph.output:
        value.type.tensor_type.ClearField("shape")
    model = in_opset(model, foreign.name)
    ending.add_logits(model)
    _put_before(model.graph, foreign, takes)
    body = simplified(model, foreign.name, foreign.batch)
    _make_one(body.graph)
    return body


def _shape(foreign: Foreign) -> Any:
    last = foreign.layout == "nhwc"
    square = [foreign.size, foreign.size]
    sides = [*square, foreign.channels] if last else [foreign.channels, *square]
    value = helper.make_tensor_value_info("", TensorProto.FLOAT, ["N", *sides])
    return value.type.tensor_type.shape


def _put_before(graph: onnx.GraphProto, foreign: Foreign, takes: str) -> None:
    """Let a graph take `normalised`, and make its own input of it."""
    gains = foreign.spec.gains(foreign.channels).astype(np.float32)
    offsets = foreign.spec.offsets(foreign.channels).astype(np.float32)
    turned = f"{takes}_nchw" if foreign.layout == "nhwc" else takes
    nodes = [helper.make_node("Conv", [NORMALISED, _WEIGHTS, _OFFSETS], [turned], name=_COLOURS)]
    if foreign.layout == "nhwc":
        nodes.append(
            helper.make_node("Transpose", [turned], [takes], name="to_nhwc", perm=[0, 2, 3, 1])
        )
    graph.initializer.extend(
        [
            numpy_helper.from_array(gains.reshape(-1, 1, 1, 1), _WEIGHTS),
            numpy_helper.from_array(offsets, _OFFSETS),
        ]
    )
    after = list(graph.node)
    del graph.node[:], graph.input[:]
    graph.node.extend([*nodes, *after])
    shape: list[str | int | None] = ["N", 1, foreign.size, foreign.size]
    graph.input.append(helper.make_tensor_value_info(NORMALISED, TensorProto.FLOAT, shape))


def _make_one(graph: onnx.GraphProto) -> None:
    """Make the colours and the convolution that takes them one, where one takes them."""
    constants = {one.name: numpy_helper.to_array(one) for one in graph.initializer}
    takers = [node for node in graph.node if NORMALISED in node.input]
    if len(takers) != 1 or takers[0].op_type != "Conv" or takers[0].input[1] not in constants:
        return
    (colours,) = takers
    gains = constants[colours.input[1]]
    if gains.shape[1:] != (1, 1, 1):
        return
    has_offsets = len(colours.input) > 2
    offsets = constants[colours.input[2]] if has_offsets else np.zeros(len(gains))
    values = (gains.reshape(-1).astype(np.float64), offsets.astype(np.float64))
    between = [colours]
    while (stem := _only_user(graph, between[-1].output[0])) is not None:
        changed = _through(stem, between[-1].output[0], constants, values)
        if changed is None:
            break
        values = changed
        between.append(stem)
    if (
        stem is None
        or stem.op_type != "Conv"
        or any(one not in constants for one in stem.input[1:])
    ):
        return
    weights = constants[stem.input[1]].astype(np.float64)
    if weights.shape[1] == len(gains):  # else a convolution of each colour by itself
        _rewrite(graph, between, stem, weights, values)


def _only_user(graph: onnx.GraphProto, name: str) -> NodeProto | None:
    users = [node for node in graph.node if name in node.input]
    return users[0] if len(users) == 1 else None


def _through(
    node: NodeProto, name: str, constants: dict[str, NDArray[Any]], values: Values
) -> Values | None:
    """Return gains and offsets behind a node that scales or shifts colours; None: another node."""
    if node.op_type not in _ARITHMETIC or len(node.input) != 2:
        return None
    other = constants.get(next((one for one in node.input if one != name), ""))
    turned = node.input[0] != name
    if other is None or (turned and node.op_type in ("Div", "Sub")):
        return None
    gains, offsets = values
    if other.size != 1 and other.shape[-3:] != (len(gains), 1, 1):
        return None
    by = np.broadcast_to(other.reshape(-1).astype(np.float64), gains.shape)
    if node.op_type == "Mul":
        return gains * by, offsets * by
    if node.op_type == "Div":
        return gains / by, offsets / by
    return gains, offsets + (by if node.op_type == "Add" else -by)


def _rewrite(
    graph: onnx.GraphProto,
    between: list[NodeProto],
    stem: NodeProto,
    weights: NDArray[np.float64],
    values: Values,
) -> None:
    gains, offsets = values
    settings = attributes_of(stem)
    padded = any(settings.get("pads", [])) or settings.get("auto_pad") in _PADDED
    grey = np.einsum("ochw,c->ohw", weights, gains)[:, np.newaxis]
    means = np.einsum("ochw,c->ohw", weights, offsets)[:, np.newaxis]
    source = NORMALISED
    place = list(graph.node).index(between[0])
    for node in between:
        graph.node.remove(node)
    if padded and means.any():
        grey = np.concatenate([grey, means], axis=1)
        sides = np.array([0, 0, 0, 0, 0, 1, 0, 0], np.int64)
        graph.initializer.append(numpy_helper.from_array(sides, "white_plane_sides"))
        graph.initializer.append(numpy_helper.from_array(np.array(1, np.float32), "white"))
        node = helper.make_node(
            "Pad", [source, "white_plane_sides", "white"], [WHITE_PLANE], name=WHITE_PLANE
        )
        graph.node.insert(place, node)
        source = WHITE_PLANE
    elif means.any():
        bias = means.sum(axis=(1, 2, 3))
        if len(stem.input) > 2:
            stored = next(one for one in graph.initializer if one.name == stem.input[2])
            bias = bias + numpy_helper.to_array(stored)
            del stem.input[2]
        graph.initializer.append(numpy_helper.from_array(bias.astype(np.float32), "grey_bias"))
        stem.input.append("grey_bias")
    stem.input[0], stem.input[1] = source, "grey_weights"
    graph.initializer.append(numpy_helper.from_array(grey.astype(np.float32), "grey_weights"))
    taken = {name for node in graph.node for name in node.input}
    for tensor in [one for one in graph.initializer if one.name not in taken]:
        graph.initializer.remove(tensor)
