import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

from edge_mri.classifier import Classifier
from edge_mri.errors import EdgeMriError, OptionError, OutputError
from edge_mri.images.preprocess import PreprocessSpec
from edge_mri.labels import LabelSpace
from edge_mri.model.contract import Contract
from edge_mri.terminal.progress import NoProgress
from edge_mri_export import exporting
from edge_mri_export.errors import ParityError
from edge_mri_export.exporting import ExportConfig, export
from edge_mri_export.int8.recipe import QuantizationConfig
from edge_mri_train.data.scan import fingerprint_files
from edge_mri_train.duplicates.seen import SeenImages
from edge_mri_train.errors import SeenImagesError
from edge_mri_train.evaluation.evaluating import EvaluationConfig, evaluate
from edge_mri_train.evaluation.predictor import open_predictor
from edge_mri_train.networks.architectures import build
from edge_mri_train.networks.checkpoint import Checkpoint


def test_the_fp32_file_gives_pytorchs_logits(each):
    expected = each.checkpoint.logits(each.pixels)
    logits = Classifier.load(each.fp32, device="cpu").logits(each.pixels)
    np.testing.assert_allclose(logits, expected, atol=2e-4)
    # The images must be told apart, or any graph would pass.
    assert expected.std(axis=0).min() > 0.5
    assert len(set(expected.argmax(axis=1))) > 3


def test_the_int8_file_gives_nearly_pytorchs_logits(small):
    expected = small.checkpoint.logits(small.pixels)
    logits = Classifier.load(small.int8, device="cpu").logits(small.pixels)
    assert np.corrcoef(logits.ravel(), expected.ravel())[0, 1] > 0.85


def test_the_parity_that_is_reported_is_the_files_own(each):
    for exported in each.exported:
        logits = Classifier.load(exported.path, device="cpu").logits(each.pixels)
        difference = np.abs(logits - each.checkpoint.logits(each.pixels)).max()
        assert exported.parity.max_logit_difference == pytest.approx(difference, rel=1e-3, abs=1e-5)
        assert exported.parity.n == 48


def test_both_files_carry_their_contract(each):
    fp32, int8 = (Classifier.load(one.path, device="cpu").contract for one in each.exported)
    for contract, exported in zip((fp32, int8), each.exported, strict=True):
        assert contract.name == each.checkpoint.architecture
        assert contract.labels == LabelSpace()
        assert contract.preprocess == each.checkpoint.preprocess
        assert contract.training == {"data": ["phantoms"]}
        assert contract.parity == exported.parity.to_dict()
    assert (fp32.precision, fp32.quantization) == ("fp32", {})
    assert int8.precision == "int8"
    recipe = int8.quantization
    assert recipe["quantized_layers"] == list(each.exported[1].quantized_layers)
    assert recipe["calibration_images"] == 48
    assert recipe["calibration_source"].startswith("folder phantoms")
    assert len(recipe["calibration_sha256"]) == 64
    assert recipe["target"] == "portable"
    assert recipe["calibration_method"] == "minmax"
    assert [one["recipe"] for one in recipe["trials"]] == ["minmax"]
    assert "losses" not in recipe["trials"][0]  # `info` shows these as a table
    assert "losses" in each.exported[1].trials[0]


def test_the_runtime_answers_with_the_checkpoints_probabilities(small, phantoms):
    file = sorted(phantoms.glob("*/*.png"))[5]
    prediction = Classifier.load(small.fp32).predict(file)
    probabilities = small.checkpoint.probabilities(small.pixels[5:6])
    expected = LabelSpace().type_probabilities(probabilities)[0]
    assert list(prediction.type_probabilities.values()) == pytest.approx(expected, abs=1e-5)


def test_the_temperature_goes_with_the_file(small, phantoms, tmp_path):
    checkpoint = Checkpoint.load(small.path)
    checkpoint.temperature = 2.5
    checkpoint.save(tmp_path / "checkpoint.pt")
    config = ExportConfig(tmp_path / "checkpoint.pt", tmp_path / "model.onnx", calibration=phantoms)
    (exported,) = export(config, NoProgress())
    probabilities = Classifier.load(exported.path).probabilities(small.pixels[:4])
    np.testing.assert_allclose(probabilities, checkpoint.probabilities(small.pixels[:4]), atol=1e-5)
    assert exported.path.parent == tmp_path
    assert not (tmp_path / "model_int8.onnx").exists()


