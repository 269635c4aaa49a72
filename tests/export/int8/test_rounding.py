"""Weights rounded together: on the integers' grid, and nearer the float network's values."""

import numpy as np
import pytest
from onnx import numpy_helper

from edge_mri_export.graph.layers import layers
from edge_mri_export.int8.quantization import quantize
from edge_mri_export.int8.ranges import collect
from edge_mri_export.int8.recipe import TARGETS
from edge_mri_export.int8.repair import worst_layers
from edge_mri_export.int8.rounding import Rounding


@pytest.fixture(scope="module")
def body(road, body_of):
    """MobileNetV2: dense and depthwise convolutions, strides, padding."""
    return body_of(road("mobilenet_v2").checkpoint)


@pytest.fixture(scope="module")
def halves(road):
    pixels = road("mobilenet_v2").pixels
    return pixels[::2], pixels[1::2]


@pytest.fixture(scope="module")
def rounding(body, halves):
    return Rounding(body, halves[0])


def weights(model) -> dict[str, np.ndarray]:
    values = {one.name: numpy_helper.to_array(one) for one in model.graph.initializer}
    return {
        node.name: values[node.input[1]] for node in layers(model.graph) if node.op_type == "Conv"
    }


@pytest.mark.parametrize("target", TARGETS)
def test_the_integers_in_the_file_are_those_that_were_chosen(body, rounding, halves, target):
    rounded = rounding.rounded(TARGETS[target])
    limits = collect(body, halves[0][:8]).limits("minmax")
    model = quantize(rounded, limits, TARGETS[target])
    stored = {one.name: numpy_helper.to_array(one) for one in model.graph.initializer}
    makers = {output: node for node in model.graph.node for output in node.output}
    chosen = weights(rounded)
    for node in layers(model.graph):
        if node.name in chosen:
            integers, scale, *_ = (stored[name] for name in makers[node.input[1]].input)
            steps = chosen[node.name] / scale.reshape(-1, 1, 1, 1)
            np.testing.assert_allclose(steps, integers, atol=1e-3)


def test_each_layer_loses_less_on_other_images(body, rounding, halves):
    target = TARGETS["portable"]
    limits = collect(body, halves[0]).limits("minmax")
    nearest, together = (
        worst_layers(body, quantize(one, limits, target), halves[1])
        for one in (body, rounding.rounded(target))
    )
    gains = {name: together[name] - nearest[name] for name in weights(body)}
    assert np.mean(list(gains.values())) > 0.5  # dB
    assert min(gains.values()) > -0.5  # nothing is learned by heart from 24 images


def test_excluded_weights_stay_and_the_others_change(body, rounding):
    names = list(weights(body))[:3]
    before, after = weights(body), weights(rounding.rounded(TARGETS["portable"], names))
    same = {name for name in before if np.array_equal(before[name], after[name])}
    assert same == set(names)
