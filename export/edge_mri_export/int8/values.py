"""The values inside a float body: which there are, and what they are on calibration images.

What is made of them is for those who ask: ranges (`edge_mri_export.int8.ranges`), channels
(`edge_mri_export.int8.equalisation`), weights (`edge_mri_export.int8.rounding`), biases
(`edge_mri_export.int8.repair`).
"""

from collections.abc import Iterator, Sequence

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from edge_mri_export.graph.editing import copied
from edge_mri_export.graph.graph import NORMALISED
from edge_mri_export.graph.work import bytes_of
from edge_mri_export.guard.answers import memory_session
from edge_mri_train.networks.architectures import INPUT_SCALE

_BATCH = 8  # every value of a batch is held at once
_MOST_BYTES = 5e8  # where values are large

Values = dict[str, NDArray[np.float32]]


def float_values(
    body: onnx.ModelProto, names: Sequence[str], pixels: NDArray[np.uint8]
) -> Iterator[tuple[NDArray[np.uint8], Values]]:
    """Yield, batch by batch, some images and a body's values on them.

    Args:
        body: Takes `normalised (N, 1, S, S) float`.
        names: Of the float values wanted; `normalised` may be one.
        pixels: `(N, 1, S, S)` uint8.
    """
    made = [name for name in names if name != NORMALISED]
    session = memory_session(with_outputs(body, made))
    count = int(min(max(_MOST_BYTES / max(bytes_of(body, made), 1), 1), _BATCH))
    for start in range(0, len(pixels), count):
        batch = pixels[start : start + count]
        given = normalised(batch)
        run = session.run(made, {NORMALISED: given}) if made else []  # no names mean all outputs
        found = dict(zip(made, run, strict=True))
        yield batch, found | {NORMALISED: given} if NORMALISED in names else found


def float_tensors(model: onnx.ModelProto) -> list[str]:
    """Return the names of the float values that a model's nodes make; indices and shapes are none.

    What shape inference knows nothing of is taken for float.
    """
    graph = onnx.shape_inference.infer_shapes(model).graph
    others = {
        value.name
        for value in (*graph.value_info, *graph.output)
        if value.type.tensor_type.elem_type != TensorProto.FLOAT
    }
    made = [name for node in model.graph.node for name in node.output]
    return [name for name in made if name and name not in others]


def with_outputs(model: onnx.ModelProto, names: Sequence[str]) -> onnx.ModelProto:
    """Return a model that also gives the named float tensors of its inside."""
    wider = copied(model)
    there = {output.name for output in model.graph.output}
    wider.graph.output.extend(
        helper.make_tensor_value_info(name, TensorProto.FLOAT, None)
        for name in names
        if name not in there
    )
    return wider


def normalised(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Turn uint8 network input into the float input of a body, 0 to 1."""
    return pixels.astype(np.float32) * np.float32(INPUT_SCALE)
