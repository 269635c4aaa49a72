"""The ONNX graph of a network: exported by PyTorch, cleaned, with raw pixels as its input.

The body maps normalised float images to logits and what else the network itself gives;
`with_pixel_input` puts the normalisation before it, as a DequantizeLinear whose scale it is.
Quantising the body is `edge_mri_export.int8.quantization`, outputs read off a finished graph are
`edge_mri_export.graph.outputs`.
"""

import copy
import inspect
import io
import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr
from typing import Any

import onnx
import torch
from onnx import TensorProto, helper
from torch import nn

from edge_mri_export.errors import GraphError
from edge_mri_export.graph.editing import copied
from edge_mri_train.errors import first_line
from edge_mri_train.networks.architectures import INPUT_SCALE
from edge_mri_train.networks.checkpoint import Checkpoint

OPSET = 18
NORMALISED = "normalised"
PIXELS = "pixels"
WHITE_PLANE = "white_plane"
"""Grey pixels with a white plane beside them, the input of some adopted networks."""
LOGITS = "logits"
LESION = "lesion"
EMBEDDING = "embedding"

_SCALE = "pixel_scale"
_ZERO = "pixel_zero"
_BATCH = "N"


def body_graph(checkpoint: Checkpoint, outputs: Sequence[str] = ()) -> onnx.ModelProto:
    """Export a network as `normalised (N, 1, S, S) float` to `logits (N, K)`, BatchNorm folded.

    A network with `deploy()` is exported as what that returns, its branches fused. One with
    `outputs(x)` gives its `lesion (N, 1, h, w)` too, and its `embedding (N, D)` where `outputs`
    names it.

    Args:
        checkpoint: The network; it stays as it is.
        outputs: What is wanted beside the logits; what the network does not give is left to
            `edge_mri_export.graph.outputs.add_outputs`.

    Raises:
        GraphError: PyTorch cannot export it.
    """
    size = checkpoint.preprocess.size
    example = torch.zeros(2, 1, size, size)
    network = _deployed(checkpoint.network)
    names = _given_outputs(network, example, outputs)
    try:
        with exporter_silenced():
            program = torch.onnx.export(
                _Several(network, names) if len(names) > 1 else network,
                (example,),
                dynamo=True,
                opset_version=OPSET,
                input_names=[NORMALISED],
                output_names=names,
                dynamic_shapes=({0: torch.export.Dim.DYNAMIC},),
                verbose=False,
            )
    except (torch.onnx.OnnxExporterError, RuntimeError) as error:
        raise GraphError(checkpoint.architecture, exporter_reason(error)) from error
    if program is None:
        raise GraphError(checkpoint.architecture, "the exporter returned nothing")
    model = program.model_proto
    _strip(model)
    for value in (model.graph.input[0], *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = _BATCH
    return model


@contextmanager
def exporter_silenced() -> Iterator[None]:
    """Keep PyTorch's exporter from telling its own deprecations, and graphs that it gives up."""
    disabled = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with warnings.catch_warnings(), redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)


def exporter_reason(error: Exception) -> str:
    """Return why PyTorch's exporter failed, a line; its own error tells but at which step."""
    cause = error.__cause__
    return first_line(cause if isinstance(cause, Exception) else error)


def with_pixel_input(body: onnx.ModelProto) -> onnx.ModelProto:
    """Return the body behind a DequantizeLinear from `pixels (N, 1, S, S) uint8`."""
    model = copied(body)
    graph = model.graph
    dequantize = helper.make_node(
        "DequantizeLinear", [PIXELS, _SCALE, _ZERO], [NORMALISED], name="normalise"
    )
    nodes = [dequantize, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    graph.initializer.extend(
        [
            helper.make_tensor(_SCALE, TensorProto.FLOAT, [], [INPUT_SCALE]),
            helper.make_tensor(_ZERO, TensorProto.UINT8, [], [0]),
        ]
    )
    _set_pixel_input(graph)
    return model


def absorb_pixel_input(quantized_body: onnx.ModelProto) -> onnx.ModelProto:
    """Return a quantised body that takes raw pixels where it quantised its float input.

    The QuantizeLinear of the input goes, and the pixels stand for its output: the input's scale
    is the normalisation. Where the input is quantised to signed integers, or not at all, the
    normalisation comes before it as in `with_pixel_input`: onnxruntime fuses no layer whose input
    is unsigned and whose output is signed.
    """
    graph = quantized_body.graph
    takers = [node for node in graph.node if NORMALISED in node.input]
    zero_points = {node.input[2] for node in takers if node.op_type == "QuantizeLinear"}
    signed = {one.name for one in graph.initializer if one.data_type == TensorProto.INT8}
    if any(node.op_type != "QuantizeLinear" for node in takers) or zero_points & signed:
        return with_pixel_input(quantized_body)
    model = copied(quantized_body)
    graph = model.graph
    quantizers = [node for node in graph.node if NORMALISED in node.input]
    replaced = {node.output[0] for node in quantizers}
    for node in quantizers:
        graph.node.remove(node)
    for node in graph.node:
        for position, name in enumerate(node.input):
            if name in replaced:
                node.input[position] = PIXELS
    _set_pixel_input(graph)
    return model


def method(network: nn.Module, name: str) -> Callable[..., Any] | None:
    """Return a network's method; None where it has none, or a layer of that name."""
    found = getattr(network, name, None)
    return found if inspect.ismethod(found) else None


class _Several(nn.Module):
    """A network as the tuple of some of its `outputs`."""

    def __init__(self, network: nn.Module, names: Sequence[str]) -> None:
        super().__init__()
        self.network = network
        self.names = tuple(names)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        values = self.network.outputs(x)  # type: ignore[operator]
        return tuple(values[name] for name in self.names)


def _deployed(network: nn.Module) -> nn.Module:
    """Return the network for inference on the CPU, re-parameterised branches fused, in a copy."""
    if method(network, "deploy") is None:
        return _plain(network)
    return _plain(copy.deepcopy(network).deploy())  # type: ignore[operator]


@torch.inference_mode()
def _given_outputs(network: nn.Module, example: torch.Tensor, wanted: Sequence[str]) -> list[str]:
    """Return what the network itself gives of its logits, its lesion map, and `wanted`."""
    outputs = method(network, "outputs")
    if outputs is None:
        return [LOGITS]
    given = outputs(example)
    return [LOGITS, *(name for name in (LESION, *wanted) if name in given)]


def _plain(network: nn.Module) -> nn.Module:
    return network.to("cpu", memory_format=torch.contiguous_format).eval()  # type: ignore[call-overload,no-any-return]


def _strip(model: onnx.ModelProto) -> None:
    """Drop what the exporter notes for debugging: it names files of the exporting machine."""
    graph = model.graph
    model.producer_name, model.producer_version, model.doc_string = "edge-mri", "", ""
    del model.metadata_props[:]
    del graph.metadata_props[:]
    del graph.value_info[:]
    graph.name, graph.doc_string = "network", ""
    for part in (*graph.node, *graph.input, *graph.output, *graph.initializer):
        del part.metadata_props[:]
        part.doc_string = ""


def _set_pixel_input(graph: onnx.GraphProto) -> None:
    shape = [dim.dim_param or dim.dim_value for dim in graph.input[0].type.tensor_type.shape.dim]
    del graph.input[:]
    graph.input.append(helper.make_tensor_value_info(PIXELS, TensorProto.UINT8, shape))
