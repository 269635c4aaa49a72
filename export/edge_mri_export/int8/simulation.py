"""A quantised ONNX graph as a torch module that can be trained.

The graph itself is run, node by node, so that its export needs no hand work: every QuantizeLinear
rounds as it will in the file, weights and biases are rounded from float values that train, and
`QuantizedNetwork.to_model` writes the integers back. Scales and zero points stay as calibrated.
What it is trained with is `edge_mri_export.int8.qat`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import onnx
import torch
from onnx import helper, numpy_helper
from torch import Tensor, nn

from edge_mri_export.errors import GraphError
from edge_mri_export.graph.editing import attributes_of, copied
from edge_mri_export.graph.graph import PIXELS
from edge_mri_export.int8.operations import OPERATIONS
from edge_mri_export.int8.recipe import Target

_QDQ = ("QuantizeLinear", "DequantizeLinear")
_RANGES = {torch.uint8: (0, 255), torch.int8: (-128, 127)}
_SUFFIX = "_quantized"  # what onnxruntime calls the integers of an initialiser


class QuantizedNetwork(nn.Module):
    """The network that a QDQ graph describes, trainable.

    Args:
        model: A quantised graph from `pixels`.
        body: The float body that it was quantised from, whose weights are trained.
        target: The integers in use.

    Raises:
        GraphError: The graph has an operation that cannot be trained here.
    """

    def __init__(self, model: onnx.ModelProto, body: onnx.ModelProto, target: Target) -> None:
        super().__init__()
        self._model = model
        self._weight_limit = 2 ** (target.weight_bits - 1) - (target.weight_bits == 8)
        self._values = {one.name: _tensor(one) for one in model.graph.initializer}
        self._nodes = [(node, attributes_of(node)) for node in model.graph.node]
        unknown = sorted({node.op_type for node, _ in self._nodes} - {*OPERATIONS, *_QDQ})
        if unknown:
            raise GraphError(
                "the quantised network", f"training with {', '.join(unknown)} is not supported"
            )
        floats = {one.name: numpy_helper.to_array(one) for one in body.graph.initializer}
        self.trained = nn.ParameterDict()
        self._keys: dict[str, str] = {}
        for node, _ in self._nodes:
            stored = node.input[0] if node.op_type == "DequantizeLinear" else ""
            if stored in self._values and stored.removesuffix(_SUFFIX) in floats:
                self._keys[stored] = key = f"p{len(self._keys)}"
                original = floats[stored.removesuffix(_SUFFIX)]
                self.trained[key] = nn.Parameter(torch.from_numpy(original.copy()))

    def forward(self, pixels: Tensor) -> Tensor:
        """Map `(N, 1, S, S)` network input, uint8 or float with the same values, to `(N, K)`."""
        return self.values(pixels)["logits"]

    def values(
        self, pixels: Tensor, given: Mapping[str, Tensor] | None = None
    ) -> dict[str, Tensor]:
        """Return every value as computed, quantised ones as the float numbers they stand for.

        Args:
            pixels: The network input.
            given: Values that the nodes take instead of those computed, by name.
        """
        values: dict[str, Any] = {**self._values, PIXELS: pixels}
        instead = given or {}
        for node, attributes in self._nodes:
            inputs: list[Any] = [
                instead.get(name, values[name]) if name else None for name in node.input
            ]
            if node.op_type == "DequantizeLinear":
                values[node.output[0]] = self._dequantized(node, attributes, inputs)
            elif node.op_type == "QuantizeLinear":
                low, high = _RANGES[inputs[2].dtype]
                values[node.output[0]] = torch.fake_quantize_per_tensor_affine(
                    inputs[0], float(inputs[1]), int(inputs[2]), low, high
                )
            else:
                found = OPERATIONS[node.op_type](attributes, inputs)
                parts = found if isinstance(found, tuple) else (found,)
                values |= dict(zip(node.output, parts, strict=False))
        return values

    @torch.no_grad()
    def to_model(self) -> onnx.ModelProto:
        """Return the graph with the integers of the weights and biases as they are now."""
        model = copied(self._model)
        stored = {one.name: one for one in model.graph.initializer}
        for node, attributes in self._nodes:
            name = node.input[0]
            if node.op_type != "DequantizeLinear" or name not in self._keys:
                continue
            scale = self._values[node.input[1]]
            rounded = self._rounded(name, scale, attributes.get("axis", 1))
            integers = torch.round(rounded.double() / _along(scale, rounded, attributes).double())
            kind = helper.tensor_dtype_to_np_dtype(stored[name].data_type)
            stored[name].CopyFrom(numpy_helper.from_array(integers.numpy().astype(kind), name))
        return model

    def _dequantized(
        self, node: onnx.NodeProto, attributes: dict[str, Any], inputs: Sequence[Any]
    ) -> Tensor:
        if node.input[0] in self._keys:
            return self._rounded(node.input[0], inputs[1], attributes.get("axis", 1))
        if node.input[0] in self._values or node.input[0] == PIXELS:
            zero = inputs[2].float() if len(inputs) > 2 else 0.0
            scale = _along(inputs[1], inputs[0], attributes)
            dequantized: Tensor = (inputs[0].float() - zero) * scale
            return dequantized
        quantized: Tensor = inputs[0]  # QuantizeLinear gives what the integers stand for
        return quantized

    def _rounded(self, name: str, scale: Tensor, axis: int) -> Tensor:
        """Return a weight or bias as its integers stand for it."""
        values = self.trained[self._keys[name]]
        if self._values[name].dtype != torch.int8:  # a bias; int32 holds more than training needs
            along = _along(scale, values, {"axis": 0})
            bias: Tensor = values + (torch.round(values / along) * along - values).detach()
            return bias
        limit = self._weight_limit
        if scale.ndim == 0:
            return torch.fake_quantize_per_tensor_affine(values, float(scale), 0, -limit, limit)
        zeros = torch.zeros(len(scale), dtype=torch.int32)
        return torch.fake_quantize_per_channel_affine(values, scale, zeros, axis, -limit, limit)


def _along(scale: Tensor, values: Tensor, attributes: dict[str, Any]) -> Tensor:
    """Return a scale, one number or one a channel, in the shape that multiplies values."""
    if scale.ndim == 0 or scale.numel() == 1:
        return scale.reshape(())
    shape = [1] * values.ndim
    shape[attributes.get("axis", 1)] = -1
    return scale.reshape(shape)


def _tensor(stored: onnx.TensorProto) -> Tensor:
    return torch.from_numpy(numpy_helper.to_array(stored).copy())
