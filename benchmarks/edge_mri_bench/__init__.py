"""Benchmarks of the whole road against the original PyTorch models."""

import sys

import edge_mri  # noqa: F401  # settles what onnxruntime reads when it is loaded

# OpenVINO and NNCF report to their maker where they find this package; else they have a stub of it
# (decision record 0054).
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # not to be found
