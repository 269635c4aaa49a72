"""edge-mri: brain MR slice classification on the edge. For research use, not for diagnosis."""

import os
from importlib import import_module

TYPE_CHECKING = False  # as type checkers know it; importing `typing` takes longer than the rest
if TYPE_CHECKING:
    from edge_mri.answers.prediction import Prediction
    from edge_mri.classifier import Classifier
    from edge_mri.errors import EdgeMriError
    from edge_mri.images.preprocess import PreprocessSpec
    from edge_mri.labels import PLANES, TYPES, Label, LabelSpace
    from edge_mri.model.contract import Contract

__version__ = "0.2.0"

# OpenCV reads this once, when it is first imported: telling what is wrong is left to us.
os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
# So does onnxruntime: from 1.29 on it else reports to its maker, from a thread of its own (decision
# record 0054). "0" lets it.
os.environ["ORT_DISABLE_TELEMETRY"] = os.environ.get("ORT_DISABLE_TELEMETRY") or "1"

_HOMES = {
    "Classifier": "classifier",
    "Contract": "model.contract",
    "EdgeMriError": "errors",
    "Label": "labels",
    "LabelSpace": "labels",
    "PLANES": "labels",
    "Prediction": "answers.prediction",
    "PreprocessSpec": "images.preprocess",
    "TYPES": "labels",
}
__all__ = [
    "PLANES",
    "TYPES",
    "Classifier",
    "Contract",
    "EdgeMriError",
    "Label",
    "LabelSpace",
    "Prediction",
    "PreprocessSpec",
]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'edge_mri' has no attribute {name!r}")
    return getattr(import_module(f"edge_mri.{_HOMES[name]}"), name)
