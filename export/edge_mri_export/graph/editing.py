"""Reading and changing a finished graph: who makes a value, constants, more nodes, more outputs.

Which outputs there are is `edge_mri_export.graph.outputs` and `edge_mri_export.gate`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper

_FLOATS = (TensorProto.FLOAT, TensorProto.FLOAT16)


def copied(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a model of the same content, to be changed."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    return copy


def attributes_of(node: NodeProto) -> dict[str, Any]:
    """Return a node's attributes by name, as Python values."""
    return {one.name: helper.get_attribute_value(one) for one in node.attribute}


def only(model: onnx.ModelProto, names: Sequence[str]) -> onnx.ModelProto:
    """Return the part of a model that some of its values need; their types are float."""
    needed = set(names)
    nodes = []
    for node in reversed(model.graph.node):
        if needed.intersection(node.output):
            nodes.append(node)
            needed.update(node.input)
    part = copied(model)
    del part.graph.node[:], part.graph.output[:], part.graph.initializer[:]
    part.graph.node.extend(reversed(nodes))
    part.graph.initializer.extend(one for one in model.graph.initializer if one.name in needed)
    part.graph.output.extend(
        helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names
    )
    return part


def in_order(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the model with each node behind those it takes values from, as ONNX demands.

    Some converters put nodes at the end, and onnxruntime runs them all the same.
    """
    ordered = copied(model)
    waiting = list(model.graph.node)
    made = {name for node in waiting for name in node.output}
    del ordered.graph.node[:]
    while waiting:
        ready = (place for place, node in enumerate(waiting) if not made.intersection(node.input))
        place = next(ready, None)
        if place is None:
            return model  # a circle; the checker says so
        node = waiting.pop(place)
        ordered.graph.node.append(node)
        made.difference_update(node.output)
    return ordered


class Graph:
    """A graph with its nodes by what they make, and its constants by name."""

    def __init__(self, model: onnx.ModelProto, architecture: str) -> None:
        self.model = model
        self.proto = model.graph
        self.architecture = architecture
        self.makers = {output: node for node in self.proto.node for output in node.output}
        self._constants = {tensor.name: tensor for tensor in self.proto.initializer}

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the graph's outputs."""
        return tuple(output.name for output in self.proto.output)

    def constant(self, name: str) -> NDArray[np.float32] | None:
        """Return a constant's values in float, dequantised where it is; None if it is computed."""
        if name in self._constants:
            return numpy_helper.to_array(self._constants[name])
        maker = self.makers.get(name)
        if maker is None or maker.op_type != "DequantizeLinear":
            return None
        values, scale, *zero = (self.constant(one) for one in maker.input)
        if values is None or scale is None:
            return None
        shape = [1] * values.ndim
        if scale.size > 1:
            shape[attributes_of(maker).get("axis", 1)] = -1
        offset = np.zeros_like(scale) if not zero or zero[0] is None else zero[0]
        shifted = values.astype(np.float32) - offset.astype(np.float32).reshape(shape)
        dequantised: NDArray[np.float32] = shifted * scale.reshape(shape)
        return dequantised

    def back_through(self, name: str, operators: Sequence[str]) -> str:
        """Return the value that `name` becomes through nothing but `operators`."""
        while (node := self.makers.get(name)) is not None and node.op_type in operators:
            name = node.input[0]
        return name

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shapes of the floats that nodes make, 0 for the batch, in their order."""
        inferred = onnx.shape_inference.infer_shapes(self.model).graph
        known = {
            value.name: tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim)
            for value in (*inferred.value_info, *inferred.output)
            if value.type.tensor_type.elem_type in _FLOATS
        }
        return {name: known[name] for name in self.makers if name in known}

    def as_float(self, name: str) -> str:
        """Return a value, or where it is in half precision, what it is in float."""
        inferred = onnx.shape_inference.infer_shapes(self.model).graph
        kinds = {
            value.name: value.type.tensor_type.elem_type
            for value in (*inferred.value_info, *inferred.output)
        }
        if kinds.get(name) != TensorProto.FLOAT16:
            return name
        whole = f"{name}_float"
        if whole not in self.makers:
            cast = helper.make_node("Cast", [name], [whole], to=TensorProto.FLOAT)
            self.add([cast], {})
        return whole

    def name(self, value: str, name: str) -> None:
        """Give a value that nodes make and take a name of its own, in float."""
        whole = self.as_float(value)
        if whole != value:
            self.add([helper.make_node("Identity", [whole], [name])], {})
            return
        for node in self.proto.node:
            for names in (node.input, node.output):
                for position, one in enumerate(names):
                    if one == value:
                        names[position] = name
        self.makers[name] = self.makers.pop(value)

    def add(self, nodes: Sequence[NodeProto], constants: Mapping[str, NDArray[Any]]) -> None:
        """Add nodes behind the others, and the constants that they take."""
        self.proto.node.extend(nodes)
        self.makers |= {output: node for node in nodes for output in node.output}
        for name, values in constants.items():
            tensor = numpy_helper.from_array(np.ascontiguousarray(values), name)
            self.proto.initializer.append(tensor)
            self._constants[name] = tensor

    def add_output(self, name: str, shape: Sequence[str | int]) -> None:
        """Make a float value an output of the graph."""
        self.proto.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))