def test_a_four_class_model_answers_no_plane(phantoms, pixels, tmp_path):
    torch.manual_seed(0)
    network = build("artemis_cnn", 4, 80).eval()
    space = LabelSpace.for_task("type")
    Checkpoint("artemis_cnn", space, PreprocessSpec(80), network).save(tmp_path / "c.pt")
    config = ExportConfig(tmp_path / "c.pt", tmp_path / "m.onnx", calibration=phantoms)
    (exported,) = export(config, NoProgress())
    prediction = Classifier.load(exported.path).predict(sorted(phantoms.glob("*/*.png"))[0])
    assert prediction.plane is None
    assert sum(prediction.type_probabilities.values()) == pytest.approx(1, abs=1e-5)


def damaged(model: onnx.ModelProto) -> onnx.ModelProto:
    """Scale the weights of one layer by 1.01, as a slightly wrong conversion would."""
    largest = max(model.graph.initializer, key=lambda one: len(one.raw_data))
    values = numpy_helper.to_array(largest) * np.float32(1.01)
    largest.CopyFrom(numpy_helper.from_array(values.astype(np.float32), largest.name))
    return model


@pytest.fixture
def config(small, phantoms, tmp_path) -> ExportConfig:
    return ExportConfig(
        small.path,
        tmp_path / "out" / "model.onnx",
        QuantizationConfig("int8", method="minmax"),
        calibration=phantoms,
        max_drop=100,
    )


def left(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.rglob("*")) if folder.exists() else []


def test_a_graph_with_slightly_other_answers_is_not_written(config, monkeypatch):
    body = exporting.body_graph
    monkeypatch.setattr(exporting, "body_graph", lambda *arguments: damaged(body(*arguments)))
    with pytest.raises(ParityError, match=r"^the FP32 ONNX file differs from PyTorch: "):
        export(config, NoProgress())
    assert left(config.output.parent) == []


def fainter(model: onnx.ModelProto) -> onnx.ModelProto:
    """Scale the lesion map by 0.99; the logits stay."""
    for node in model.graph.node:
        node.output[:] = ["whole" if name == "lesion" else name for name in node.output]
        node.input[:] = ["whole" if name == "lesion" else name for name in node.input]
    model.graph.initializer.append(numpy_helper.from_array(np.float32([0.99]), "fainter"))
    model.graph.node.append(onnx.helper.make_node("Mul", ["whole", "fainter"], ["lesion"]))
    return model


def test_a_graph_with_another_lesion_map_alone_is_not_written(phantoms, tmp_path, monkeypatch):
    torch.manual_seed(0)
    network = build("edge_net", 12, 64).eval()
    Checkpoint("edge_net", LabelSpace(), PreprocessSpec(64), network).save(tmp_path / "c.pt")
    config = ExportConfig(tmp_path / "c.pt", tmp_path / "out" / "model.onnx", calibration=phantoms)
    body = exporting.body_graph
    with monkeypatch.context() as patch:
        patch.setattr(exporting, "body_graph", lambda *arguments: fainter(body(*arguments)))
        with pytest.raises(ParityError) as caught:
            export(config, NoProgress())
    assert str(caught.value).startswith(
        "the FP32 ONNX file differs from PyTorch: the lesion map by"
    )
    assert left(config.output.parent) == []
    (exported,) = export(config, NoProgress())
    assert 0 < exported.parity.max_lesion_difference < 1e-5


def test_a_file_of_an_earlier_export_survives_a_broken_one(config, monkeypatch):
    config.output.parent.mkdir()
    config.output.write_bytes(b"earlier")
    body = exporting.body_graph
    monkeypatch.setattr(exporting, "body_graph", lambda *arguments: damaged(body(*arguments)))
    with pytest.raises(ParityError):
        export(config, NoProgress())
    assert config.output.read_bytes() == b"earlier"
    assert left(config.output.parent) == ["model.onnx"]


def test_a_model_that_the_runtime_refuses_is_not_written(config, monkeypatch):
    monkeypatch.setattr(Contract, "to_metadata", lambda self: {"other": "{}"})
    with pytest.raises(EdgeMriError):
        export(config, NoProgress())
    assert left(config.output.parent) == []


