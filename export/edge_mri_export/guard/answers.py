"""What a model says of images: a checkpoint's network, an ONNX file, a graph not yet written.

Comparing two models' answers is `edge_mri_export.guard.parity`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import torch
from numpy.typing import NDArray

from edge_mri.errors import AnswerError
from edge_mri.model.onnx_file import OnnxFile
from edge_mri.model.session import SessionConfig, compute_as_written, open_session
from edge_mri_export.errors import QuantizationError
from edge_mri_export.graph.graph import LESION, LOGITS, method
from edge_mri_export.graph.work import images_at_once
from edge_mri_train.errors import first_line
from edge_mri_train.networks.architectures import normalise
from edge_mri_train.networks.checkpoint import Checkpoint

_BATCH = 64


@dataclass(frozen=True)
class Answers:
    """What one model says of N images.

    Attributes:
        logits: `(N, K)` float32, before the temperature.
        lesion: `(N, 1, h, w)` float32, how much of each cell a lesion covers, 0 to 1; None
            where the network has no lesion map.
    """

    logits: NDArray[np.float32]
    lesion: NDArray[np.float32] | None = None

    def first(self, count: int) -> "Answers":
        """Return those to the first images."""
        lesion = None if self.lesion is None else self.lesion[:count]
        return Answers(self.logits[:count], lesion)


@torch.inference_mode()
def checkpoint_answers(checkpoint: Checkpoint, pixels: NDArray[np.uint8]) -> Answers:
    """Ask a checkpoint's network about `(N, 1, S, S)` uint8 network input, on the CPU.

    Raises:
        AnswerError: It gives what are no numbers: there is nothing to compare with.
    """
    answers = _checkpoint_answers(checkpoint, pixels)
    for name, values in (("logits", answers.logits), ("lesion", answers.lesion)):
        if values is not None:
            wrong = sum(not np.isfinite(row).all() for row in values)
            if wrong:
                raise AnswerError.of(name, wrong, len(values))
    return answers


def _checkpoint_answers(checkpoint: Checkpoint, pixels: NDArray[np.uint8]) -> Answers:
    outputs = method(checkpoint.network, "outputs")
    if outputs is None:
        return Answers(checkpoint.logits(pixels))
    batches = torch.split(torch.from_numpy(pixels), _BATCH)
    given = [outputs(normalise(batch)) for batch in batches]
    logits, *lesion = (
        torch.cat([one[name] for one in given]).float().numpy()
        for name in (LOGITS, LESION)
        if name in given[0]
    )
    return Answers(logits, *lesion)


def file_answers(path: Path, pixels: NDArray[np.uint8]) -> Answers:
    """Ask an ONNX file about `(N, 1, S, S)` uint8 network input, as the runtime opens it."""
    file = OnnxFile.read(path)
    session = open_session(file, SessionConfig(device="cpu", cache=False))
    count = images_at_once(onnx.load_from_string(file.data))
    return _session_answers(session, pixels, count)


def graph_answers(model: onnx.ModelProto, pixels: NDArray[np.uint8]) -> Answers:
    """Ask a graph that was not written yet about `(N, 1, S, S)` uint8 network input."""
    return _session_answers(memory_session(model), pixels, images_at_once(model))


def memory_session(model: onnx.ModelProto) -> ort.InferenceSession:
    """Open a graph that was not written yet.

    Raises:
        QuantizationError: onnxruntime cannot run it.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    compute_as_written(options)
    try:
        return ort.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # onnxruntime's errors share no base class
        raise QuantizationError(
            f"onnxruntime cannot run the quantised network: {first_line(error)}"
        ) from error


def in_batches(
    session: ort.InferenceSession,
    names: Sequence[str],
    takes: str,
    pixels: NDArray[np.uint8],
    count: int = _BATCH,
) -> list[NDArray[np.float32]]:
    """Return the named outputs for `(N, 1, S, S)` uint8 network input, in their order.

    Args:
        session: The model.
        names: Of its outputs.
        takes: Name of its input.
        pixels: The images.
        count: How many at once.
    """
    batches = [
        session.run(names, {takes: pixels[start : start + count]})
        for start in range(0, len(pixels), count)
    ]
    return [np.concatenate(parts) for parts in zip(*batches, strict=True)]


def _session_answers(
    session: ort.InferenceSession, pixels: NDArray[np.uint8], count: int
) -> Answers:
    (takes,) = session.get_inputs()
    there = [output.name for output in session.get_outputs()]
    names = [name for name in (LOGITS, LESION) if name in there]
    return Answers(*in_batches(session, names, takes.name, pixels, count))
