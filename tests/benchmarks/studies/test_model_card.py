"""The model card, from figures as the scripts that measure them write them."""

import importlib.util
import json
import shutil
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from edge_mri.cli import main
from edge_mri.labels import TYPES, LabelSpace
from edge_mri.model.rejection import Rejection

SCRIPTS = Path(__file__).parents[3] / "benchmarks/studies"
TRAINING = {
    "data": ["somewhere"],
    "images": {"train": 1200, "val": 300},
    "config": {"epochs": 3},
    "validation": {"epoch": 2},
    "init_weights": "none",
}


def script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, next(SCRIPTS.glob(f"*/{name}.py")))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def outlined(tmp_path: Path) -> Path:
    """A bright square on dark ground, outlined."""
    folder = tmp_path / "outlined"
    (folder / "glioma").mkdir(parents=True)
    levels = np.random.default_rng(0)  # as many as an image has
    image = levels.integers(0, 90, (64, 64), np.uint8)
    image[16:32, 32:48] = levels.integers(200, 256, (16, 16))
    (folder / "glioma/1.png").write_bytes(cv2.imencode(".png", image)[1].tobytes())
    square = [[32, 16], [48, 16], [48, 32], [32, 32]]
    (folder / "outlines.json").write_text(json.dumps({"glioma/1.png": square}))
    return folder


def test_the_card_reads_what_the_scripts_write(mapped, outlined, tmp_path, monkeypatch):
    figures, foreign = tmp_path / "figures", tmp_path / "foreign"
    figures.mkdir()
    foreign.mkdir()
    for level in (200, 250):
        data = cv2.imencode(".png", np.full((40, 40), level, np.uint8))[1].tobytes()
        (foreign / f"{level}.png").write_bytes(data)
    gate = Rejection(max_novelty=0.5, undecided=(0.5, 0.5), kept=0.99, n=300)
    model = str(mapped(rejection=gate, training=TRAINING))
    rejection = script("measure_rejection")
    monkeypatch.setattr(rejection, "drawn", lambda *_: {})
    for name in ("packaged", "dicom"):
        monkeypatch.setattr(rejection, name, lambda *_: iter(()))
    folders = ["--brain", str(outlined), "--foreign", str(foreign)]
    rejection.main([model, *folders, "--json", str(figures / "rejection.json")])
    found = ["--all", "--networks", "1", "--json", str(figures / "heatmaps.json")]
    script("measure_heatmaps").main([model, "--data", str(outlined), *found])

    listed = figures / "failures.json"
    labelled = tmp_path / "labelled"
    for name in TYPES:
        (labelled / name).mkdir(parents=True)
        shutil.copy(outlined / "glioma/1.png", labelled / name)
    script("list_failures").main([model, "--data", str(labelled), "--json", str(listed)])
    failures = json.loads(listed.read_text())

    text = script("model_card").card(Path(model), figures)
    one_line = " ".join(text.split())
    assert "of " + f"{tmp_path.name}/outlined (n = 1) with an AUROC of 1.0000" in one_line
    assert f"| brain MR, {tmp_path.name}/outlined | 1 | 0.0 (0.0 to 79.3) |" in text
    assert "On outlined images, some of which it was trained on (n = 1) the map's peak" in one_line
    assert "within 5 px of it on 100.0 (20.7 to 100.0) %" in one_line
    assert "1,200 images trained it, 300 validated" in one_line
    assert "3 of 4 answered test images got another type" in one_line
    said = {one["said"] for one in failures["surest"]}
    assert {one["label"] for one in failures["surest"]} == set(TYPES) - said
    for one in failures["surest"]:
        row = f"{tmp_path.name}/labelled/{one['label']}/1.png | {one['label']} | {one['said']} | "
        assert row in text


def test_a_card_without_figures_says_so(mapped, tmp_path):
    text = script("model_card").card(mapped(training=TRAINING), tmp_path)
    assert "It has no gate: it answers everything." in text
    assert "Not recorded for this model." in text
    assert "Whether it looks at the lesion was not measured." in text


@pytest.mark.parametrize("absent", ["clear", None])
def test_the_card_of_other_labels_says_nothing_of_the_sets_behind_the_default(
    mapped, outlined, tmp_path, absent
):
    labels = LabelSpace(("stroke", "abscess", "cyst", "clear"), (), absent, "finding")
    model = mapped(labels=labels, training=TRAINING)
    folder, figures = tmp_path / "labelled", tmp_path / "figures"
    for name in labels.types:
        (folder / name).mkdir(parents=True)
        shutil.copy(outlined / "glioma/1.png", folder / name)
    figures.mkdir()
    asked = ["evaluate", str(model), "--data", str(folder), "--json", str(figures / "mine.json")]
    assert CliRunner().invoke(main, asked).exit_code == 0
    text = script("model_card").card(model, figures)
    assert "It answers type (stroke, abscess, cyst, clear) of a single slice." in text
    row = next(line for line in text.splitlines() if line.startswith("| mine | as given | 4 |"))
    assert row.split(" | ")[6:9].count("-") == (0 if absent else 3)
    for word in ("glioma", "nickparvar", "tcga"):
        assert word not in text