def test_an_export_keeps_nothing_for_the_next_start(config, monkeypatch, tmp_path):
    """Files that were only checked would push the user's models out of the cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    export(config, NoProgress())
    assert left(tmp_path / "cache") == []
    Classifier.load(config.output, device="cpu")
    assert any(name.endswith(".session") for name in left(tmp_path / "cache"))


def test_an_output_with_another_suffix_is_refused(small):
    with pytest.raises(OptionError) as caught:
        ExportConfig(small.path, Path("model.pb"))
    assert str(caught.value) == "the output is model.pb; expected a name ending in .onnx"


@pytest.mark.parametrize("percent", [-1, 101, float("nan")])
def test_a_drop_out_of_range_is_refused(small, percent):
    with pytest.raises(OptionError, match=r"^--max-drop is .*; expected 0 to 100 percent$"):
        ExportConfig(small.path, Path("model.onnx"), max_drop=percent)


@pytest.mark.parametrize("fault", [KeyboardInterrupt, OSError(28, "No space left on device")])
@pytest.mark.parametrize("kind", ["", "_int8"])
def test_an_interrupted_export_or_a_full_disk_leaves_no_part(config, monkeypatch, fault, kind):
    save = onnx.save

    def failing(model, path):
        save(model, path)
        if "quantization" in str(path) or f"model{kind}.onnx." in path.name:
            raise fault

    monkeypatch.setattr(exporting.onnx, "save", failing)
    with pytest.raises((KeyboardInterrupt, OutputError)) as caught:
        export(config, NoProgress())
    if caught.type is OutputError:
        place = config.int8_output if kind else config.output
        assert str(caught.value) == f"cannot write {place}: No space left on device"
    assert left(config.output.parent) == (["model.onnx"] if kind else [])


def test_the_int8_file_lies_beside_the_fp32_file(small):
    assert ExportConfig(small.path, Path("a/b.c.onnx")).int8_output == Path("a/b.c_int8.onnx")


def test_what_the_checkpoint_remembers_lies_beside_the_onnx_file(small, phantoms, tmp_path):
    files = sorted(phantoms.glob("*/*.png"))
    seen = SeenImages.of(fingerprint_files(files[:30], NoProgress())).to_bytes()
    replace(small.checkpoint, seen=seen).save(tmp_path / "checkpoint.pt")
    output = tmp_path / "out" / "model.onnx"
    export(ExportConfig(tmp_path / "checkpoint.pt", output, calibration=phantoms), NoProgress())
    assert (output.parent / "model.seen").read_bytes() == seen
    assert left(output.parent) == ["model.onnx", "model.seen"]
    readings = [
        evaluate(EvaluationConfig(path, (phantoms,)), NoProgress()).report
        for path in (output, tmp_path / "checkpoint.pt")
    ]
    for report in readings:
        assert report["training_images"] == "what the model remembers, 30 images"
        assert report["subsets"]["duplicate_free"]["n"] == 18


def test_the_memory_of_another_model_is_refused(small, phantoms, tmp_path):
    files = sorted(phantoms.glob("*/*.png"))
    first, second = tmp_path / "first.onnx", tmp_path / "second.onnx"
    for output, count in ((first, 20), (second, 30)):
        seen = SeenImages.of(fingerprint_files(files[:count], NoProgress())).to_bytes()
        replace(small.checkpoint, seen=seen).save(tmp_path / "checkpoint.pt")
        export(ExportConfig(tmp_path / "checkpoint.pt", output, calibration=phantoms), NoProgress())
    assert len(open_predictor(first).seen) == 20
    shutil.copy(second.with_suffix(".seen"), first.with_suffix(".seen"))
    with pytest.raises(SeenImagesError) as caught:
        open_predictor(first)
    assert str(caught.value) == (
        f"the memory of training images cannot be used: {first.with_suffix('.seen')} is not what "
        "was exported with first.onnx; bring that file, or remove this one to evaluate without "
        "knowing what the model has seen"
    )


def test_a_checkpoint_that_remembers_nothing_leaves_no_memory(small, phantoms, tmp_path):
    assert small.checkpoint.seen is None
    (tmp_path / "model.seen").write_bytes(b"of another checkpoint")
    export(ExportConfig(small.path, tmp_path / "model.onnx", calibration=phantoms), NoProgress())
    assert [file.name for file in tmp_path.iterdir()] == ["model.onnx"]
