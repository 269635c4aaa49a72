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


def count_quantized(model: onnx.ModelProto) -> tuple[int, int]:
    """Return how many layers with weights run on quantised ones, and how many there are."""
    dequantized = {
        output
        for node in model.graph.node
        if node.op_type == "DequantizeLinear"
        for output in node.output
    }
    weighted = layers(model.graph)
    done = [node for node in weighted if dequantized.issuperset(node.input[:2])]
    return len(done), len(weighted)
