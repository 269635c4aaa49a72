"""timm as a backend: a classifier of similar size, exported the way its documentation does.

Its own transforms on PIL images, at its usual size, then ONNX Runtime. The weights are random,
since pretrained ones know no tumours: for speed alone.
"""

import tempfile
import warnings
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import timm
import torch
from numpy.typing import NDArray
from PIL import Image

from edge_mri.images.preprocess import PreprocessSpec
from edge_mri.labels import LabelSpace
from edge_mri_bench.backends.backends import Backend, Settings
from edge_mri_bench.backends.networks import Network

MODEL = "mobilenetv3_small_100"


class TimmBackend(Backend):
    """A timm classifier as an ONNX file."""

    distributions = ("timm", "onnxruntime", "pillow", "numpy")

    def __init__(self, settings: Settings) -> None:
        labels = LabelSpace()
        torch.manual_seed(0)
        network = timm.create_model(MODEL, num_classes=len(labels.classes)).eval()
        config = timm.data.resolve_model_data_config(network)
        self._transform = timm.data.create_transform(**config, is_training=False)
        shape = config["input_size"]
        path = settings.prepared or _export(network, shape, settings.folder)
        super().__init__(
            labels, PreprocessSpec(shape[1]), model_bytes=path.stat().st_size, answers=False
        )
        self.prepared = path
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = settings.threads
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"]
        )
        self.note = f"{MODEL} with random weights at {shape[1]} px RGB: speed alone"

    def decode(self, data: bytes) -> Any:
        """Open with PIL, as RGB."""
        with Image.open(BytesIO(data)) as image:
            return image.convert("RGB")

    def prepare(self, image: Any) -> Any:
        """Apply timm's own transforms."""
        return self._transform(image).numpy()

    def stack(self, inputs: Sequence[Any]) -> Any:
        """Stack arrays."""
        return np.stack(inputs)

    def infer(self, batch: Any) -> NDArray[np.float32]:
        """Run the session."""
        logits: NDArray[np.float32] = self._session.run(None, {"pixels": batch})[0]
        return logits


def _export(network: torch.nn.Module, shape: tuple[int, int, int], folder: Path) -> Path:
    path = Path(tempfile.mkdtemp(prefix="timm-", dir=folder)) / "model.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own deprecations
        torch.onnx.export(
            network,
            (torch.zeros(2, *shape),),
            path,
            dynamo=True,
            external_data=False,
            input_names=["pixels"],
            dynamic_shapes=({0: torch.export.Dim.DYNAMIC},),
            verbose=False,
        )
    return path


def open_backend(name: str, network: Network, settings: Settings) -> Backend:
    """Export and open timm's classifier; it is the same for every network."""
    return TimmBackend(settings)
