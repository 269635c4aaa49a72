import os
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner
from onnx import TensorProto

from edge_mri.cli import main
from edge_mri.progress import NoProgress
from edge_mri_export import exporting
from edge_mri_train.folders import read_folders
from edge_mri_train.grouping import IdSource
from edge_mri_train.manifest import Row, write_manifest
from edge_mri_train.partition import partition
from edge_mri_train.split import SplitConfig


def divided(folder: Path) -> list[Row]:
    config = SplitConfig({"train": 0.75, "val": 0.25})
    return partition(read_folders([folder]), IdSource(), config, NoProgress()).rows


def run(*arguments: object):
    return CliRunner().invoke(main, ["export", *map(str, arguments)])


@pytest.fixture
def runs(small, phantoms, tmp_path, monkeypatch):
    """Two runs with a checkpoint, the newer one `second`, and one that has not got so far."""
    for age, name in enumerate(["second", "first", "third"]):
        folder = tmp_path / "runs" / name
        folder.mkdir(parents=True)
        (folder / "config.json").touch()
        if name != "third":
            shutil.copy(small.path, folder / "checkpoint.pt")
            os.utime(folder / "checkpoint.pt", (1000 - age, 1000 - age))
            write_manifest(divided(phantoms), folder / "split.csv")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "runs"


def test_without_a_checkpoint_the_newest_runs_is_taken(runs):
    result = run("--quantize", "--max-drop", 100)
    assert result.exit_code == 0
    assert sorted(path.name for path in runs.rglob("*.onnx")) == ["model.onnx", "model_int8.onnx"]
    fp32, fp32_parity, int8, int8_parity = result.stdout.splitlines()
    assert fp32.startswith("runs/second/model.onnx  0.2")
    assert fp32.endswith(" MB  FP32")
    assert fp32_parity.startswith("  against PyTorch on 12 images: same answer on 100.00 %, logits")
    assert int8.startswith("runs/second/model_int8.onnx  0.")
    assert int8.endswith(" MB  INT8, 8 of 8 layers quantised")
    assert int8_parity.startswith("  against PyTorch on 12 images: same answer on ")


def test_without_any_run_it_says_how_to_start_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = run()
    assert (result.exit_code, result.stderr) == (
        2,
        "Error: no runs/*/checkpoint.pt here; start with `edge-mri train --data DIR`\n",
    )


def test_without_a_run_beside_the_checkpoint_it_says_what_to_do(small):
    result = run(small.path)
    assert (result.exit_code, result.stderr) == (
        2,
        f"Error: no split.csv beside {small.path}; "
        "say which images to use with --calibration DIR\n",
    )


def test_images_and_output_can_be_chosen(small, phantoms, tmp_path):
    result = run(small.path, "--calibration", phantoms, "-o", tmp_path / "new" / "a.onnx")
    assert result.exit_code == 0
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["a.onnx"]
    assert "on 48 images" in result.stdout


def test_broken_parity_is_exit_code_1_and_leaves_no_file(small, phantoms, tmp_path, monkeypatch):
    def zeroed(*arguments):
        model = body(*arguments)
        for one in model.graph.initializer:
            if one.data_type == TensorProto.FLOAT:
                one.raw_data = bytes(len(one.raw_data))
        return model

    body = exporting.body_graph
    monkeypatch.setattr(exporting, "body_graph", zeroed)
    result = run(small.path, "--calibration", phantoms, "-o", tmp_path / "out" / "a.onnx")
    assert result.exit_code == 1
    said = result.stderr.splitlines()[-1]
    assert said.startswith("Error: the FP32 ONNX file differs from PyTorch: logits by up")
    assert result.stdout == ""
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("gone.pt",), "model file not found: gone.pt"),
        (("CHECKPOINT", "-o", "a.pb"), "the output is a.pb; expected a name ending in .onnx"),
        (("CHECKPOINT", "--max-drop", "101"), "--max-drop is 101.0; expected 0 to 100 percent"),
        (("CHECKPOINT", "--calibration", "gone"), "no such file or folder: gone"),
        (("MODEL",), "MODEL is no checkpoint that can be used: it is damaged, or something else; "),
    ],
)
def test_wrong_use_is_one_line_and_exit_code_2(small, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    places = {"CHECKPOINT": str(small.path), "MODEL": str(small.fp32)}
    result = run(*(places.get(one, one) for one in arguments))
    assert result.exit_code == 2
    assert result.stderr.splitlines()[-1].startswith(
        "Error: " + message.replace("MODEL", places["MODEL"])
    )
    assert list(tmp_path.iterdir()) == []


def test_an_int8_file_of_another_export_does_not_stay_beside(small, phantoms, tmp_path):
    stale = tmp_path / "model_int8.onnx"
    stale.write_bytes(b"of another checkpoint")
    run(small.path, "--calibration", phantoms, "-o", tmp_path / "model.onnx")
    assert [file.name for file in tmp_path.iterdir()] == ["model.onnx"]
