"""The runtime hashes weights without the onnx package, and finds what it finds with it."""

import hashlib

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from edge_mri.classifier import SHIPPED_MODEL
from edge_mri.model.onnx_file import OnnxFile
from edge_mri.model.onnx_weights import weights_sha256

KINDS = ("FLOAT", "UINT8", "INT8", "UINT16", "INT16", "INT32", "INT64", "FLOAT16", "DOUBLE")


def expected(model: onnx.ModelProto) -> str:
    digest = hashlib.sha256()
    for tensor in sorted(model.graph.initializer, key=lambda one: one.name):
        kind, shape = TensorProto.DataType.Name(tensor.data_type), map(str, tensor.dims)
        digest.update(f"{tensor.name}\0{kind}\0{','.join(shape)}\0".encode())
        digest.update(numpy_helper.to_array(tensor).tobytes())
    return digest.hexdigest()


def test_the_shipped_model_hashes_alike():
    file = OnnxFile.read(SHIPPED_MODEL)
    assert weights_sha256(file.initialisers()) == expected(onnx.load(SHIPPED_MODEL))


def test_every_way_to_store_a_tensor_hashes_alike():
    tensors = []
    for kind in KINDS:
        number = TensorProto.DataType.Value(kind)
        values = [1, 2, 250] if kind.startswith("U") else [-1, 2, 100]
        tensors.append(helper.make_tensor(f"{kind} typed", number, [3], values))
        raw = np.array(values, helper.tensor_dtype_to_np_dtype(number))
        tensors.append(numpy_helper.from_array(raw, f"{kind} raw"))
    tensors.append(helper.make_tensor("flags", TensorProto.BOOL, [2], [True, False]))
    model = helper.make_model(helper.make_graph([], "graph", [], [], tensors))
    file = OnnxFile(SHIPPED_MODEL, model.SerializeToString())
    assert weights_sha256(file.initialisers()) == expected(model)
