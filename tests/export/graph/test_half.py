import numpy as np
import onnx
import pytest
from onnx import TensorProto

from edge_mri.classifier import Classifier
from edge_mri.terminal.progress import NoProgress
from edge_mri_export.exporting import ExportConfig, export
from edge_mri_export.int8.recipe import QuantizationConfig


@pytest.mark.parametrize("name", ["artemis_cnn", "mobilenet_v2"])
def test_an_fp16_file_is_half_as_large_and_answers_alike(road, phantoms, tmp_path, name):
    one = road(name)
    config = ExportConfig(
        one.path, tmp_path / "model.onnx", QuantizationConfig("fp16"), phantoms, max_drop=9
    )
    fp32, fp16 = export(config, NoProgress())
    assert fp16.path == tmp_path / "model_fp16.onnx"
    assert fp16.path.stat().st_size < 0.56 * fp32.path.stat().st_size
    classifier = Classifier.load(fp16.path, device="cpu")
    assert classifier.contract.precision == "fp16"
    expected = one.checkpoint.logits(one.pixels)
    logits = classifier.logits(one.pixels)
    assert np.corrcoef(logits.ravel(), expected.ravel())[0, 1] > 0.99
    model = onnx.load(fp16.path)
    weights = {tensor.data_type for tensor in model.graph.initializer if len(tensor.dims) > 1}
    assert weights == {TensorProto.FLOAT16}
