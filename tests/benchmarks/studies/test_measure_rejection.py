"""The script that measures the gate, with a model whose novelty is the mean brightness."""

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest

from edge_mri.model.rejection import Rejection
from edge_mri_export.gate.drawn import drawn
from foreign_images import altered

SCRIPTS = Path(__file__).parents[3] / "benchmarks/studies/accuracy"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    path = SCRIPTS / "measure_rejection.py"
    spec = importlib.util.spec_from_file_location("measure_rejection", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def grey(folder: Path, *levels: int) -> Path:
    folder.mkdir()
    for level in levels:
        image = np.full((40, 40), level, np.uint8)
        (folder / f"{level}.png").write_bytes(cv2.imencode(".png", image)[1].tobytes())
    return folder


@pytest.fixture
def alone(script, monkeypatch) -> None:
    """No images but those of the folders."""
    for name in ("packaged", "dicom"):
        monkeypatch.setattr(script, name, lambda *_: iter(()))
    monkeypatch.setattr(script, "drawn", lambda *_: {})


@pytest.mark.usefixtures("alone")
def test_the_shares_and_the_auroc_are_those_of_known_images(script, mapped, tmp_path):
    gate = Rejection(max_novelty=0.3, undecided=(0.5, 0.5), kept=0.99, n=10)
    brain = grey(tmp_path / "brain", 10, 20, 30, 100)
    foreign = grey(tmp_path / "foreign", 60, 200, 220, 250)
    found = tmp_path / "found.json"
    folders = ["--brain", str(brain), "--foreign", str(foreign)]
    script.main([str(mapped(rejection=gate)), *folders, "--json", str(found)])
    values = json.loads(found.read_text())
    assert values["brain_n"] == values["foreign_n"] == 4
    assert values["brain"][f"{tmp_path.name}/brain"]["rejected"] == 0.25
    assert values["foreign"]["all"] == values["foreign"]["foreign"]
    assert values["foreign"]["all"]["rejected"] == 0.75
    assert values["auroc"] == 15 / 16
    low, high = values["auroc_ci95"]
    assert 0 <= low < 15 / 16 < high <= 1
    assert values["altered"]["inverted"]["rejected"] == 1
    assert str(tmp_path) not in found.read_text()  # what is published names no folder of a machine


@pytest.mark.usefixtures("alone")
def test_foreign_images_are_told_from_those_that_a_manifest_gives_to_validation(
    script, mapped, tmp_path
):
    grey(tmp_path / "glioma", 10, 20, 240)
    others, foreign = grey(tmp_path / "others", 250), grey(tmp_path / "foreign", 60, 200)
    lines = ["set,path,sha256,type,plane,group,split"]
    for number, (level, split) in enumerate([(10, "val"), (20, "val"), (240, "train")]):
        lines.append(f".,glioma/{level}.png,{number:064x},glioma,,g{number},{split}")
    (tmp_path / "split.csv").write_text("\n".join(lines) + "\n")
    gate = Rejection(max_novelty=0.3, undecided=(0.5, 0.5), kept=0.99, n=10)
    found = tmp_path / "found.json"
    asked = ["--manifest", str(tmp_path / "split.csv"), "--brain", str(others)]
    asked += ["--foreign", str(foreign), "--json", str(found)]
    script.main([str(mapped(rejection=gate)), *asked])
    values = json.loads(found.read_text())
    assert (values["known"], values["brain_n"], values["auroc"]) == ("validation", 2, 1)
    elsewhere = values["brain"][f"{tmp_path.name}/others"]
    assert (elsewhere["rejected"], elsewhere["auroc"]) == (1, 0)


@pytest.mark.usefixtures("alone")
def test_a_model_without_a_gate_has_the_figures_that_every_model_has(
    script, mapped, tmp_path, capsys
):
    brain, foreign = grey(tmp_path / "brain", 10, 20), grey(tmp_path / "foreign", 128, 130)
    script.main([str(mapped()), "--brain", str(brain), "--foreign", str(foreign)])
    out = capsys.readouterr().out
    assert "This model has no gate: it answers every image." in out
    row = next(line for line in out.splitlines() if line.startswith("all foreign"))
    _, _, n, rejected, foreign, novelty, odds, _, energy = row.split()
    assert (n, rejected, foreign, novelty, odds, energy) == ("2", *"----", "0.0000")


@pytest.mark.usefixtures("alone")
def test_what_is_unfamiliar_is_counted_apart(script, mapped, tmp_path):
    gate = Rejection(0.3, (0.5, 0.5), 0.99, 10, max_foreign=0.7)
    brain = grey(tmp_path / "brain", 10, 20, 30, 100)
    foreign = grey(tmp_path / "foreign", 60, 100, 200, 250)
    found = tmp_path / "found.json"
    folders = ["--brain", str(brain), "--foreign", str(foreign), "--json", str(found)]
    script.main([str(mapped(rejection=gate)), *folders])
    values = json.loads(found.read_text())
    assert values["max_foreign"] == 0.7
    odd = values["brain"][f"{tmp_path.name}/brain"]
    assert (odd["rejected"], odd["foreign"]) == (0.25, 0)
    others = values["foreign"]["foreign"]
    assert (others["rejected"], others["foreign"]) == (0.75, 0.5)


def test_drawn_and_altered_images_are_images():
    rng = np.random.default_rng(0)
    brains = [np.full((50, 70), 90, np.uint8), np.full((64, 64), 20, np.uint8)]
    for name, images in [*drawn(rng).items(), *altered(brains, rng)]:
        assert images, name
        assert all(image.dtype == np.uint8 and image.ndim == 2 for image in images), name
