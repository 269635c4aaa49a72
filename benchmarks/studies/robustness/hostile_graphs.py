"""Models with a contract that fits and a graph, answers or weights that do not."""

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
from onnx import ModelProto, TensorProto, helper

from edge_mri.images.preprocess import PreprocessSpec
from edge_mri.labels import LabelSpace
from edge_mri.model.contract import METADATA_KEY, Contract
from edge_mri.model.protobuf import encoded

SIZE = 32
_FLOAT = TensorProto.FLOAT
_NUMBERS = {"nan": np.nan, "inf": np.inf, "minus inf": -np.inf, "large": 3e38, "tiny": 1e-45}
_GRAPH, _NODE, _ATTRIBUTE, _SUBGRAPH = 7, 1, 5, 6  # the fields of ONNX that lead down


def graph_model(**changes: Any) -> ModelProto:
    """Return a model that says what is bright, with a contract; `changes` make it another.

    Args:
        changes: `nodes` before the outputs, `outputs`, `inputs`, `constants`, as of `make_graph`;
            `contract`, a function that returns the text of the contract for its JSON values;
            `opset`, `ir_version`.
    """
    node, tensor, info = helper.make_node, helper.make_tensor, helper.make_tensor_value_info
    nodes = [
        node("Cast", ["pixels"], ["values"], to=_FLOAT),
        node("GlobalAveragePool", ["values"], ["mean"]),
        node("Flatten", ["mean"], ["flat"]),
        node("Gemm", ["flat", "gains", "bias"], ["logits"]),
    ]
    constants = [
        tensor("gains", _FLOAT, [1, 4], [0.1, 0.05, 0.0, 0.0]),
        tensor("bias", _FLOAT, [4], [0.0, 0.0, 0.0, 1.0]),
    ]
    graph = helper.make_graph(
        changes.get("nodes", nodes) + changes.get("more", []),
        "bright",
        changes.get("inputs", [info("pixels", TensorProto.UINT8, ["N", 1, SIZE, SIZE])]),
        changes.get("outputs", [info("logits", _FLOAT, ["N", 4])]) + changes.get("also", []),
        changes.get("constants", constants),
    )
    opsets = [helper.make_opsetid("", changes.get("opset", 18))]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=changes.get("ir_version", 9))
    contract = Contract("bright", LabelSpace.for_task("type"), PreprocessSpec(SIZE))
    text = contract.to_metadata()[METADATA_KEY]
    if "contract" in changes:
        text = changes["contract"](json.loads(text))
    helper.set_model_props(model, {METADATA_KEY: text})
    return model


def nested(depth: int) -> bytes:
    """Return a model with graphs in graphs, deeper than protobuf itself would write."""
    node = encoded(4, b"If")
    for _ in range(depth):
        node = encoded(4, b"If") + encoded(_ATTRIBUTE, encoded(_SUBGRAPH, encoded(_NODE, node)))
    return graph_model().SerializeToString() + encoded(_GRAPH, encoded(_NODE, node))


def answers() -> Iterator[tuple[str, ModelProto]]:
    """Give models whose answers are no numbers, or of another shape or type, by name."""
    node, tensor, info = helper.make_node, helper.make_tensor, helper.make_tensor_value_info
    for name, value in _NUMBERS.items():
        for rows, where in (((value,) * 4, "all"), ((value, 0, 0, 0), "one")):
            bias = tensor("bias", _FLOAT, [4], rows)
            gains = tensor("gains", _FLOAT, [1, 4], [0.0] * 4)
            yield f"logits {name} {where}", graph_model(constants=[gains, bias])
        level = tensor("level", _FLOAT, [1], [value])
        for output, size in (("novelty", [-1]), ("lesion", [-1, 1, 1, 1])):
            nodes = [
                node("Mul", ["mean", "nothing"], ["still"]),
                node("Add", ["still", "level"], ["off"]),
                node("Reshape", ["off", "shape"], [output]),
            ]
            constants = [
                *graph_model().graph.initializer,
                *(level, tensor("nothing", _FLOAT, [1], [0.0])),
                tensor("shape", TensorProto.INT64, [len(size)], size),
            ]
            also = [info(output, _FLOAT, ["N", 1, 1, 1][: len(size)])]
            yield f"{output} {name}", graph_model(more=nodes, constants=constants, also=also)
    for count in (0, 3, 5, 100_000):
        constants = [
            tensor("gains", _FLOAT, [1, count], [0.1] * count),
            tensor("bias", _FLOAT, [count], [0.0] * count),
        ]
        outputs = [info("logits", _FLOAT, ["N", count])]
        yield f"{count} answers", graph_model(constants=constants, outputs=outputs)
    for size in ([-1], [-1, 4, 1, 1], [4, -1], [1, -1]):
        nodes = [*graph_model().graph.node, node("Reshape", ["scores", "shape"], ["logits"])]
        nodes[3].output[0] = "scores"
        constants = [
            *graph_model().graph.initializer,
            tensor("shape", TensorProto.INT64, [len(size)], size),
        ]
        outputs = [info("logits", _FLOAT, [None] * len(size))]
        yield f"shape {size}", graph_model(nodes=nodes, constants=constants, outputs=outputs)
    for kind in (TensorProto.DOUBLE, TensorProto.FLOAT16, TensorProto.INT64, TensorProto.BOOL,
                 TensorProto.STRING, TensorProto.UINT8):  # fmt: skip
        nodes = [*graph_model().graph.node]
        nodes[3].output[0] = "scores"
        nodes.append(node("Cast", ["scores"], ["logits"], to=kind))
        yield f"type {kind}", graph_model(nodes=nodes, outputs=[info("logits", kind, ["N", 4])])


