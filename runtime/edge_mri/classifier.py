"""The classifier: a model file and its contract, asked about images.

One image, a batch of network input, or a stream of files. Finding the files is
`edge_mri.images`, writing the records `edge_mri.output`.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from os import PathLike
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_mri.contract import Contract
from edge_mri.decision import Answers
from edge_mri.errors import ContractError, ImageError, OptionError
from edge_mri.images import decode_image, grey_array, read_image
from edge_mri.location import maps
from edge_mri.prediction import Prediction, predictions, softmax
from edge_mri.preprocess import Placement, preprocess
from edge_mri.session import available_threads, open_session

SHIPPED_MODEL = Path(__file__).parent / "models" / "edge_mri_int8.onnx"

Finish = Callable[[Prediction, NDArray[np.uint8], NDArray[np.float32] | None], Prediction]
Source = str | PathLike[str] | bytes | NDArray[np.uint8]


class Classifier:
    """Answers type and plane of brain MR slices. For research use, not for diagnosis.

    Safe to call from several threads at once.

    Attributes:
        path: The model file.
        contract: What the model says about itself.
        device: `cpu` or `cuda`, what the model really runs on.
        reject: Whether images are rejected as the contract says; False: all are answered.
    """

    def __init__(self, path: Path, device: str = "auto", *, reject: bool = True) -> None:
        self.path = path
        self.reject = reject
        self._session = open_session(path, device)
        self.contract = Contract.from_metadata(self._session.get_modelmeta().custom_metadata_map)
        self.device = "cuda" if "CUDA" in self._session.get_providers()[0] else "cpu"
        self._input = self._session.get_inputs()[0].name
        self._outputs = {output.name for output in self._session.get_outputs()}
        self._check_signature()

    @classmethod
    def load(
        cls,
        path: str | PathLike[str] | None = None,
        *,
        device: str = "auto",
        reject: bool = True,
    ) -> "Classifier":
        """Open a model.

        Args:
            path: An ONNX file written by `edge-mri export`; None for the model that ships.
            device: `auto`, `cpu` or `cuda`.
            reject: False: answer every image, also those the model's contract would reject.

        Raises:
            ModelError: No such file, no model, or no contract that this version understands.
            DeviceError: CUDA was asked for and cannot be used.
        """
        return cls(SHIPPED_MODEL if path is None else Path(path), device, reject=reject)

    def predict(self, source: Source) -> Prediction:
        """Classify one image.

        Args:
            source: A path, an image file's bytes, or a uint8 array: `(H, W)` grey or
                `(H, W, 3)` RGB.

        Raises:
            ImageError: The image cannot be used; the message is the reason.
        """
        path = str(source) if isinstance(source, str | PathLike) else ""
        image = _open(source)
        batch = preprocess(image, self.contract.preprocess)[np.newaxis]
        return self._records([path], batch, [image.shape])[0]

    @property
    def map_output(self) -> str | None:
        """What says where the lesion is: `lesion`, else `cam`; None: the graph has neither."""
        return next((name for name in ("lesion", "cam") if name in self._outputs), None)

    def answers(self, batch: NDArray[np.uint8], *, lesion: bool = False) -> Answers:
        """Return what the graph gives for `(N, 1, S, S)` uint8 network input.

        Args:
            batch: The network input.
            lesion: Also fetch what says where the lesion is, see `map_output`.
        """
        wanted = ["logits"]
        if self.contract.rejection is not None and "novelty" in self._outputs:
            wanted.append("novelty")
        if lesion and self.map_output is not None:
            wanted.append(self.map_output)
        given = dict(zip(wanted, self._session.run(wanted, {self._input: batch}), strict=True))
        return Answers(
            softmax(given["logits"], self.contract.temperature),
            given.get("novelty"),
            given.get("lesion"),
            given.get("cam"),
        )

    def probabilities(self, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return `(N, K)` class probabilities of `(N, 1, S, S)` uint8 network input."""
        return softmax(self.logits(batch), self.contract.temperature)

    def logits(self, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return `(N, K)` logits of `(N, 1, S, S)` uint8 network input."""
        logits: NDArray[np.float32] = self._session.run(["logits"], {self._input: batch})[0]
        return logits

    def stream(
        self,
        paths: Iterable[str | PathLike[str]],
        *,
        threads: int | None = None,
        batch_size: int = 8,
        finish: Finish | None = None,
    ) -> Iterator[Prediction]:
        """Classify files as they come, in their order; a bad file becomes an `error` record.

        Args:
            paths: Image files.
            threads: How many threads decode and infer; None for the cores this process has.
            batch_size: Images per inference call.
            finish: Called in the worker threads with each record but the `error` ones, its image
                `(H, W)` uint8 and its `(h, w)` map (`edge_mri.location.maps`; None without one).
                What it returns takes the record's place.
        """
        workers = available_threads() if threads is None else threads
        if workers < 1 or batch_size < 1:
            raise OptionError(
                f"threads and batch size must be 1 or more, got {workers} and {batch_size}"
            )
        remaining = iter(paths)
        pending: deque[Future[list[Prediction]]] = deque()
        with ThreadPoolExecutor(workers, thread_name_prefix="edge-mri") as pool:
            try:
                while batch := list(islice(remaining, batch_size)):
                    pending.append(pool.submit(self._predict_files, batch, finish))
                    if len(pending) > 2 * workers:
                        yield from pending.popleft().result()
                while pending:
                    yield from pending.popleft().result()
            finally:
                for future in pending:
                    future.cancel()

    def _predict_files(
        self, paths: list[str | PathLike[str]], finish: Finish | None
    ) -> list[Prediction]:
        inputs: list[NDArray[np.uint8]] = []
        shapes: list[tuple[int, ...]] = []
        images: list[NDArray[np.uint8]] = []
        failures: dict[int, Prediction] = {}
        for position, path in enumerate(paths):
            try:
                image = read_image(Path(path))
                inputs.append(preprocess(image, self.contract.preprocess))
                shapes.append(image.shape)
                images += [] if finish is None else [image]
            except ImageError as error:
                failures[position] = Prediction.failed(str(path), str(error))
        readable = [str(path) for position, path in enumerate(paths) if position not in failures]
        records: list[Prediction] = []
        if inputs:
            records = self._records(readable, np.stack(inputs), shapes, finish, images)
        answers = iter(records)
        return [failures.get(position) or next(answers) for position in range(len(paths))]

    def _records(
        self,
        paths: list[str],
        batch: NDArray[np.uint8],
        shapes: list[tuple[int, ...]],
        finish: Finish | None = None,
        images: Sequence[NDArray[np.uint8]] = (),
    ) -> list[Prediction]:
        """Answer images; a lesion map is fetched in any case, for the box: it costs nothing."""
        wanted = finish is not None or self.map_output == "lesion"
        answers = self.answers(batch, lesion=wanted)
        places = [Placement.of(shape, self.contract.preprocess) for shape in shapes]
        records = predictions(paths, answers, self.contract, places, reject=self.reject)
        if finish is None:
            return records
        located = maps(answers, self.contract.labels)
        cells = [None] * len(images) if located is None else list(located)
        return [finish(*one) for one in zip(records, images, cells, strict=True)]

    def _check_signature(self) -> None:
        size = self.contract.preprocess.size
        takes = self._session.get_inputs()[0]
        if takes.type != "tensor(uint8)" or list(takes.shape[1:]) != [1, size, size]:
            raise ContractError(
                f"the graph takes {takes.type} {takes.shape}, "
                f"the contract says uint8 (N, 1, {size}, {size})"
            )
        gives = {output.name: output.shape for output in self._session.get_outputs()}
        classes = len(self.contract.labels.classes)
        if "logits" not in gives or gives["logits"][-1] != classes:
            raise ContractError(
                f"the graph's outputs are {gives}, the contract says logits (N, {classes})"
            )


def _open(source: Source) -> NDArray[np.uint8]:
    if isinstance(source, bytes):
        return decode_image(source)
    if isinstance(source, str | PathLike):
        return read_image(Path(source))
    return grey_array(source)
