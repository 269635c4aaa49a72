"""The whole road as a user walks it: every step its own process, in an empty folder."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import numpy as np
import pytest

from edge_mri.answers.decision import Answers, decide
from edge_mri.classifier import Classifier
from edge_mri.images import ImageFiles
from edge_mri_train.data.pixels import load_pixels
from edge_mri_train.networks.checkpoint import Checkpoint

# Enough for a residual network to find planes, and most tumours, in seconds on one core.
TRAIN = {
    "--arch": "resnet18",
    "--init-weights": "none",
    "--image-size": 64,
    "--batch-size": 8,
    "--epochs": 10,
    "--learning-rate": 1e-3,
    "--val-fraction": 0.2,
    "--device": "cpu",
    "--out": "run",
}
# One answer in 48: a network that learned from 192 drawings is less sure than one from thousands.
MAX_DROP = 2.5


class Road:
    """A folder and what each command said."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.said: dict[str, subprocess.CompletedProcess[str]] = {}

    def edge_mri(self, *arguments: object) -> subprocess.CompletedProcess[str]:
        result = self.python("-m", "edge_mri", *arguments)
        assert result.returncode == 0, result.stderr
        return result

    def python(self, *arguments: object) -> subprocess.CompletedProcess[str]:
        paths = os.pathsep.join(path for path in sys.path if path)
        return subprocess.run(
            [sys.executable, *map(str, arguments)],
            cwd=self.folder,
            env=os.environ | {"PYTHONPATH": paths},
            capture_output=True,
            text=True,
            check=False,
        )


@pytest.fixture(scope="module")
def road(tmp_path_factory: pytest.TempPathFactory) -> Road:
    road = Road(tmp_path_factory.mktemp("road"))
    steps = {
        "phantom": ("phantom", "drawings", "--count", 20, "--size", 96, "--format", "png"),
        "train": ("train", "--data", "drawings", "--no-augment", *chain(*TRAIN.items())),
        "export": ("export", "run/checkpoint.pt", "--quantize", "--max-drop", MAX_DROP),
        "infer": (
            "infer", "drawings", "--model", "run/model_int8.onnx", "--format", "jsonl",
            "-o", "answers.jsonl",
        ),
    }  # fmt: skip
    for name, arguments in steps.items():
        road.said[name] = road.edge_mri(*arguments)
    return road


