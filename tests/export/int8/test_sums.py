"""Quantised additions come out alike in float, as x86 adds, and in fixed point, as ARM does."""

from dataclasses import replace

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from edge_mri.images.preprocess import PreprocessSpec
from edge_mri.labels import LabelSpace
from edge_mri_export.graph.editing import in_order
from edge_mri_export.graph.graph import body_graph
from edge_mri_export.guard.answers import graph_answers
from edge_mri_export.int8.quantization import quantize
from edge_mri_export.int8.ranges import collect
from edge_mri_export.int8.recipe import TARGETS
from edge_mri_export.int8.sums import Values, settled_scale, without_ties
from edge_mri_train.networks.architectures import build
from edge_mri_train.networks.checkpoint import Checkpoint

UNSIGNED, SIGNED = np.arange(256), np.arange(-128, 128)
# An addition of a trained network of which one pair is 38 on x86 and 37 on ARM.
FIRST = Values(np.float32(0.041789215), 0, UNSIGNED)
SECOND = Values(np.float32(0.069454655), 162, UNSIGNED)
RESULT = Values(np.float32(0.03829657), 0, UNSIGNED)


def x86(first: Values, second: Values, result: Values) -> NDArray[np.int64]:
    """All pairs' sums as MLAS adds with AVX: ratios and one constant, in float32."""
    by_first, by_second = first.scale / result.scale, second.scale / result.scale
    zeros = np.float32(first.zero), np.float32(second.zero), np.float32(result.zero)
    constant = zeros[2] - (by_first * zeros[0] + by_second * zeros[1])
    pairs = np.meshgrid(first.levels, second.levels, indexing="ij")
    ones, others = (one.astype(np.float32) for one in pairs)
    sums = np.rint(constant + by_first * ones + by_second * others)
    return np.clip(sums, result.levels[0], result.levels[-1]).astype(np.int64)


def arm(first: Values, second: Values, result: Values) -> NDArray[np.int64]:
    """All pairs' sums as MLAS adds with NEON: 22-bit multipliers, halves away from zero."""
    ratios = first.scale / result.scale, second.scale / result.scale
    shift = 21 - (int(np.frexp(max(ratios))[1]) - 1)
    by_first, by_second = (int(np.rint(np.ldexp(one, shift))) for one in ratios)
    sums = by_first * first.steps[:, None] + by_second * second.steps[None, :]
    rounded = np.sign(sums) * ((np.abs(sums) + (1 << (shift - 1))) >> shift)
    return np.clip(rounded + result.zero, result.levels[0], result.levels[-1])


def on_this_cpu(first: Values, second: Values, result: Values) -> NDArray[np.int64]:
    """All pairs' sums by onnxruntime."""
    named = {"a": first, "b": second, "c": result}
    kind = np.uint8 if first.levels[0] == 0 else np.int8
    constants = {f"{key}_scale": np.float32(one.scale) for key, one in named.items()}
    constants |= {f"{key}_zero": np.array(one.zero, kind) for key, one in named.items()}
    names = [f"a{part}" for part in ("", "_scale", "_zero")]
    names += [f"b{part}" for part in ("", "_scale", "_zero")]
    node = helper.make_node(
        "QLinearAdd", [*names, "c_scale", "c_zero"], ["c"], domain="com.microsoft"
    )
    code = TensorProto.UINT8 if kind is np.uint8 else TensorProto.INT8
    graph = helper.make_graph(
        [node],
        "sum",
        [helper.make_tensor_value_info(one, code, None) for one in "ab"],
        [helper.make_tensor_value_info("c", code, None)],
        [numpy_helper.from_array(np.asarray(value), key) for key, value in constants.items()],
    )
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    ones, others = np.meshgrid(first.levels, second.levels, indexing="ij")
    (sums,) = session.run(None, {"a": ones.astype(kind), "b": others.astype(kind)})
    return sums.astype(np.int64)


def test_a_sum_that_is_a_tie_is_one_no_more():
    assert (x86(FIRST, SECOND, RESULT) != arm(FIRST, SECOND, RESULT)).any()
    scale = settled_scale(FIRST, SECOND, RESULT)
    assert scale == pytest.approx(RESULT.scale, rel=5e-4)
    settled = replace(RESULT, scale=scale)
    np.testing.assert_array_equal(x86(FIRST, SECOND, settled), arm(FIRST, SECOND, settled))
    np.testing.assert_array_equal(x86(FIRST, SECOND, settled), on_this_cpu(FIRST, SECOND, settled))


