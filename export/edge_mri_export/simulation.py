"""A quantised ONNX graph as a torch module that can be trained.

The graph itself is run, node by node, so that its export needs no hand work: every QuantizeLinear
rounds as it will in the file, weights and biases are rounded from float values that train, and
`QuantizedNetwork.to_model` writes the integers back. Scales and zero points stay as calibrated.
What it is trained with is `edge_mri_export.qat`.
"""

from collections.abc import Callable, Sequence
from typing import Any

import onnx
import torch
import torch.nn.functional as F
from onnx import helper, numpy_helper
from torch import Tensor, nn

from edge_mri_export.errors import GraphError
from edge_mri_export.graph import PIXELS
from edge_mri_export.recipe import Target

_RANGES = {torch.uint8: (0, 255), torch.int8: (-128, 127)}
_SUFFIX = "_quantized"  # what onnxruntime calls the integers of an initialiser

_Run = Callable[[dict[str, Any], Sequence[Any]], Any]


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
        self._nodes = [(node, _attributes(node)) for node in model.graph.node]
        unknown = sorted({node.op_type for node, _ in self._nodes} - {*_OPERATIONS, *_QDQ})
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
        return self.values(pixels, {})["logits"]

    def values(self, pixels: Tensor, given: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return every value of the graph, quantised ones as the float numbers they stand for.

        Args:
            pixels: The network input.
            given: Values to go on with instead of those computed, by name.
        """
        values: dict[str, Any] = {**self._values, PIXELS: pixels}
        for node, attributes in self._nodes:
            inputs: list[Any] = [values[name] if name else None for name in node.input]
            if node.op_type == "DequantizeLinear":
                values[node.output[0]] = self._dequantized(node, attributes, inputs)
            elif node.op_type == "QuantizeLinear":
                low, high = _RANGES[inputs[2].dtype]
                values[node.output[0]] = torch.fake_quantize_per_tensor_affine(
                    inputs[0], float(inputs[1]), int(inputs[2]), low, high
                )
            else:
                found = _OPERATIONS[node.op_type](attributes, inputs)
                parts = found if isinstance(found, tuple) else (found,)
                values |= dict(zip(node.output, parts, strict=False))
            values |= {name: given[name] for name in node.output if name in given}
        return values

    @torch.no_grad()
    def to_model(self) -> onnx.ModelProto:
        """Return the graph with the integers of the weights and biases as they are now."""
        model = onnx.ModelProto()
        model.CopyFrom(self._model)
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


def _attributes(node: onnx.NodeProto) -> dict[str, Any]:
    return {one.name: helper.get_attribute_value(one) for one in node.attribute}


def _padded(values: Tensor, attributes: dict[str, Any], fill: float) -> Tensor:
    """Pad height and width as the ONNX attribute `pads` says: all beginnings, then all ends."""
    pads = attributes.get("pads", [0, 0, 0, 0])
    if attributes.get("auto_pad", b"NOTSET") not in (b"NOTSET", b"VALID"):
        raise GraphError("the quantised network", "training with auto_pad is not supported")
    if not any(pads):
        return values
    top, left, bottom, right = pads
    return F.pad(values, (left, right, top, bottom), value=fill)


def _conv(attributes: dict[str, Any], inputs: Sequence[Any]) -> Tensor:
    values, weight, bias = (*inputs, None)[:3]
    return F.conv2d(
        _padded(values, attributes, 0.0),
        weight,
        bias,
        stride=tuple(attributes.get("strides", [1, 1])),
        dilation=tuple(attributes.get("dilations", [1, 1])),
        groups=attributes.get("group", 1),
    )


def _gemm(attributes: dict[str, Any], inputs: Sequence[Any]) -> Tensor:
    values, weight, *bias = inputs
    values = values.T if attributes.get("transA", 0) else values
    weight = weight.T if attributes.get("transB", 0) else weight
    product: Tensor = attributes.get("alpha", 1.0) * (values @ weight)
    return product + attributes.get("beta", 1.0) * bias[0] if bias else product


def _max_pool(attributes: dict[str, Any], inputs: Sequence[Any]) -> Tensor:
    return F.max_pool2d(
        _padded(inputs[0], attributes, -torch.inf),
        tuple(attributes["kernel_shape"]),
        tuple(attributes.get("strides", [1, 1])),
        ceil_mode=bool(attributes.get("ceil_mode", 0)),
    )


def _average_pool(attributes: dict[str, Any], inputs: Sequence[Any]) -> Tensor:
    if any(attributes.get("pads", [0])) and not attributes.get("count_include_pad", 0):
        raise GraphError("the quantised network", "training with padded averages is not supported")
    return F.avg_pool2d(
        _padded(inputs[0], attributes, 0.0),
        tuple(attributes["kernel_shape"]),
        tuple(attributes.get("strides", [1, 1])),
        ceil_mode=bool(attributes.get("ceil_mode", 0)),
    )


def _reduce_mean(attributes: dict[str, Any], inputs: Sequence[Any]) -> Tensor:
    values, *axes = inputs
    chosen = axes[0].tolist() if axes else attributes["axes"]
    mean: Tensor = values.mean(dim=chosen, keepdim=bool(attributes.get("keepdims", 1)))
    return mean


def _reshape(attributes: dict[str, Any], inputs: Sequence[Any]) -> Tensor:
    values, shape = inputs
    wanted = [values.shape[at] if size == 0 else size for at, size in enumerate(shape.tolist())]
    reshaped: Tensor = values.reshape(wanted)
    return reshaped


def _reduce_sum(attributes: dict[str, Any], inputs: Sequence[Any]) -> Tensor:
    values, *axes = inputs
    chosen = axes[0].tolist() if axes else attributes["axes"]
    total: Tensor = values.sum(dim=chosen, keepdim=bool(attributes.get("keepdims", 1)))
    return total


def _unsqueeze(attributes: dict[str, Any], inputs: Sequence[Any]) -> Tensor:
    values, axes = inputs
    chosen = axes.reshape(-1).tolist()
    rank = values.ndim + len(chosen)
    for axis in sorted(one % rank for one in chosen):
        values = values.unsqueeze(axis)
    unsqueezed: Tensor = values
    return unsqueezed


def _shape(attributes: dict[str, Any], inputs: Sequence[Any]) -> Tensor:
    return torch.tensor(inputs[0].shape)[attributes.get("start", 0) : attributes.get("end")]


def _resize(attributes: dict[str, Any], inputs: Sequence[Any]) -> Tensor:
    """Enlarge by whole numbers, where all kinds of nearest neighbour are one."""
    values, _, scales, sizes = (*inputs, None, None)[:4]
    height, width = values.shape[2:]
    if sizes is not None and sizes.numel():
        target = sizes.tolist()[-2:]
    else:
        target = [
            round(side * scale)
            for side, scale in zip((height, width), scales[2:].tolist(), strict=True)
        ]
    whole = target[0] % height == 0 and target[1] % width == 0
    if attributes.get("mode", b"nearest") != b"nearest" or not whole:
        raise GraphError(
            "the quantised network",
            "training with Resize other than to whole multiples by the "
            "nearest neighbour is not supported",
        )
    return F.interpolate(values, size=tuple(target), mode="nearest")


def _top_k(attributes: dict[str, Any], inputs: Sequence[Any]) -> tuple[Tensor, ...]:
    values, count = inputs
    return tuple(
        torch.topk(
            values, int(count), attributes.get("axis", -1), bool(attributes.get("largest", 1))
        )
    )


def _clip(attributes: dict[str, Any], inputs: Sequence[Any]) -> Tensor:
    low, high = (*inputs[1:], None, None)[:2]
    return torch.clamp(inputs[0], low, high)


def _split(attributes: dict[str, Any], inputs: Sequence[Any]) -> tuple[Tensor, ...]:
    values, *sizes = inputs
    axis = attributes.get("axis", 0)
    if sizes and sizes[0] is not None:
        return torch.split(values, sizes[0].tolist(), axis)
    return torch.chunk(values, attributes["num_outputs"], axis)


def _plain(function: Callable[..., Tensor]) -> _Run:
    """Return an operation without attributes."""
    return lambda attributes, inputs: function(*inputs)


_QDQ = ("QuantizeLinear", "DequantizeLinear")
_OPERATIONS: dict[str, _Run] = {
    "Add": _plain(torch.add),
    "AveragePool": _average_pool,
    "Clip": _clip,
    "Concat": lambda attributes, inputs: torch.cat(list(inputs), attributes["axis"]),
    "Conv": _conv,
    "Div": _plain(torch.div),
    "Exp": _plain(torch.exp),
    "Flatten": lambda attributes, inputs: inputs[0].flatten(attributes.get("axis", 1)),
    "Gemm": _gemm,
    "GlobalAveragePool": lambda attributes, inputs: inputs[0].mean(dim=(2, 3), keepdim=True),
    "Greater": _plain(torch.gt),
    "HardSigmoid": lambda attributes, inputs: torch.clamp(
        attributes.get("alpha", 0.2) * inputs[0] + attributes.get("beta", 0.5), 0, 1
    ),
    "HardSwish": lambda attributes, inputs: F.hardswish(inputs[0]),
    "Identity": lambda attributes, inputs: inputs[0],
    "Log": _plain(torch.log),
    "LogSoftmax": lambda attributes, inputs: inputs[0].log_softmax(attributes.get("axis", -1)),
    "MatMul": _plain(torch.matmul),
    "MaxPool": _max_pool,
    "Mul": _plain(torch.mul),
    "Neg": _plain(torch.neg),
    "ReduceMean": _reduce_mean,
    "ReduceSum": _reduce_sum,
    "Relu": _plain(torch.relu),
    "Reshape": _reshape,
    "Resize": _resize,
    "Shape": _shape,
    "Sigmoid": _plain(torch.sigmoid),
    "Softmax": lambda attributes, inputs: inputs[0].softmax(attributes.get("axis", -1)),
    "Softplus": _plain(F.softplus),
    "Split": _split,
    "Sub": _plain(torch.sub),
    "TopK": _top_k,
    "Transpose": lambda attributes, inputs: inputs[0].permute(attributes["perm"]),
    "Unsqueeze": _unsqueeze,
    "Where": _plain(torch.where),
}
