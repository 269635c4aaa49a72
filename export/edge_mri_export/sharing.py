"""Constants of a graph that are alike, stored once.

Quantisers give every tensor a zero point and a scale of its own; most zero points are the same row
of zeros. In a MobileNetV2 they are 4 % of the file.
"""

import onnx
from onnx import numpy_helper

from edge_mri_export.editing import copied


def shared(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the model with one initialiser for all that hold the same values.

    Args:
        model: Any graph; stays as it is. What its nodes compute stays the same to the bit.
    """
    changed = copied(model)
    graph = changed.graph
    kept: dict[tuple[int, tuple[int, ...], bytes], onnx.TensorProto] = {}
    names: dict[str, str] = {}
    for tensor in graph.initializer:
        values = numpy_helper.to_array(tensor)
        first = kept.setdefault((tensor.data_type, values.shape, values.tobytes()), tensor)
        names[tensor.name] = first.name
    for node in graph.node:
        for position, name in enumerate(node.input):
            node.input[position] = names.get(name, name)
    del graph.initializer[:]
    graph.initializer.extend(kept.values())
    return changed
