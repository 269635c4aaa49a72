"""The folds of a cross-validation, from runs as `edge-mri train --fold` leaves them."""

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

import cross_validation
from edge_mri.cli import main


@pytest.fixture(scope="module")
def runs(phantoms, tmp_path_factory) -> list[Path]:
    """Two folds of the phantoms, an epoch each, one with averaged weights."""
    folder = tmp_path_factory.mktemp("folds")

    def call(*arguments: object) -> None:
        result = CliRunner().invoke(main, [str(one) for one in arguments])
        assert result.exit_code == 0, result.stderr

    manifest = folder / "folds.csv"
    call("split", phantoms, "--ungrouped", "--folds", 2, "--out", manifest)
    recipe = folder / "mine.toml"
    for fold, ema in enumerate((0.0, 0.9)):
        recipe.write_text(
            'arch = "squeezenet1_1"\ninit_weights = "none"\nimage_size = 32\nepochs = 1\n'
            f"batch_size = 8\nema = {ema}\n"
        )
        call(
            "train", "--recipe", recipe, "--split", manifest, "--fold", fold,
            "--out", folder / str(fold),
        )  # fmt: skip
    return [folder / "0", folder / "1"]


def test_every_image_is_scored_once_by_the_run_that_held_it_out(runs, tmp_path, capsys):
    file = tmp_path / "figures.json"
    cross_validation.main([*map(str, runs), "--without", "glioma", "--json", str(file)])
    report = json.loads(file.read_text())
    assert (report["folds"], report["all"]["n"]) == (2, 48)
    assert report["without glioma"]["n"] == 36
    last = [json.loads((run / "history.json").read_text())[-1] for run in runs]
    right = sum(one["joint_accuracy"] * one["joint_n"] for one in last)
    assert report["all"]["joint"]["accuracy"] == pytest.approx(right / 48)
    told = capsys.readouterr().out.splitlines()
    assert told[0].startswith("all, joint               n 48: ")
    assert len(told) == 6


def test_an_image_that_was_held_out_twice_is_noticed(runs, tmp_path, capsys):
    shutil.copytree(runs[0], tmp_path / "again")
    with pytest.raises(SystemExit):
        cross_validation.main([str(runs[0]), str(tmp_path / "again")])
    assert "or hold the same image out twice" in capsys.readouterr().err
