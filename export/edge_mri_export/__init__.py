"""From a checkpoint, or a classifier made elsewhere, to ONNX that gives its answers, or none."""

from importlib import import_module

import edge_mri  # noqa: F401  # settles what onnxruntime reads when it is loaded

TYPE_CHECKING = False  # as type checkers know it
if TYPE_CHECKING:
    from edge_mri_export.adopting import export_module, export_onnx

_HOMES = {"export_module": "adopting", "export_onnx": "adopting"}
__all__ = ["export_module", "export_onnx"]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'edge_mri_export' has no attribute {name!r}")
    return getattr(import_module(f"edge_mri_export.{_HOMES[name]}"), name)
