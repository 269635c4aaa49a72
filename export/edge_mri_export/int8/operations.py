"""The operations of a quantised graph in torch, one function each, so that gradients pass.

Each takes the attributes of its node and the values it is given, and follows the ONNX operator
specification of opset 18; what of it no network here needs is refused, not guessed. Quantising and
dequantising, whose numbers train, are `edge_mri_export.int8.simulation`.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from edge_mri_export.errors import GraphError

Run = Callable[[dict[str, Any], Sequence[Any]], Any]


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


def _squeeze(attributes: dict[str, Any], inputs: Sequence[Any]) -> Tensor:
    values, axes = inputs
    squeezed: Tensor = values.squeeze(tuple(axes.reshape(-1).tolist()))
    return squeezed


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


def _plain(function: Callable[..., Tensor]) -> Run:
    """Return an operation without attributes."""
    return lambda attributes, inputs: function(*inputs)


OPERATIONS: dict[str, Run] = {
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
    "Squeeze": _squeeze,
    "Sub": _plain(torch.sub),
    "TopK": _top_k,
    "Transpose": lambda attributes, inputs: inputs[0].permute(attributes["perm"]),
    "Unsqueeze": _unsqueeze,
    "Where": _plain(torch.where),
}
