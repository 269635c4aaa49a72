"""The classifier: a model file and its contract, asked about images.

One image, a batch of network input, or a stream of files. Finding the files is
`edge_mri.images`, running batches side by side `edge_mri.stream`, writing the records
`edge_mri.output`.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_mri.audit import Audit
from edge_mri.contract import Contract
from edge_mri.errors import ContractError, ImageError
from edge_mri.images import (
    Frame,
    decode_frames,
    decode_image,
    grey_array,
    read_file,
    read_image,
)
from edge_mri.onnx_file import OnnxFile
from edge_mri.prediction import Prediction, predictions, softmax
from edge_mri.preprocess import preprocess
from edge_mri.providers import CPU, CUDA
from edge_mri.session import Run, SessionConfig, open_session, runner
from edge_mri.stream import stream_batches
from edge_mri.workers import available_threads, one_core_each

SHIPPED_MODEL = Path(__file__).parent / "models" / "edge_mri_int8.onnx"

# Files that a worker takes at a time, and images per call of the graph: docs/decisions/0023.
CPU_BATCH, CPU_CALL, CUDA_BATCH = 8, 4, 64

Source = str | PathLike[str] | bytes | NDArray[np.uint8]


class Classifier:
    """Answers type and plane of brain MR slices. For research use, not for diagnosis.

    Safe to call from several threads at once. It pickles: a worker process opens the model file
    again, and refuses one that has changed meanwhile.

    Attributes:
        path: The model file.
        contract: What the model says about itself.
        config: What it was asked to run on.
        device: `cpu`, `cuda`, or another execution provider's name: what it really runs on.
        provider: onnxruntime's name of the same.
        model_sha256: Hash of the model file, hexadecimal.
        fixed_batch: How many images a call must have; None where any number will do.
    """

    def __init__(self, path: Path, config: SessionConfig | None = None) -> None:
        self.path = path
        self.config = config or SessionConfig()
        model = OnnxFile.read(path)
        self.contract = Contract.from_metadata(model.metadata)  # before the graph is looked at
        self.model_sha256 = model.sha256
        session = open_session(model, self.config)
        self.provider = str(session.get_providers()[0])
        self.device = {CPU: "cpu", CUDA: "cuda"}.get(self.provider, self.provider)
        self.fixed_batch = self._check_signature(session)
        self._run = runner(session)

    @classmethod
    def load(
        cls,
        path: str | PathLike[str] | None = None,
        *,
        device: str = "auto",
        providers: Sequence[str] = (),
        low_power: bool = False,
    ) -> "Classifier":
        """Open a model.

        Args:
            path: An ONNX file written by `edge-mri export`; None for the model that ships.
            device: `auto`, `cpu` or `cuda`.
            providers: Other execution providers of onnxruntime in place of a device, such as
                `openvino`, the first preferred.
            low_power: Keep the device cool and free rather than answer fast.

        Raises:
            ModelError: No such file, no model, or no contract that this version understands.
            DeviceError: What was asked for cannot be used.
        """
        config = SessionConfig(device=device, providers=tuple(providers), low_power=low_power)
        return cls(SHIPPED_MODEL if path is None else Path(path), config)

    def __reduce__(self) -> tuple[Any, ...]:
        return _reopen, (self.path, self.config, self.model_sha256)

    @property
    def batch_size(self) -> int:
        """Images per call that suit what it runs on."""
        if self.config.low_power:
            return 1
        return CPU_BATCH if self.provider == CPU else CUDA_BATCH

    def predict(self, source: Source) -> Prediction:
        """Classify one image.

        Args:
            source: A path, an image file's bytes, or a uint8 array: `(H, W)` grey or
                `(H, W, 3)` RGB.

        Raises:
            ImageError: The image cannot be used; the message is the reason.
        """
        path = str(source) if isinstance(source, str | PathLike) else ""
        return self.records([path], [Frame(self._open(source))])[0]

    def records(self, paths: Sequence[str], frames: Sequence[Frame]) -> list[Prediction]:
        """Classify frames, in one call: a record each, under the path of the same position."""
        if not frames:
            return []
        batch = np.stack([preprocess(frame.pixels, self.contract.preprocess) for frame in frames])
        answers = predictions(list(paths), self.probabilities(batch), self.contract.labels)
        return [
            answer.at(frame.frame, frame.plane, frame.series)
            for answer, frame in zip(answers, frames, strict=True)
        ]

    def probabilities(self, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return `(N, K)` class probabilities of `(N, 1, S, S)` uint8 network input."""
        return softmax(self.logits(batch), self.contract.temperature)

    def logits(self, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return `(N, K)` logits of `(N, 1, S, S)` uint8 network input."""
        return self.outputs(["logits"], batch)[0]

    def outputs(self, names: list[str], batch: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
        """Return outputs of the graph by name for `(N, 1, S, S)` uint8 network input."""
        most = self.fixed_batch or (CPU_CALL if self.provider == CPU else len(batch))
        if len(batch) == most or (len(batch) < most and self.fixed_batch is None):
            return self._run(names, batch)
        return _in_calls(self._run, names, batch, most, fill=self.fixed_batch is not None)

    def stream(
        self,
        paths: Iterable[str | PathLike[str]],
        *,
        threads: int | None = None,
        batch_size: int | None = None,
        audit: bool = False,
    ) -> Iterator[Prediction]:
        """Classify files as they come, in their order; a bad file becomes an `error` record.

        While it runs, OpenCV uses one thread an image in the whole process.

        Args:
            paths: Image files.
            threads: How many threads decode and infer; None for the cores this process has, one
                with `low_power`.
            batch_size: Images per inference call; None for what suits the device.
            audit: Let each record say where it comes from.
        """
        if threads is None:
            threads = 1 if self.config.low_power else available_threads()
        if batch_size is None:
            batch_size = self.batch_size
        with one_core_each():
            yield from stream_batches(
                partial(self.predict_files, audit=audit),
                paths,
                workers=threads,
                batch_size=batch_size,
            )

    def predict_files(
        self, paths: Sequence[str | PathLike[str]], *, audit: bool = False
    ) -> list[Prediction]:
        """Classify files on this thread: a record a frame, an `error` record for a bad file."""
        answers: list[Prediction] = []  # those of waiting frames hold their place
        waiting: list[tuple[int, Frame]] = []

        def answer_waiting() -> None:
            records = self.records(
                [answers[place].path for place, _ in waiting], [frame for _, frame in waiting]
            )
            for (place, _), record in zip(waiting, records, strict=True):
                answers[place] = replace(record, audit=answers[place].audit)
            waiting.clear()

        spec = self.contract.preprocess
        begun = Audit.begin(self.model_sha256, spec, self.provider) if audit else None
        for path in map(str, paths):
            origin = begun and begun.of(None)
            try:
                data = read_file(Path(path))
                origin = begun and begun.of(data)
                for frame in decode_frames(data, reduce_to=spec.reduce_to):
                    waiting.append((len(answers), frame))
                    answers.append(Prediction(path, "error", audit=origin))
                    if len(waiting) >= max(len(paths), self.batch_size):
                        answer_waiting()
            except ImageError as error:
                answers.append(replace(Prediction.failed(path, str(error)), audit=origin))
        answer_waiting()
        return answers

    def _open(self, source: Source) -> NDArray[np.uint8]:
        reduce_to = self.contract.preprocess.reduce_to
        if isinstance(source, str | PathLike):
            return read_image(Path(source), reduce_to=reduce_to)
        if isinstance(source, bytes):
            return decode_image(source, reduce_to=reduce_to)
        return grey_array(source)

    def _check_signature(self, session: Any) -> int | None:
        """Compare graph and contract; return the batch size the graph insists on, if it does."""
        size = self.contract.preprocess.size
        takes = session.get_inputs()[0]
        shape = list(takes.shape)
        if takes.type != "tensor(uint8)" or len(shape) != 4 or shape[1:] != [1, size, size]:
            raise ContractError(
                f"the graph takes {takes.type} {takes.shape}, "
                f"the contract says uint8 (N, 1, {size}, {size})"
            )
        gives = {output.name: output.shape for output in session.get_outputs()}
        classes = len(self.contract.labels.classes)
        if "logits" not in gives or gives["logits"][-1] != classes:
            raise ContractError(
                f"the graph's outputs are {gives}, the contract says logits (N, {classes})"
            )
        return shape[0] if isinstance(shape[0], int) else None


def _reopen(path: Path, config: SessionConfig, model_sha256: str) -> Classifier:
    classifier = Classifier(path, config)
    if classifier.model_sha256 != model_sha256:
        raise ContractError(f"{path} is another file than when it was sent to this process")
    return classifier


def _in_calls(
    run: Run, names: list[str], batch: NDArray[np.uint8], size: int, *, fill: bool
) -> list[NDArray[np.float32]]:
    """Run a graph on `size` images a call; with `fill`, black ones fill up the last."""
    parts = []
    for start in range(0, max(len(batch), 1), size):
        part = batch[start : start + size]
        given = part
        if fill and len(part) < size:
            given = np.zeros((size, *batch.shape[1:]), np.uint8)
            given[: len(part)] = part
        parts.append([array[: len(part)] for array in run(names, given)])
    return [np.concatenate(arrays) for arrays in zip(*parts, strict=True)]
