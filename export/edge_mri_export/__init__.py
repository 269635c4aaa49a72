"""From a checkpoint to quantised ONNX that gives the same answer, or none."""

import edge_mri  # noqa: F401  # settles what onnxruntime reads when it is loaded
