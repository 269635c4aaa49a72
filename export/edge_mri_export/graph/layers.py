"""The layers of a graph: the nodes with trained weights, and how many run on integers."""

import onnx

CONVOLUTIONS = ("Conv", "ConvTranspose")
WEIGHTED = (*CONVOLUTIONS, "Gemm", "MatMul")


def layers(graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    """Return the layers with trained weights."""
    constants = {tensor.name for tensor in graph.initializer}
    constants |= {
        node.output[0]
        for node in graph.node
        if node.op_type == "DequantizeLinear" and node.input[0] in constants
    }
    return [
        node
        for node in graph.node
        if node.op_type in WEIGHTED and constants.intersection(node.input[:2])
    ]


def quantized_layers(graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    """Return those of the layers that take integers alone, in the graph's order."""
    dequantized = {
        output
        for node in graph.node
        if node.op_type == "DequantizeLinear"
        for output in node.output
    }
    return [node for node in layers(graph) if dequantized.issuperset(node.input[:2])]


def count_quantized(model: onnx.ModelProto) -> tuple[int, int]:
    """Return how many layers with weights run on quantised ones, and how many there are."""
    return len(quantized_layers(model.graph)), len(layers(model.graph))
