"""The classifier: a model file and its contract, asked about images.

One image, a batch of network input, or a stream of files. Opening and running the model is
`edge_mri.model.graph`, finding the files `edge_mri.images`, reading some of them together
`edge_mri.file_batch`, running batches side by side `edge_mri.stream`, writing the records
`edge_mri.records.output`.
"""

from collections.abc import Callable, Generator, Iterable, Sequence
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_mri.answers.decision import Answers
from edge_mri.answers.location import maps
from edge_mri.answers.prediction import Prediction, predictions, softmax
from edge_mri.errors import AnswerError, ImageError, ModelFormatError
from edge_mri.file_batch import begin_files
from edge_mri.finishing import Finish, finished
from edge_mri.images import Source, read_source
from edge_mri.images.opening import fetched_ahead
from edge_mri.images.pixels.acquired import ACQUIRED, Planes
from edge_mri.images.prepared import Prepared
from edge_mri.model.graph import Graph
from edge_mri.model.providers import CPU
from edge_mri.model.session import SessionConfig
from edge_mri.model.signature import required_signature
from edge_mri.process.workers import available_threads, one_core_each
from edge_mri.remote.url import Url
from edge_mri.stream import stream_batches

SHIPPED_MODEL = Path(__file__).parent / "models" / "edge_mri_int8.onnx"

CPU_BATCH, CUDA_BATCH = 8, 64
"""Files that a worker takes at a time: docs/decisions/0023; for CUDA a guess, not measured."""


