"""Where inference spends its time: ONNX Runtime's own profile of a model, by kind of layer.

The profile is of ONNX Runtime's kernels after its optimisations; other engines fuse otherwise.
"""

import json
import re
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime

from edge_mri.model.session import compute_as_written

_CALLS = 12
DENSE, POINTWISE, DEPTHWISE = "dense convolutions", "1x1 convolutions", "depthwise convolutions"


def layer_shares(model: Path, size: int) -> dict[str, float]:
    """Return the share of each kind of layer in the kernels' time, the largest first.

    Convolutions are told apart by their weights; other kernels keep their ONNX names.

    Args:
        model: An ONNX file of the contract; its `logits` are computed, one image at a time.
        size: Side of its input.
    """
    pixels = np.random.default_rng(0).integers(0, 256, (1, 1, size, size)).astype(np.uint8)
    with tempfile.TemporaryDirectory(prefix="edge-mri-") as folder:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 3
        compute_as_written(options)
        options.enable_profiling = True
        options.profile_file_prefix = str(Path(folder) / "profile")
        session = onnxruntime.InferenceSession(
            str(model), options, providers=["CPUExecutionProvider"]
        )
        for _ in range(_CALLS):
            session.run(["logits"], {"pixels": pixels})
        events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    weights = _weights(model)
    times: Counter[str] = Counter()
    for event in events:
        if event["name"].endswith("_kernel_time"):
            times[_kind(event, weights)] += event["dur"]
    total = sum(times.values()) or 1
    return {kind: round(time / total, 4) for kind, time in times.most_common()}


def _weights(model: Path) -> dict[str, list[int]]:
    """Return the shape of the weights of each convolution of a file, by its node's name."""
    graph = onnx.load(model).graph
    shapes = {tensor.name: list(tensor.dims) for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "DequantizeLinear" and node.input[0] in shapes:
            shapes[node.output[0]] = shapes[node.input[0]]
    return {
        node.name: shapes.get(node.input[1], []) for node in graph.node if node.op_type == "Conv"
    }


def _kind(event: dict[str, Any], weights: dict[str, list[int]]) -> str:
    """Return the kind of layer of a kernel; a fused one keeps the name of its convolution."""
    kernel = event["args"]
    operator: str = kernel["op_name"]
    if "Conv" not in operator:
        return operator
    name = re.sub(r"(_token_\d+)?_kernel_time$", "", event["name"])
    shown = (shape for one in kernel.get("input_type_shape", ())[1:] for shape in one.values())
    shape = weights.get(name) or next((shape for shape in shown if len(shape) == 4), [])
    if len(shape) != 4:
        return operator
    if shape[1] == 1 < shape[0]:
        return DEPTHWISE
    return POINTWISE if shape[2:] == [1, 1] else DENSE
