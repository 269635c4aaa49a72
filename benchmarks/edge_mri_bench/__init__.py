"""Benchmarks of the whole road against the original PyTorch models."""

import os
import sys

import edge_mri  # noqa: F401  # settles what onnxruntime reads when it is loaded

# OpenVINO and NNCF report to their maker where they find this package; else they have a stub of it
# (decision record 0054).
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # not to be found
# Ultralytics reports as well, and installs what it misses, unless told otherwise before it loads.
for _name, _value in (("OFFLINE", "true"), ("AUTOINSTALL", "false"), ("VERBOSE", "false")):
    os.environ.setdefault(f"YOLO_{_name}", _value)
