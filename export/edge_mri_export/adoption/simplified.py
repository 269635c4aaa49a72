"""A graph made elsewhere in the form that the toolkit's own have: one opset, any batch, no waste.

The simplifying is onnxruntime's own, at the level that leaves standard operators alone: constants
folded, BatchNorm folded into convolutions, transposes that cancel dropped.
"""

import tempfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
from onnx import numpy_helper, version_converter

from edge_mri_export.errors import AdoptionError
from edge_mri_export.graph.editing import in_order, only
from edge_mri_export.graph.graph import OPSET
from edge_mri_train.errors import first_line

_HIGHEST_OPSET = 21  # that onnxruntime 1.20 runs, the oldest that the runtime allows
_IR_VERSION = 10  # the same


def in_opset(model: onnx.ModelProto, name: str) -> onnx.ModelProto:
    """Return a model in the toolkit's opset, or as it is where that is newer and cannot be.

    Raises:
        AdoptionError: It is older and cannot be converted, or too new.
    """
    version = next((one.version for one in model.opset_import if one.domain in ("", "ai.onnx")), 0)
    foreign = {node.domain for node in model.graph.node} - {"", "ai.onnx"}
    if foreign:
        raise AdoptionError(
            name, f"it has operators of {', '.join(sorted(foreign))}; expected ONNX's own alone"
        )
    del model.opset_import[:]
    model.opset_import.append(onnx.helper.make_opsetid("", version))
    model.ir_version = max(model.ir_version, 4)  # older ones list their weights as inputs
    if version == OPSET:
        return model
    try:
        return version_converter.convert_version(model, OPSET)
    except Exception as error:  # the converter's errors share no base class
        if OPSET < version <= _HIGHEST_OPSET:
            return model
        raise AdoptionError(
            name,
            f"its opset {version} cannot be converted to {OPSET} ({first_line(error)}); export it "
            f"anew with opset {OPSET}",
        ) from error


def simplified(model: onnx.ModelProto, name: str, batch: int | None) -> onnx.ModelProto:
    """Return a model that computes the same with fewer nodes, for any batch.

    Args:
        model: Its input and output for N images already; stays as it is.
        name: Of the model, for the error.
        batch: How many images the graph was made for; None: for any number.

    Raises:
        AdoptionError: onnxruntime cannot read it.
    """
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
    opened = _for_any_batch(model) if batch == 1 else model
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        options.optimized_model_filepath = str(path)
        try:
            ort.InferenceSession(
                opened.SerializeToString(), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # onnxruntime's errors share no base class
            raise AdoptionError(name, f"it cannot be run: {first_line(error)}") from error
        small = onnx.load(path)
    return _tidied(small)


def _for_any_batch(model: onnx.ModelProto) -> onnx.ModelProto:
    """Let reshapes that say one image take as many as they are given."""
    opened = onnx.ModelProto()
    opened.CopyFrom(model)
    del opened.graph.value_info[:]
    targets = {node.input[1] for node in opened.graph.node if node.op_type == "Reshape"}
    constants = [
        *((one.name, one) for one in opened.graph.initializer),
        *(
            (node.output[0], attribute.t)
            for node in opened.graph.node
            if node.op_type == "Constant"
            for attribute in node.attribute
            if attribute.name == "value"
        ),
    ]
    for name, tensor in constants:
        if name not in targets:
            continue
        shape = numpy_helper.to_array(tensor).copy()
        if shape.ndim == 1 and len(shape) > 1 and shape[0] == 1:
            shape[0] = 0 if (shape[1:] < 0).any() else -1
            tensor.CopyFrom(numpy_helper.from_array(shape.astype(np.int64), tensor.name))
    return opened


def _tidied(model: onnx.ModelProto) -> onnx.ModelProto:
    """Drop what is not needed and what names other packages; give every node a name of its own."""
    outputs = list(model.graph.output)
    model = only(in_order(model), [one.name for one in outputs])
    graph = model.graph
    del graph.output[:]
    graph.output.extend(outputs)
    domains = {node.domain for node in graph.node}
    kept = [one for one in model.opset_import if one.domain in ("", *domains)]
    del model.opset_import[:]
    model.opset_import.extend(kept)
    model.ir_version = min(model.ir_version, _IR_VERSION)
    model.producer_name, model.producer_version, model.doc_string = "edge-mri", "", ""
    model.domain, model.model_version = "", 0
    del model.metadata_props[:], graph.metadata_props[:], graph.value_info[:]
    graph.name, graph.doc_string = "network", ""
    names: set[str] = set()
    for position, node in enumerate(graph.node):
        del node.metadata_props[:]
        node.doc_string = ""
        if not node.name or node.name in names:
            node.name = f"{node.op_type}_{position}"
        names.add(node.name)
    for tensor in graph.initializer:
        del tensor.metadata_props[:]
        tensor.doc_string = ""
    return model