def graphs() -> Iterator[tuple[str, ModelProto]]:
    """Give models whose graph is odd, by name."""
    node, info = helper.make_node, helper.make_tensor_value_info
    pixels = {
        "float": info("pixels", _FLOAT, ["N", 1, SIZE, SIZE]),
        "colour": info("pixels", TensorProto.UINT8, ["N", 3, SIZE, SIZE]),
        "other size": info("pixels", TensorProto.UINT8, ["N", 1, 7, 9]),
        "one": info("pixels", TensorProto.UINT8, [1, 1, SIZE, SIZE]),
        "seven": info("pixels", TensorProto.UINT8, [7, 1, SIZE, SIZE]),
        "flat": info("pixels", TensorProto.UINT8, ["N"]),
        "text": info("pixels", TensorProto.STRING, ["N", 1, SIZE, SIZE]),
        "huge": info("pixels", TensorProto.UINT8, ["N", 1, 2**40, 2**40]),
        "other name": info("x\x1b[2J", TensorProto.UINT8, ["N", 1, SIZE, SIZE]),
    }
    for name, one in pixels.items():
        yield f"input {name}", graph_model(inputs=[one])
    yield "no input", graph_model(inputs=[])
    yield "two inputs", graph_model(inputs=[pixels["one"], info("more", _FLOAT, [1])])
    yield "no output", graph_model(outputs=[])
    yield "no nodes", graph_model(nodes=[])
    yield "other output", graph_model(outputs=[info("values", _FLOAT, ["N", 1, SIZE, SIZE])])
    yield "output of nothing", graph_model(also=[info("nothing", _FLOAT, ["N"])])
    for name, one in {
        "custom domain": node("Evil", ["mean"], ["x"], domain="evil\x1b[31m"),
        "unknown": node("NoSuchOperator", ["mean"], ["x"]),
        "python": node("PyOp", ["mean"], ["x"], domain="ai.onnx.contrib"),
        "undefined": node("Identity", ["undefined"], ["x"]),
        "circle": node("Add", ["x", "mean"], ["x"]),
        "twice": node("Identity", ["mean"], ["flat"]),
        "negative": node("Reshape", ["mean", "flat"], ["x"]),
        "escape": node("Identity", ["\x1b]0;owned\x07"], ["x"]),
    }.items():
        yield f"node {name}", graph_model(more=[one])
    yield (
        "40,000 nodes",
        graph_model(
            more=[
                node("Identity", [f"n{n}" if n else "mean"], [f"n{n + 1}"]) for n in range(40_000)
            ]
        ),
    )
    for number in (0, 1, 25, 99, 2**31 - 1):
        yield f"opset {number}", graph_model(opset=number)
    for number in (0, 1, 14, 99):
        yield f"ir {number}", graph_model(ir_version=number)
    big = helper.make_tensor("big", TensorProto.INT64, [2], [2**20, 2**24])
    yield (
        "16 TB",
        graph_model(
            more=[node("ConstantOfShape", ["big"], ["x"]), node("Identity", ["x"], ["y"])],
            constants=[*graph_model().graph.initializer, big],
            also=[info("y", _FLOAT, None)],
        ),
    )


def weights() -> Iterator[tuple[str, ModelProto]]:
    """Give models whose weights are not what, or where, they say."""
    for place in ("/etc/passwd", "../../etc/passwd", "nowhere.bin", "", "a\0b", "/dev/zero", "."):
        model = graph_model()
        gains = model.graph.initializer[0]
        gains.ClearField("float_data")
        gains.data_location = TensorProto.EXTERNAL
        for key, value in (("location", place), ("offset", "0"), ("length", "16")):
            gains.external_data.add(key=key, value=value)
        yield f"external {place!r}", model
    for name, change in {
        "short": lambda one: one.ClearField("float_data"),
        "long": lambda one: one.float_data.extend([1.0] * 100),
        "raw short": lambda one: setattr(one, "raw_data", b"\0"),
        "negative": lambda one: one.dims.append(-1),
        "huge": lambda one: one.dims.extend([2**40, 2**40]),
        "type 99": lambda one: setattr(one, "data_type", 99),
        "type 0": lambda one: setattr(one, "data_type", 0),
        "nan": lambda one: one.float_data.__setitem__(0, float("nan")),
        "no name": lambda one: setattr(one, "name", ""),
        "same name": lambda one: setattr(one, "name", "bias"),
    }.items():
        model = graph_model()
        change(model.graph.initializer[0])
        yield name, model
    model = graph_model()
    sparse = model.graph.sparse_initializer.add()
    sparse.values.CopyFrom(helper.make_tensor("s", _FLOAT, [1], [1.0]))
    sparse.indices.CopyFrom(helper.make_tensor("i", TensorProto.INT64, [1], [2**60]))
    sparse.dims.extend([4])
    yield "sparse outside", model
