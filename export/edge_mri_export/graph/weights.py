"""The hash of a model's weights, by which a file that was edited after its export is noticed."""

import hashlib

import onnx
from onnx import TensorProto, numpy_helper


def weights_sha256(model: onnx.ModelProto) -> str:
    """Return the SHA-256 of a graph's initialisers.

    Over the initialisers in the order of their names, each as its name, its ONNX element type, its
    shape and its values as little-endian bytes; how the file stores them does not matter. Nodes are
    not covered: what an edited node does shows in the answers.
    """
    digest = hashlib.sha256()
    for tensor in sorted(model.graph.initializer, key=lambda one: one.name):
        kind = TensorProto.DataType.Name(tensor.data_type)
        shape = ",".join(str(side) for side in tensor.dims)
        values = numpy_helper.to_array(tensor)
        digest.update(f"{tensor.name}\0{kind}\0{shape}\0".encode())
        digest.update(values.astype(values.dtype.newbyteorder("<"), copy=False).tobytes())
    return digest.hexdigest()
