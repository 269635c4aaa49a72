"""Constants of a graph that are alike, stored once.

Quantisers give every tensor a zero point and a scale of its own; most zero points are the same row
of zeros, 4 % of a MobileNetV2's file. int8 values stay: where it has to be exact without VNNI,
onnxruntime replaces the zero points of int8 weights once a layer, and fails on shared ones.
"""

import onnx
from onnx import TensorProto, numpy_helper

from edge_mri_export.graph.editing import copied


def shared(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the model with one initialiser for all that hold the same values.

    Args:
        model: Any graph; stays as it is. What its nodes compute stays the same to the bit.
    """
    changed = copied(model)
    graph = changed.graph
    kept: list[onnx.TensorProto] = []
    first: dict[tuple[int, tuple[int, ...], bytes], str] = {}
    names: dict[str, str] = {}
    for tensor in graph.initializer:
        values = numpy_helper.to_array(tensor)
        key = (tensor.data_type, values.shape, values.tobytes())
        if key in first and tensor.data_type != TensorProto.INT8:
            names[tensor.name] = first[key]
        else:
            first[key] = tensor.name
            kept.append(tensor)
    for node in graph.node:
        for position, name in enumerate(node.input):
            node.input[position] = names.get(name, name)
    del graph.initializer[:]
    graph.initializer.extend(kept)
    return changed