@pytest.fixture(scope="module")
def records(road: Road) -> list[dict]:
    """What `infer` wrote of each file."""
    lines = (road.folder / "answers.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def leaves(values: object, name: str = "") -> Iterator[tuple[str, object]]:
    """Yield the values of nested JSON, named by their path."""
    if isinstance(values, dict | list):
        for key, value in values.items() if isinstance(values, dict) else enumerate(values):
            yield from leaves(value, f"{name}.{key}" if name else str(key))
    else:
        yield name, values


def evaluated(road: Road, model: str) -> dict:
    file = f"{model.replace('/', '-')}.json"
    road.edge_mri("evaluate", model, "--data", "drawings", "--json", file)
    return json.loads((road.folder / file).read_text())


@pytest.fixture(scope="module")
def figures(road: Road) -> dict[str, dict]:
    """What `evaluate` says of the three files."""
    names = {"torch": "checkpoint.pt", "fp32": "model.onnx", "int8": "model_int8.onnx"}
    return {name: evaluated(road, f"run/{file}") for name, file in names.items()}


@pytest.fixture(scope="module")
def pixels(road: Road) -> np.ndarray:
    checkpoint = Checkpoint.load(road.folder / "run" / "checkpoint.pt")
    files = list(ImageFiles([road.folder / "drawings"]))
    return load_pixels(files, checkpoint.preprocess)


def test_each_step_says_what_a_user_must_know(road):
    said = road.said
    assert "240 phantoms in drawings: drawings, not patients." in said["phantom"].stderr
    assert "glioma              20        20        20        60" in said["train"].stderr
    assert said["train"].stdout == "run/checkpoint.pt\n"
    lines = said["export"].stdout.splitlines()
    assert re.fullmatch(r"run/model.onnx  \d+\.\d\d MB  FP32", lines[0])
    assert re.fullmatch(
        r"run/model_int8.onnx  \d+\.\d\d MB  INT8, 21 of 21 layers quantised \(.+\)", lines[2]
    )
    assert said["infer"].stdout == ""
    assert said["infer"].stderr.startswith("240 images in ")
    assert said["infer"].stderr.endswith("For research use, not for diagnosis.\n")
    for step in said.values():
        assert "Warning" not in step.stderr
        assert "Traceback" not in step.stderr


def test_the_road_leaves_these_files_and_no_other(road):
    assert sorted(file.name for file in (road.folder / "run").iterdir()) == [
        "checkpoint.pt",
        "config.json",
        "curves.png",
        "history.csv",
        "history.json",
        "last.pt",
        "model.onnx",
        "model.seen",
        "model_int8.onnx",
        "model_int8.seen",
        "seen.bin",
        "split.csv",
    ]
    assert {file.name for file in road.folder.iterdir()} >= {"drawings", "run", "answers.jsonl"}
    assert not list(road.folder.rglob(".*"))


def test_the_network_learned(figures):
    assert figures["torch"]["plane"]["accuracy"] > 0.9
    assert figures["torch"]["type"]["accuracy"] > 0.6  # of four


def test_the_fp32_file_gives_pytorchs_probabilities(road, pixels):
    checkpoint = Checkpoint.load(road.folder / "run" / "checkpoint.pt")
    classifier = Classifier.load(road.folder / "run" / "model.onnx", device="cpu")
    expected = checkpoint.probabilities(pixels)
    np.testing.assert_allclose(classifier.probabilities(pixels), expected, atol=1e-5)
    assert expected.max(axis=1).mean() > 0.5


def test_evaluating_the_fp32_file_gives_the_same_figures(figures):
    ours, theirs = (dict(leaves(figures[name])) for name in ("fp32", "torch"))
    del ours["model"], theirs["model"]
    assert ours == pytest.approx(theirs, abs=1e-5)
    assert figures["fp32"]["model"] == "resnet18 fp32 (ONNX)"


def test_the_int8_file_gives_pytorchs_answers(road, pixels, figures):
    checkpoint = Checkpoint.load(road.folder / "run" / "checkpoint.pt")
    classifier = Classifier.load(road.folder / "run" / "model_int8.onnx", device="cpu")
    expected, answers = checkpoint.probabilities(pixels), classifier.probabilities(pixels)
    assert (expected.argmax(axis=1) == answers.argmax(axis=1)).mean() > 0.97
    assert np.abs(expected - answers).mean() < 0.01
    for axis in ("type", "plane", "joint"):
        difference = figures["int8"][axis]["accuracy"] - figures["torch"][axis]["accuracy"]
        assert abs(difference) < 0.03


def test_infer_gives_every_file_the_answer_that_the_model_gives(road, pixels, records):
    files = [str(file) for file in ImageFiles([road.folder / "drawings"])]
    assert [str(road.folder / record["path"]) for record in records] == files
    assert {record["status"] for record in records} == {"ok"}
    classifier = Classifier.load(road.folder / "run" / "model_int8.onnx", device="cpu")
    space = classifier.contract.labels
    probabilities = classifier.probabilities(pixels)
    for axis, names, expected in (
        ("type", space.types, space.type_probabilities(probabilities)),
        ("plane", space.planes, space.plane_probabilities(probabilities)),
    ):
        given = [[record[f"{axis}_probabilities"][name] for name in names] for record in records]
        np.testing.assert_allclose(given, expected, atol=2e-6)
        said = expected.argmax(axis=1)
        if axis == "type":
            threshold = classifier.contract.tumor_threshold
            said = decide(Answers(probabilities), space, threshold).types
        assert [record[axis] for record in records] == [names[column] for column in said]


def test_infer_and_evaluate_count_the_same(records, figures):
    folders = [Path(record["path"]).parent.name for record in records]
    for axis in ("type", "plane"):
        right = sum(record[axis] in folder for record, folder in zip(records, folders, strict=True))
        assert figures["int8"][axis]["accuracy"] == pytest.approx(right / 240)


def test_info_says_where_the_model_comes_from(road):
    said = road.edge_mri("info", "run/model_int8.onnx").stdout
    for line in (
        "resnet18 int8",
        "uint8 (N, 1, 64, 64)",
        "glioma, meningioma, pituitary, no_tumor",
        "axial, coronal, sagittal",
        "training and validation images of the run",
        "Not a diagnostic device.",
    ):
        assert line in said


@pytest.mark.parametrize("command", ["infer", "evaluate"])
def test_an_onnx_file_is_used_without_torch_and_onnx(road, command):
    data = ("drawings", "--model", "run/model_int8.onnx", "-o", "again.txt")
    if command == "evaluate":
        data = ("run/model_int8.onnx", "--data", "drawings")
    script = (
        "import sys\n"
        "from edge_mri.cli import main\n"
        f"main({[command, *data]!r}, standalone_mode=False)\n"
        "heavy = {'torch', 'torchvision', 'onnx', 'onnxscript', 'matplotlib'}\n"
        "print('loaded:', sorted(heavy & set(sys.modules)))\n"
    )
    result = road.python("-c", script)
    assert result.returncode == 0, result.stderr
    assert result.stdout.endswith("loaded: []\n")