class Classifier:
    """Answers type and plane of brain MR slices. For research use, not for diagnosis.

    Safe to call from several threads at once. It pickles: a worker process opens the model file
    again, and refuses one that has changed meanwhile.

    Attributes:
        path: The model file.
        config: What it was asked to run on.
        reject: Whether images are rejected as the contract says; False: all are answered.
        trust_pixels: Whether an image is judged by its pixels alone, whatever its file's header
            says of modality and body part.
        planes: Which planes of a NIfTI volume are cut and judged.
        graph: The opened file, and where it runs.
        contract: What the model says about itself.
        map_output: What says where the lesion is: `lesion`, else `cam`; None: the graph has
            neither.
    """

    def __init__(
        self,
        path: Path,
        config: SessionConfig | None = None,
        *,
        reject: bool = True,
        trust_pixels: bool = False,
        planes: Planes = ACQUIRED,
    ) -> None:
        self.path = path
        self.config = config or SessionConfig()
        self.reject = reject
        self.trust_pixels = trust_pixels
        self.planes = planes
        self.graph = Graph(path, self.config)
        self.contract = self.graph.contract
        found = (name for name in ("lesion", "cam") if name in self.graph.outputs)
        self.map_output: str | None = next(found, None)

    @classmethod
    def load(
        cls,
        path: str | PathLike[str] | None = None,
        *,
        device: str = "auto",
        providers: Sequence[str] = (),
        low_power: bool = False,
        reject: bool = True,
        require_signature: str | PathLike[str] | None = None,
        trust_pixels: bool = False,
        planes: Planes = ACQUIRED,
    ) -> "Classifier":
        """Open a model.

        Args:
            path: An ONNX file written by `edge-mri export`; None for the packaged model.
            device: `auto`, `cpu` or `cuda`.
            providers: Other execution providers of onnxruntime in place of a device, such as
                `openvino`, the first preferred.
            low_power: Keep the device cool and free rather than answer fast.
            reject: False: answer every image, also those the model's contract would reject.
            require_signature: A public key, PEM: refuse a model that was not signed with its
                private half; None: the one that EDGE_MRI_REQUIRE_SIGNATURE names, if any.
            trust_pixels: True: a DICOM header that names another modality than MR, or another body
                part than a head, does not make its image foreign.
            planes: Of a NIfTI volume: `("acquired",)`, `("all",)`, or names of planes, see
                `edge_mri.images.pixels.acquired`.

        Raises:
            ModelError: No such file, no contract that this version understands, not what was
                exported, or not signed as required.
            DeviceError: What was asked for cannot be used.
        """
        config = SessionConfig(
            device=device,
            providers=tuple(providers),
            low_power=low_power,
            require_signature=required_signature(require_signature),
        )
        file = SHIPPED_MODEL if path is None else Path(path)
        return cls(file, config, reject=reject, trust_pixels=trust_pixels, planes=planes)

    def __reduce__(self) -> tuple[Any, ...]:
        asked = (self.reject, self.trust_pixels, self.planes)
        return _reopen, (self.path, self.config, asked, self.model_sha256)

    @property
    def device(self) -> str:
        """What it really runs on: `cpu`, `cuda`, or another execution provider's name."""
        return self.graph.device

    @property
    def provider(self) -> str:
        """What onnxruntime calls the device."""
        return self.graph.provider

    @property
    def model_sha256(self) -> str:
        """Hash of the model file, hexadecimal."""
        return self.graph.model_sha256

    @property
    def batch_size(self) -> int:
        """Images answered together that suit what it runs on."""
        if self.config.low_power:
            return 1
        return CPU_BATCH if self.provider == CPU else CUDA_BATCH

    def predict(self, source: Source) -> Prediction:
        """Classify one image.

        Args:
            source: A path, an image file's bytes, or a uint8 array: `(H, W)` grey or
                `(H, W, 3)` RGB.

        A plane that the file itself tells, as DICOM may, goes before the model's, as in `stream`.

        Raises:
            ImageError: The image cannot be used; the message is the path, if any, and the reason.
            AnswerError: What the model gives for it are no numbers.
        """
        path = str(source) if isinstance(source, str | PathLike) else ""
        try:
            frame = read_source(source, self.contract.preprocess.reduce_to, self.planes)
        except ImageError as error:
            error.path = path or None
            raise
        image = Prepared.of(frame, self.contract.preprocess, keep=True)
        (record,) = self.records([path], [image])
        if record.error is not None:
            raise AnswerError(record.error)
        return record

    def records(
        self, paths: Sequence[str], images: Sequence[Prepared], finish: Finish | None = None
    ) -> list[Prediction]:
        """Classify prepared images together: a record each, under the path of its position.

        Where the model gives no numbers it is an `error` record. A lesion map is fetched in any
        case, for the box: it costs nothing.

        Args:
            paths: As the records will say.
            images: N of them, with their pixels where there is a `finish`.
            finish: See `stream`.
        """
        if not images:
            return []
        wanted = finish is not None or self.map_output == "lesion"
        batch = np.concatenate([image.pixels for image in images])[:, np.newaxis]
        answers = self.answers(batch, lesion=wanted)
        places = [image.place for image in images]
        reasons = [self._why_foreign(image) for image in images]
        made = predictions(
            paths, answers, self.contract, places, reject=self.reject, reasons=reasons
        )
        records = [record.at(image.frame) for record, image in zip(made, images, strict=True)]
        if finish is None:
            return records
        located = maps(answers.without(answers.faults()), self.contract.labels)
        cells = [None] * len(images) if located is None else list(located)
        return [
            record if record.error is not None else finished(finish, record, image, map_)
            for record, image, map_ in zip(records, images, cells, strict=True)
        ]

    def answers(self, batch: NDArray[np.uint8], *, lesion: bool = False) -> Answers:
        """Return what the graph gives for `(N, 1, S, S)` uint8 network input.

        Rows may hold what are no numbers: `Answers.faults` says which, `decide` refuses them.

        Args:
            batch: The network input.
            lesion: Also fetch what says where the lesion is, see `map_output`.
        """
        wanted = ["logits"]
        if (gate := self.contract.rejection) is not None:
            wanted += ["novelty"] * ("novelty" in self.graph.outputs)
            wanted += ["foreign"] * (gate.max_foreign is not None)
        if lesion and self.map_output is not None:
            wanted.append(self.map_output)
        given = dict(zip(wanted, self.graph.run(wanted, batch), strict=True))
        probabilities = softmax(given.pop("logits"), self.contract.temperature)
        return Answers(probabilities, **given)

    def probabilities(self, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return `(N, K)` class probabilities of `(N, 1, S, S)` uint8 network input.

        A row sums to 1, or is NaN where one of its logits is no finite number.
        """
        return softmax(self.logits(batch), self.contract.temperature)

    def logits(self, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return `(N, K)` logits of `(N, 1, S, S)` uint8 network input, as the graph gives them."""
        return self.graph.run(["logits"], batch)[0]

    def stream(
        self,
        paths: Iterable[str | PathLike[str] | Url],
        *,
        threads: int | None = None,
        batch_size: int | None = None,
        finish: Finish | None = None,
        audit: bool = False,
        would_wait: Callable[[], bool] | None = None,
        stopped: Callable[[], bool] | None = None,
    ) -> Generator[Prediction, None, None]:
        """Classify files as they come, in their order; a bad file becomes an `error` record.

        A file of many images is read image by image, and all threads answer them. While it runs,
        OpenCV uses one thread an image in the whole process.

        Args:
            paths: Image files; a text such as `s3://…` is a URL.
            threads: That decode and infer; None for the cores this process has, one with
                `low_power`.
            batch_size: Files that a thread takes at a time; None for what suits the device.
            finish: Called in the worker threads with each record but the `error` ones, its image
                `(H, W)` uint8 and its `(h, w)` map (`edge_mri.answers.location.maps`; None without
                one). What it returns takes the record's place; an `error` record does where it runs
                out of memory.
            audit: Let each record say where it comes from.
            would_wait: Says whether the next path is not there yet, such as `queue.empty`; then
                the files that have come are answered first. None: paths never keep one waiting,
                and many are taken before the first is answered.
            stopped: Says whether to end before all is answered: asked between images, and while
                an answer is waited for. None: never.
        """
        if threads is None:
            threads = 1 if self.config.low_power else available_threads()
        work = partial(begin_files, self, finish=finish, audit=audit)
        with one_core_each():
            yield from stream_batches(
                work,
                fetched_ahead(paths),
                workers=threads,
                batch_size=self.batch_size if batch_size is None else batch_size,
                would_wait=would_wait,
                stopped=stopped,
            )

    def _why_foreign(self, image: Prepared) -> str | None:
        """Return why an image is foreign whatever the graph gives; only a gate looks at pixels."""
        header = None if self.trust_pixels else image.frame.foreign
        return header or (image.drawn if self.contract.rejection is not None else None)


def _reopen(
    path: Path, config: SessionConfig, asked: tuple[bool, bool, Planes], model_sha256: str
) -> Classifier:
    reject, trust_pixels, planes = asked
    classifier = Classifier(path, config, reject=reject, trust_pixels=trust_pixels, planes=planes)
    if classifier.model_sha256 != model_sha256:
        raise ModelFormatError(
            path, "the model that was sent to this process", "it was written again meanwhile"
        )
    return classifier
