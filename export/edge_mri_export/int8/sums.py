"""Quantised additions that come out alike on every CPU.

onnxruntime adds quantised values (residual connections, feature pyramids) in float on x86, and with
multipliers of 22 bits on ARM (MLAS, `qladd.cpp`). Of the 65,536 pairs of 8-bit values, sums that
lie next to the middle between two levels then round one way here and the other way there, each
time they occur, and all later layers differ. A scale of the result that differs in its fifth digit
has other such pairs, and many have none (`docs/decisions/0051-sums-without-ties.md`).
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from edge_mri_export.graph.editing import in_order

_STEP = 2.0**-22  # between the scales that are tried, relative
_BANDS = ((0, 64), (64, 512), (512, 2048))  # steps that are tried, 0.05 % at most
_FLOAT_ERROR = 4 * 2.0**-24  # of the terms' magnitudes: four roundings to float32
_NEAR = 1e-3  # levels; more than either arithmetic is wrong by
_MULTIPLIER_BITS = 21  # behind the leading one of the larger multiplier
_RATIOS = (2.0**-14, 2.0**8)  # beyond these ARM adds in float too


@dataclass(frozen=True)
class Values:
    """8-bit values and what they stand for: `scale * (level - zero)`."""

    scale: np.float32
    zero: int
    levels: NDArray[np.int64]

    @property
    def steps(self) -> NDArray[np.int64]:
        """All levels, counted from zero's."""
        return self.levels - self.zero


Addition = tuple[Values, Values, Values]
"""What is added, what is added to it, and what the sum is rounded to."""


def without_ties(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a quantised model whose additions are the same on x86 and on ARM.

    Each result's scale is the nearest one, within 0.05 %, with which no pair of values is added to
    other levels; where there is none, it stays. The scales of biases behind it follow.

    Args:
        model: A graph in the QDQ form, 8-bit activations; stays as it is.
    """
    changed = in_order(model)
    constants = {one.name: one for one in changed.graph.initializer}
    for *sources, rounding in _quantized_additions(changed.graph, constants):
        first, second, result = (_values(constants, node) for node in (*sources, rounding))
        scale = settled_scale(first, second, result)
        if scale != result.scale:
            _set(constants[rounding.input[1]], scale)
            _scale_biases(changed.graph, constants, rounding.input[1], scale / result.scale)
    return changed


def settled_scale(first: Values, second: Values, result: Values) -> np.float32:
    """Return the scale nearest to the result's that all CPUs round alike; the result's if none."""
    for start, stop in _BANDS:
        near = _near_ties((first, second, result), stop * _STEP)
        for count in range(start, stop):
            for sign in (1, -1) if count else (1,):
                scale = np.float32(result.scale * (1 + sign * count * _STEP))
                if _is_settled((first, second, replace(result, scale=scale)), *near):
                    return scale
    return result.scale


def _near_ties(addition: Addition, reach: float) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the pairs `(P,)`, `(P,)`, in steps, whose sum may lie at a tie.

    Args:
        addition: What is added.
        reach: How far the result's scale may still change, relative.
    """
    first, second, result = addition
    exact = _exact(addition, first.steps[:, None], second.steps[None, :])
    # Beyond the last level all end at it.
    inside = (exact > result.steps[0] - 1) & (exact < result.steps[-1] + 1)
    near = inside & (_to_tie(exact) <= reach * (np.abs(exact) + 1) + _NEAR)
    rows, columns = np.nonzero(near)
    return first.steps[rows], second.steps[columns]


def _is_settled(addition: Addition, ones: NDArray[np.int64], others: NDArray[np.int64]) -> bool:
    """Return whether float and fixed-point arithmetic round each pair's sum to the same level."""
    first, second, result = addition
    exact = _exact(addition, ones, others)
    ratios = [float(one.scale) / float(result.scale) for one in (first, second)]
    offsets = ratios[0] * abs(first.zero) + ratios[1] * abs(second.zero) + abs(result.zero)
    terms = ratios[0] * np.abs(ones) + ratios[1] * np.abs(others)
    if (_to_tie(exact) <= _FLOAT_ERROR * (terms + 2 * offsets + 1)).any():
        return False
    if not all(_RATIOS[0] <= ratio < _RATIOS[1] for ratio in ratios):
        return True
    shift = _MULTIPLIER_BITS - int(np.floor(np.log2(max(ratios))))
    by_one, by_other = (round(ratio * 2.0**shift) for ratio in ratios)
    fixed = by_one * ones + by_other * others
    return bool((((fixed + (1 << (shift - 1))) >> shift) == np.floor(exact + 0.5)).all())


def _exact(
    addition: Addition, ones: NDArray[np.int64], others: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return sums in the result's levels, counted from its zero, before they are rounded."""
    *added, result = addition
    by_one, by_other = (float(one.scale) / float(result.scale) for one in added)
    return by_one * ones + by_other * others


def _to_tie(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how far each lies from the middle between two levels."""
    return np.abs(sums - np.floor(sums) - 0.5)


def _quantized_additions(
    graph: onnx.GraphProto, constants: dict[str, onnx.TensorProto]
) -> Iterator[tuple[onnx.NodeProto, onnx.NodeProto, onnx.NodeProto]]:
    """Yield what dequantises the two values of each addition, and what quantises its result."""
    makers = {
        node.output[0]: node
        for node in graph.node
        if node.op_type == "DequantizeLinear" and node.input[0] not in constants
    }
    for add in [node for node in graph.node if node.op_type == "Add"]:
        sources = [makers[name] for name in add.input if name in makers]
        takers = [node for node in graph.node if add.output[0] in node.input]
        kinds = [node.op_type for node in takers]
        known = all(name in constants for node in (*sources, *takers) for name in node.input[1:])
        if len(sources) == 2 and kinds == ["QuantizeLinear"] and known:
            yield sources[0], sources[1], takers[0]


def _values(constants: dict[str, onnx.TensorProto], node: onnx.NodeProto) -> Values:
    scale, zero = (numpy_helper.to_array(constants[name]) for name in node.input[1:3])
    kind = np.iinfo(zero.dtype)
    return Values(np.float32(scale), int(zero), np.arange(kind.min, kind.max + 1))


def _scale_biases(
    graph: onnx.GraphProto, constants: dict[str, onnx.TensorProto], name: str, factor: np.float32
) -> None:
    """Change the scales of biases, the product of input's and weights', behind a changed scale."""
    makers = {node.output[0]: node for node in graph.node if node.op_type == "DequantizeLinear"}
    for node in graph.node:
        source = makers.get(node.input[0]) if len(node.input) == 3 else None
        bias = makers.get(node.input[2]) if source is not None else None
        if source is not None and bias is not None and source.input[1] == name:
            scale = numpy_helper.to_array(constants[bias.input[1]])
            _set(constants[bias.input[1]], scale * factor)


def _set(tensor: onnx.TensorProto, values: Any) -> None:
    tensor.CopyFrom(numpy_helper.from_array(np.asarray(values, np.float32), tensor.name))
