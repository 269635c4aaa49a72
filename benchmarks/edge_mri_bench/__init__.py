"""Benchmarks of the whole road against the original PyTorch models."""

import edge_mri  # noqa: F401  # settles what onnxruntime reads when it is loaded