@st.composite
def additions(draw: st.DrawFn) -> tuple[Values, Values, Values]:
    """Additions as networks have them: scales within a factor of eight, zeros anywhere."""
    levels = draw(st.sampled_from([UNSIGNED, SIGNED]))
    one, other = (np.float32(draw(st.floats(0.01, 0.08))) for _ in range(2))
    result = np.float32(draw(st.floats(0.02, 0.16)))
    zeros = [int(levels[0]) + draw(st.integers(0, 255)) for _ in range(3)]
    first, second, third = (
        Values(scale, zero, levels) for scale, zero in zip((one, other, result), zeros, strict=True)
    )
    return first, second, third


@settings(max_examples=60, deadline=None)
@given(additions())
def test_settled_additions_are_alike_on_all_cpus(addition):
    first, second, result = addition
    scale = settled_scale(first, second, result)
    settled = replace(result, scale=scale)
    assert scale == pytest.approx(result.scale, rel=5e-4)
    if scale != result.scale:
        np.testing.assert_array_equal(x86(first, second, settled), arm(first, second, settled))
        np.testing.assert_array_equal(
            x86(first, second, settled), on_this_cpu(*addition[:2], settled)
        )


@pytest.fixture(scope="module")
def noise() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (6, 1, 64, 64), np.uint8)


@pytest.fixture(scope="module")
def quantized(noise) -> onnx.ModelProto:
    torch.manual_seed(0)
    network = build("edge_net", 12, 64).eval()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.normal_(module.bias, 0.1, 0.1)
    body = body_graph(Checkpoint("edge_net", LabelSpace(), PreprocessSpec(64), network))
    return quantize(body, collect(body, noise).limits("minmax", 100.0), TARGETS["portable"])


def additions_of(model: onnx.ModelProto) -> dict[str, tuple[Values, Values, Values]]:
    """All additions of dequantised values, by name."""
    constants = {one.name: numpy_helper.to_array(one) for one in model.graph.initializer}
    makers = {output: node for node in model.graph.node for output in node.output}
    found = {}
    for rounding in [node for node in model.graph.node if node.op_type == "QuantizeLinear"]:
        add = makers.get(rounding.input[0])
        if add is None or add.op_type != "Add":
            continue
        ends = (*(makers[name] for name in add.input), rounding)
        first, second, result = (
            Values(constants[one.input[1]], int(constants[one.input[2]]), UNSIGNED) for one in ends
        )
        found[add.name] = first, second, result
    return found


def test_every_addition_of_a_network_is_settled(quantized, noise):
    before, after = additions_of(quantized), additions_of(without_ties(quantized))
    assert len(after) == len(before) == 5
    assert any((x86(*one) != arm(*one)).any() for one in before.values())
    for one in after.values():
        np.testing.assert_array_equal(x86(*one), arm(*one))
    expected = graph_answers(quantized, noise)
    given_ = graph_answers(without_ties(quantized), noise)
    np.testing.assert_allclose(given_.logits, expected.logits, atol=0.05)


def test_what_an_export_writes_is_settled(road):
    found = additions_of(onnx.load(road("mobilenet_v2").int8))
    assert len(found) == 10
    for one in found.values():
        np.testing.assert_array_equal(x86(*one), arm(*one))


def test_biases_keep_the_scale_of_what_they_are_added_to(quantized):
    model = without_ties(quantized)
    constants = {one.name: numpy_helper.to_array(one) for one in model.graph.initializer}
    makers = {output: node for node in model.graph.node for output in node.output}
    checked = 0
    for node in model.graph.node:
        ends = [makers.get(name) for name in node.input]
        quantized_ = all(one and one.op_type == "DequantizeLinear" for one in ends)
        if node.op_type == "Conv" and quantized_ and len(ends) == 3:
            values, weights, bias = (constants[one.input[1]] for one in ends if one)
            np.testing.assert_allclose(bias, values * weights, rtol=1e-6)
            checked += 1
    assert checked >= 12


def test_a_graph_without_additions_stays(quantized):
    alone = in_order(quantized)
    for node in [node for node in alone.graph.node if node.op_type == "Add"]:
        node.op_type = "Mul"
    assert without_ties(alone) == alone
