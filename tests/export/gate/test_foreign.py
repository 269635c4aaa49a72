"""Two questions, two words: the real path, from a run to the records of a folder."""

import csv
import io
import json
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from click.testing import CliRunner, Result

from edge_mri.classifier import Classifier
from edge_mri.cli import main
from edge_mri.model.contract import Contract
from edge_mri.model.onnx_file import OnnxFile
from edge_mri.phantoms.phantom import PhantomConfig, write_phantoms
from edge_mri_export.gate.foreign import Head
from edge_mri_export.graph.stored_contract import store_contract

SIDE_PX = 64


def written(image: np.ndarray, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(cv2.imencode(".png", image)[1].tobytes())
    return path


def edge_mri(*arguments: object, code: int = 0) -> Result:
    result = CliRunner().invoke(main, list(map(str, arguments)))
    assert result.exit_code == code, result.output
    return result


def stripes(rng: np.random.Generator) -> np.ndarray:
    across, down = np.mgrid[:90, :90]
    wave = np.sin(across / rng.uniform(1, 4) + down * rng.uniform(-1, 1))
    return np.uint8(127 + rng.uniform(60, 120) * wave)


def striped(brain: np.ndarray) -> np.ndarray:
    """A brain with an artefact: every second pair of rows is lost."""
    lost = np.indices(brain.shape)[0] % 4 < 2
    return np.where(lost, 0, brain).astype(np.uint8)


@pytest.fixture(scope="module")
def sets(tmp_path_factory) -> Path:
    """Phantoms to learn from and to validate on, and pictures of stripes that are no brains."""
    folder = tmp_path_factory.mktemp("gate")
    for split, count, seed in (("train", 20, 1), ("val", 10, 2), ("new", 1, 3)):
        config = PhantomConfig(count=count, size_px=SIDE_PX, seed=seed, format="png")
        write_phantoms(folder / ("new" if split == "new" else f"set/{split}"), config)
    rng = np.random.default_rng(0)
    for number in range(40):
        written(stripes(rng), folder / "stripes" / f"{number}.png")
    for number in range(5):
        written(stripes(rng), folder / "asked" / f"{number}.png")
    return folder


@pytest.fixture(scope="module")
def exported(sets) -> dict[str, Path]:
    """A run on the phantoms, exported with foreign images shown and without."""
    run = sets / "run"
    edge_mri(
        *("train", "--data", sets / "set", "--arch", "edge_net", "--init-weights", "none"),
        *("--image-size", SIDE_PX, "--epochs", 1, "--device", "cpu", "--no-augment", "--out", run),
    )
    files = {}
    for name, more in (("shown", ("--foreign", sets / "stripes")), ("not", ())):
        file = sets / f"{name}.onnx"
        ended = edge_mri("export", run, "--calibration", sets / "set", *more, "-o", file)
        assert "no rejection gate" not in ended.stderr
        files[name] = file
    return files


def contract_of(path: Path) -> Contract:
    return Contract.from_metadata(OnnxFile.read(path).metadata)


def answers(model: Path, folder: Path, *more: object) -> list[dict]:
    told = edge_mri("infer", folder, "--model", model, "--format", "jsonl", *more)
    return [json.loads(line) for line in told.stdout.splitlines()]


def test_no_brain_an_odd_brain_and_a_brain(exported, sets):
    model = exported["shown"]
    gate = contract_of(model).rejection
    assert (gate.novel, Classifier.load(model).graph.outputs) == (
        "unfamiliar",
        {"logits", "lesion", "novelty", "foreign"},
    )
    assert np.isfinite(gate.max_foreign)
    others = answers(model, sets / "asked")
    assert [(one["status"], one["rejected"]) for one in others] == [("rejected", "foreign")] * 5
    brains = answers(model, sets / "new")
    assert len(brains) == 12
    assert not [one for one in brains if one["rejected"] in ("foreign", "unfamiliar")]
    odd = sets / "odd"
    for file in sorted((sets / "new").rglob("*.png")):
        image = cv2.imread(str(file), cv2.IMREAD_GRAYSCALE)
        written(striped(image), odd / f"{file.parent.name}.png")
    table = edge_mri("infer", odd, "--model", model, "--format", "csv").stdout
    said = [row["rejected"] for row in csv.DictReader(io.StringIO(table))]
    assert said == ["unfamiliar"] * 12
    assert not [one for one in answers(model, odd, "--no-reject") if one["rejected"]]


def test_what_was_shown_nothing_foreign_calls_it_unfamiliar(exported, sets):
    model = exported["not"]
    gate = contract_of(model).rejection
    assert (gate.max_foreign, gate.above) == (None, "unfamiliar")
    assert "foreign" not in Classifier.load(model).graph.outputs
    said = {one["rejected"] for one in answers(model, sets / "asked")}
    assert said == {"unfamiliar"}
    assert "rejected as unfamiliar: novelty above" in edge_mri("info", model).stdout


def test_verify_measures_the_gate_and_notices_where_its_output_is_gone(exported, sets, tmp_path):
    model = exported["shown"]
    good = edge_mri("verify", model, "--checkpoint", sets / "run", "--data", sets / "set")
    assert "rejection" in good.stdout
    proto = onnx.load(model)
    kept = [one for one in proto.graph.output if one.name != "foreign"]
    del proto.graph.output[:]
    proto.graph.output.extend(kept)
    store_contract(proto, contract_of(model))
    onnx.save(proto, tmp_path / "m.onnx")
    ended = edge_mri("infer", sets / "asked", "--model", tmp_path / "m.onnx", code=2)
    assert "the contract says foreign (N)" in ended.stderr
    ended = edge_mri("verify", tmp_path / "m.onnx", code=1)
    assert "the contract rejects by foreign, which the graph does not give" in ended.stdout


def test_a_folder_without_an_image_is_refused(sets, exported, tmp_path):
    asked = ("export", sets / "run", "--calibration", sets / "set", "-o", tmp_path / "m.onnx")
    (tmp_path / "empty").mkdir()
    ended = edge_mri(*asked, "--foreign", tmp_path / "empty", code=2)
    assert f"no images below {tmp_path / 'empty'}" in ended.stderr
    ended = edge_mri(*asked, "--foreign", tmp_path / "gone", code=2)
    assert "no such file or folder" in ended.stderr
    assert not (tmp_path / "m.onnx").exists()


def test_many_images_of_one_thing_do_not_outweigh_a_few_of_another():
    """A source of 1,000 that lies elsewhere moves the border no more than one of 20 does."""
    rng = np.random.default_rng(0)
    brains, few = rng.normal(0, 1, (500, 2)), rng.normal([3, 0], 1, (20, 2))
    for count in (20, 1000):
        many = rng.normal([0, 3], 1, (count, 2))
        features = np.concatenate([brains, few, many]).astype(np.float32)
        shares = np.repeat([1 / 1000, 1 / 80, 1 / (4 * count)], [500, 20, count])
        fit = Head.fit(features, np.repeat([False, True], [500, 20 + count]), shares)
        along, across = fit.slope
        assert 0.6 < along / across < 1.6
