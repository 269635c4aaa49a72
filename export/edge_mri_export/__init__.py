"""From a checkpoint to quantised ONNX that gives the same answer, or none."""
