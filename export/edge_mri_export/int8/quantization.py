"""Static INT8 quantisation in the QDQ form, from ranges that are known.

Activations per tensor, weights int8 per channel, biases int32. Covers where quantisation begins
and ends: a node is quantised if it is a layer with weights or lies upstream of one. What comes
after the last such layer stays float (the layer's output, log probabilities composed of several
heads, lesion maps, embeddings as they are given out). A network with a lesion map is quantised up
to the map: type and plane, a thousandth of the work, are pooled by the map's probabilities, which
256 levels are too few for. Every node whose name begins with `tail_` stays float too, which is how
nodes with constants of their own (novelty) say that they are no network.
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from typing import Any

import numpy as np
import onnx
from onnxruntime.quantization import CalibrationMethod, QuantType
from onnxruntime.quantization.calibrate import TensorData, TensorsData
from onnxruntime.quantization.qdq_quantizer import QDQQuantizer

from edge_mri.errors import OptionError
from edge_mri_export.errors import QuantizationError
from edge_mri_export.graph.graph import (
    LESION,
    NORMALISED,
    WHITE_PLANE,
    absorb_pixel_input,
)
from edge_mri_export.graph.layers import CONVOLUTIONS, WEIGHTED, count_quantized, layers
from edge_mri_export.int8.ranges import Limits
from edge_mri_export.int8.recipe import Target
from edge_mri_train.errors import first_line
from edge_mri_train.networks.architectures import INPUT_SCALE

# What onnxruntime has integer kernels for, or moves unchanged.
_QUANTIZABLE = (
    *WEIGHTED,
    *("Add", "Mul", "Relu", "Clip", "LeakyRelu", "Sigmoid"),
    *("MaxPool", "AveragePool", "GlobalAveragePool", "Concat", "Resize", "Pad"),
    *("Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose", "Split", "Slice"),
)


def quantize(
    body: onnx.ModelProto, limits: Limits, target: Target, exclude: Sequence[str] = ()
) -> onnx.ModelProto:
    """Quantise a network's body and let it take raw pixels.

    Args:
        body: `normalised (N, 1, S, S) float` to `logits`; left as it is.
        limits: Smallest and largest value of every float tensor.
        target: The integers to use.
        exclude: Names of nodes that stay float.

    Returns:
        `pixels (N, 1, S, S) uint8` to `logits`, the logits themselves in float.

    Raises:
        OptionError: An excluded node does not exist, or would be float in any case.
        QuantizationError: ONNX Runtime cannot quantise it, or quantised nothing.
    """
    chosen = _chosen_nodes(body.graph, exclude)
    if not {node.name for node in layers(body.graph)}.intersection(chosen):
        raise QuantizationError("no layer with weights is left to quantise")
    activations = QuantType.QUInt8 if target.activations == "uint8" else QuantType.QInt8
    with _quiet():
        try:
            quantizer = QDQQuantizer(
                onnx.shape_inference.infer_shapes(body),
                per_channel=True,
                reduce_range=target.weight_bits == 7,
                weight_qType=QuantType.QInt8,
                activation_qType=activations,
                tensors_range=TensorsData(CalibrationMethod.MinMax, _tensor_data(limits)),
                nodes_to_quantize=chosen,
                nodes_to_exclude=[],
                op_types_to_quantize=list(_QUANTIZABLE),
                extra_options={
                    "ActivationSymmetric": False,  # or Clip and Relu stay in the graph
                    "WeightSymmetric": True,
                    "TensorQuantOverrides": {
                        name: [_pixel_quantization(target)]
                        for name in (NORMALISED, WHITE_PLANE)
                        if name in _values(body.graph)
                    },
                },
            )
            quantizer.quantize_model()
            quantizer.model.topological_sort()
            quantized: onnx.ModelProto = quantizer.model.model
        except Exception as error:  # onnxruntime's errors share no base class
            raise QuantizationError(
                f"onnxruntime cannot quantise this network: {first_line(error)}"
            ) from error
    _float_again(quantized.graph, body.graph, set(chosen))
    model = absorb_pixel_input(quantized)
    _tidy(model)
    done, total = count_quantized(model)
    if not done:
        raise QuantizationError(f"none of the {total} layers with weights was quantised")
    return model


def _values(graph: onnx.GraphProto) -> set[str]:
    return {NORMALISED, *(name for node in graph.node for name in node.output)}


def _chosen_nodes(graph: onnx.GraphProto, exclude: Sequence[str]) -> list[str]:
    """Return the names of the nodes to quantise."""
    names = [node.name for node in graph.node]
    for name in exclude:
        if name not in names:
            near = get_close_matches(name, names, n=3, cutoff=0.3)
            raise OptionError(
                f"--exclude {name!r} is no node of the graph"
                + (f"; did you mean {', '.join(near)}?" if near else "")
            )
    makers = {output: node for node in graph.node for output in node.output}
    kept: dict[str, onnx.NodeProto] = {}
    ends = CONVOLUTIONS if LESION in {output.name for output in graph.output} else WEIGHTED
    waiting = [node for node in layers(graph) if node.op_type in ends]
    while waiting:
        node = waiting.pop()
        if node.name not in kept:
            kept[node.name] = node
            waiting += [makers[name] for name in node.input if name in makers]
    for name in exclude:
        if name not in kept or kept[name].op_type not in _QUANTIZABLE:
            raise OptionError(
                f"--exclude {name!r} has no effect: that node stays in float in any case; leave it "
                "out"
            )
    return [name for name in names if name in kept and name not in exclude]


def _float_again(graph: onnx.GraphProto, body: onnx.GraphProto, chosen: set[str]) -> None:
    """Drop quantisation of what no quantised node takes: the last layers' outputs stay float.

    onnxruntime quantises every output of a quantised node, also one that only float nodes read or
    that the graph gives out. Where the quantisation stands for a Relu or Clip it stays.
    """
    there = {node.name for node in graph.node}
    absorbed = {node.output[0] for node in body.node if node.name not in there}
    outputs = {output.name for output in graph.output}
    makers = {output: node for node in graph.node for output in node.output}
    takers: dict[str, list[onnx.NodeProto]] = {}
    for node in graph.node:
        for name in node.input:
            takers.setdefault(name, []).append(node)
    for quantize_ in [node for node in graph.node if node.op_type == "QuantizeLinear"]:
        dequantizers = takers.get(quantize_.output[0], [])
        ends = [node.output[0] for node in dequantizers]
        source = quantize_.input[0]
        if source not in makers or source in absorbed or not dequantizers:
            continue
        if any(taker.name in chosen for end in ends for taker in takers.get(end, [])):
            continue
        for end in ends:
            if end in outputs:
                _rename_output(makers[source], source, end, takers.get(source, []))
                source = end
            else:
                for taker in takers.get(end, []):
                    _replace_input(taker, end, source)
        graph.node.remove(quantize_)
        for node in dequantizers:
            graph.node.remove(node)


def _rename_output(
    maker: onnx.NodeProto, old: str, new: str, takers: Sequence[onnx.NodeProto]
) -> None:
    maker.output[list(maker.output).index(old)] = new
    for node in takers:
        _replace_input(node, old, new)


def _replace_input(node: onnx.NodeProto, old: str, new: str) -> None:
    for position, name in enumerate(node.input):
        if name == old:
            node.input[position] = new


def _tensor_data(limits: Limits) -> dict[str, TensorData]:
    return {
        name: TensorData(lowest=np.array(low, np.float32), highest=np.array(high, np.float32))
        for name, (low, high) in limits.items()
    }


def _pixel_quantization(target: Target) -> dict[str, Any]:
    """Return the input's quantisation: its integers are the pixels, less 128 where signed."""
    signed = target.activations == "int8"
    return {
        "quant_type": QuantType.QInt8 if signed else QuantType.QUInt8,
        "scale": np.array(INPUT_SCALE, np.float32),
        "zero_point": np.array(-128, np.int8) if signed else np.array(0, np.uint8),
    }


def _tidy(model: onnx.ModelProto) -> None:
    """Drop what nothing uses, and what the quantiser notes of itself."""
    model.producer_name, model.producer_version = "edge-mri", ""
    del model.graph.value_info[:]
    domains = {node.domain for node in model.graph.node}
    for opset in [opset for opset in model.opset_import if opset.domain not in domains]:
        model.opset_import.remove(opset)
    used = {name for node in model.graph.node for name in node.input}
    for tensor in [tensor for tensor in model.graph.initializer if tensor.name not in used]:
        model.graph.initializer.remove(tensor)


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the quantiser's advice, which it logs to the root logger."""
    level = logging.root.level
    logging.root.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logging.root.setLevel(level)
