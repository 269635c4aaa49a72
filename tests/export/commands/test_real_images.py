"""Export on real images, where they are there: their sizes, depths and folder names."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from edge_mri.classifier import SHIPPED_MODEL, Classifier
from edge_mri.images.preprocess import PreprocessSpec
from edge_mri.labels import LabelSpace
from edge_mri.model.contract import Contract
from edge_mri.model.onnx_file import OnnxFile
from edge_mri.model.session import SessionConfig, open_session
from edge_mri.terminal.progress import NoProgress
from edge_mri_export.exporting import ExportConfig, export
from edge_mri_train.data.folders import read_folders
from edge_mri_train.data.pixels import load_pixels
from edge_mri_train.evaluation.evaluating import EvaluationConfig, evaluate
from edge_mri_train.evaluation.intervals import auroc


@pytest.fixture(scope="module")
def few(data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two images of each class folder of both sets."""
    folder = tmp_path_factory.mktemp("few")
    for name in ("nickparvar", "artemis"):
        for class_folder in sorted((data_dir / name).glob("*/*")):
            target = folder / name / class_folder.relative_to(data_dir / name)
            target.mkdir(parents=True)
            for file in sorted(class_folder.iterdir())[:2]:
                shutil.copy(file, target)
    return folder


def test_both_sets_are_read_by_their_folders(few):
    samples = read_folders([few / "nickparvar", few / "artemis"])
    assert len(samples) == 2 * (4 + 12) * 2
    assert {sample.split for sample in samples} == {"train", "test"}
    assert {sample.label for sample in samples} >= set(LabelSpace().classes)
    assert {sample.label for sample in samples if sample.label.plane is None} == set(
        LabelSpace.for_task("type").classes
    )


def test_a_network_that_was_not_trained_answers_alike_in_onnx(few, lively, tmp_path):
    training = tmp_path / "training"
    shutil.copytree(few, training, ignore=shutil.ignore_patterns("Testing"))
    files = [sample.file for sample in read_folders([training])]
    pixels = load_pixels(files, PreprocessSpec(96))
    checkpoint = lively("mobilenet_v2", 96, pixels)
    checkpoint.save(tmp_path / "checkpoint.pt")
    config = ExportConfig(tmp_path / "checkpoint.pt", tmp_path / "model.onnx", calibration=training)
    (exported,) = export(config, NoProgress())
    assert exported.parity.n == 32
    expected = checkpoint.logits(pixels)
    logits = Classifier.load(exported.path, device="cpu").logits(pixels)
    np.testing.assert_allclose(logits, expected, atol=1e-3 * np.abs(expected).max())
    assert expected.std(axis=0).min() > 0.5
    config = EvaluationConfig(exported.path, (few,))
    assert evaluate(config, NoProgress()).report["n"] == 32  # the test folders


def test_the_shipped_models_gate_knows_brain_mr_from_other_images(data_dir):
    session = open_session(OnnxFile.read(SHIPPED_MODEL), SessionConfig(device="cpu"))
    contract = Contract.from_metadata(session.get_modelmeta().custom_metadata_map)
    if contract.rejection is None:
        pytest.skip("the packaged model has no rejection gate")

    def novelty(folders: list[Path], count: int) -> np.ndarray:
        files = [sorted(folder.glob("*.*")) for folder in folders]
        some = [file for one in files for file in one[:: max(len(one) // count, 1)]]
        pixels = load_pixels(some, contract.preprocess)
        return session.run(["novelty"], {"pixels": pixels})[0]

    known = novelty(sorted((data_dir / "nickparvar" / "Testing").iterdir()), 25)
    others = [one for one in (data_dir / "foreign").iterdir() if one.is_dir()]
    foreign = novelty(
        [one for one in others if "head" not in one.name], 25
    )  # artemis holds head CT
    truth = np.repeat([False, True], [len(known), len(foreign)])
    assert auroc(truth, np.concatenate([known, foreign])) > 0.99
    assert (known <= contract.rejection.max_novelty).mean() > 0.9
