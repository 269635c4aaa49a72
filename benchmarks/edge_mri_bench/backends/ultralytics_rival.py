"""Ultralytics as a backend: its smallest classifier, exported the way its documentation does.

Its own transforms, at its usual size, then ONNX Runtime. The weights are random, since pretrained
ones know no tumours: for speed alone. No extra installs it, for it requires `opencv-python`, which
overwrites the headless OpenCV: `pip install --no-deps ultralytics ultralytics-thop`, and what it
then names as missing.
"""

import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from PIL import Image
from ultralytics import YOLO
from ultralytics.data.augment import classify_transforms
from ultralytics.nn.tasks import ClassificationModel

from edge_mri.images.preprocess import PreprocessSpec
from edge_mri.labels import LabelSpace
from edge_mri_bench.backends.backends import Backend, Settings
from edge_mri_bench.backends.networks import Network

MODEL = "yolo11n-cls"
_SIZE = 224
_LEAST = 1e-30  # of a probability, before its logarithm


class UltralyticsBackend(Backend):
    """A classifier of Ultralytics as an ONNX file."""

    distributions = ("ultralytics", "onnxruntime", "pillow", "numpy")

    def __init__(self, settings: Settings) -> None:
        labels = LabelSpace()
        self._transform = classify_transforms(_SIZE)
        path = settings.prepared or _export(len(labels.classes), settings.folder)
        super().__init__(
            labels, PreprocessSpec(_SIZE), model_bytes=path.stat().st_size, answers=False
        )
        self.prepared = path
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = settings.threads
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"]
        )
        self.note = f"{MODEL} with random weights at {_SIZE} px RGB: speed alone"

    def decode(self, data: bytes) -> Any:
        """Decode with OpenCV in colour, as its loader does."""
        return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)

    def prepare(self, image: Any) -> Any:
        """Apply its own transforms, on a PIL image."""
        return self._transform(Image.fromarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB))).numpy()

    def stack(self, inputs: Sequence[Any]) -> Any:
        """Stack arrays."""
        return np.stack(inputs)

    def infer(self, batch: Any) -> NDArray[np.float32]:
        """Run the session, whose output is probabilities."""
        given: NDArray[np.float32] = self._session.run(None, {"images": batch})[0]
        return np.log(np.maximum(given, np.float32(_LEAST)))


def _export(classes: int, folder: Path) -> Path:
    torch.manual_seed(0)
    file = Path(tempfile.mkdtemp(prefix="ultralytics-", dir=folder)) / f"{MODEL}.pt"
    model = YOLO(f"{MODEL}.yaml", task="classify", verbose=False)
    network = ClassificationModel(f"{MODEL}.yaml", nc=classes, verbose=False).eval()
    network.args, network.task = model.model.args, model.model.task
    network.pt_path = str(file)  # beside which it writes
    model.model = network
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own deprecations
        return Path(
            model.export(format="onnx", imgsz=_SIZE, dynamic=True, simplify=False, device="cpu")
        )


def open_backend(name: str, network: Network, settings: Settings) -> Backend:
    """Export and open its classifier; it is the same for every network."""
    return UltralyticsBackend(settings)
