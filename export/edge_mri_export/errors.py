"""The errors of export, as leaves of the tree in `edge_mri.errors`.

ModelError
├── AdoptionError(ValueError)
├── GraphError(ValueError)
├── QuantizationError(ValueError)
└── ParityError(ValueError)            exit code 1
DataError
└── CalibrationError(ValueError)
"""

from typing import Any

from edge_mri.errors import DataError, ModelError


class AdoptionError(ModelError, ValueError):
    """An ONNX model made elsewhere cannot be made one of ours."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"{name} cannot be adopted: {reason}")


class GraphError(ModelError, ValueError):
    """A network cannot be written as an ONNX graph.

    Attributes:
        reason: Why not.
    """

    def __init__(self, architecture: str, reason: str) -> None:
        super().__init__(f"{architecture} cannot be written as ONNX: {reason}")
        self.reason = reason


class QuantizationError(ModelError, ValueError):
    """A graph cannot be quantised."""


class ParityError(ModelError, ValueError):
    """An ONNX file does not give PyTorch's answers; no file was written for it.

    Attributes:
        reason: What differs, without what was or is to be done about it.
        exported: All files of the export so far (`edge_mri_export.exported.Exported`), the refused
            one last; empty where no file was to be written.
    """

    exit_code = 1
    exported: tuple[Any, ...] = ()

    def __init__(self, reason: str, advice: str) -> None:
        super().__init__(f"{reason}{advice}")
        self.reason = reason


class CalibrationError(DataError, ValueError):
    """There are no images to calibrate with."""
