import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from edge_mri.cli import main
from edge_mri_train.augmentation.pipeline import AugmentConfig
from edge_mri_train.settings.config import TrainConfig

QUICK = ("--arch", "squeezenet1_1", "--init-weights", "none", "--image-size", "32")


def run(*arguments: object):
    return CliRunner().invoke(main, ["train", *map(str, arguments)])


def test_trains_into_out_and_prints_the_checkpoint_alone_on_stdout(phantoms, tmp_path):
    out = tmp_path / "run"
    result = run(
        "--data", phantoms, *QUICK, "--epochs", 1, "--out", out, "--seed", 4, "--no-augment"
    )
    assert result.exit_code == 0
    assert result.stdout == f"{out}/checkpoint.pt\n"
    assert "epoch   1/1" in result.stderr
    config = TrainConfig.read(out / "config.json")
    assert config == TrainConfig(
        data=(str(phantoms),),
        task="auto",
        arch="squeezenet1_1",
        init_weights="none",
        epochs=1,
        learning_rate=5e-4,
        image_size=32,
        augment=AugmentConfig.none(),
        frozen_trunk="no",  # what auto came to
        seed=4,
    )


def test_without_out_runs_lie_below_runs_and_the_newest_is_resumed(phantoms, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = run("--data", phantoms, *QUICK, "--epochs", 1)
    (folder,) = (tmp_path / "runs").iterdir()
    assert folder.name.startswith("squeezenet1_1-")
    assert result.stdout == f"runs/{folder.name}/checkpoint.pt\n"
    assert run("--resume").stdout == result.stdout


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (("--epochs", "3"), "--epochs"),
        (("--data", ".", "--seed", "0"), "--data, --seed"),
        (("--no-augment",), "--augment"),
    ],
)
def test_resume_takes_no_other_option(finished, options, named):
    result = run("--resume", "--out", finished, *options)
    assert result.exit_code == 2
    assert result.stderr == (
        f"Error: --resume goes on with the run's own settings; leave out {named}\n"
    )


def test_resume_without_a_run_says_how_to_start_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = run("--resume")
    assert (result.exit_code, result.stderr) == (
        2,
        "Error: no runs/*/config.json here; start with `edge-mri train --data DIR`\n",
    )


def test_an_existing_run_is_not_overwritten(finished, phantoms):
    before = (finished / "checkpoint.pt").read_bytes()
    result = run("--data", phantoms, *QUICK, "--out", finished)
    assert result.exit_code == 2
    assert result.stderr == (
        f"Error: {finished} holds a run already; continue it with --resume, or choose another\n"
    )
    assert (finished / "checkpoint.pt").read_bytes() == before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "expected either --data, at least one folder with class folders, or --split, a man"),
        (("--data", ".", "--split", "m.csv"), "expected either --data, at least one folder with"),
        (("--data", ".", "--fold", "0"), "--fold names a fold of a manifest; give it with --split"),
        (("--split", "gone.csv"), "the split manifest gone.csv cannot be used: No such file or d"),
        (("--data", "gone"), "no such file or folder: gone"),
        (("--data", ".", "--arch", "resnet"), "unknown architecture 'resnet'; did you mean "),
        (("--data", ".", "--seed", "-1"), "seed is -1; expected a whole number from 0"),
        (("--data", ".", "--learning-rate", "nan"), "learning_rate is nan; expected a number"),
        (("--data", "PHANTOMS", "--image-size", "0"), "image size 0 px; expected "),
        (("--data", "PHANTOMS", "--val-fraction", "1"), "val_fraction is 1.0; expected a number a"),
        (
            ("--data", "PHANTOMS", "--arch", "artemis_cnn", "--init-weights", "imagenet"),
            "torchvision has no ImageNet weights for artemis_cnn; use --init-weights none or a fil",
        ),
    ],
)
def test_wrong_use_is_one_line_and_exit_code_2(phantoms, tmp_path, monkeypatch, options, message):
    monkeypatch.chdir(tmp_path)
    result = run(*(str(phantoms) if one == "PHANTOMS" else one for one in options))
    assert result.exit_code == 2
    last = result.stderr.splitlines()[-1]
    assert last.startswith(f"Error: {message}")
    assert not (tmp_path / "runs").exists()


def start(*arguments: object, cwd: Path) -> subprocess.Popen[str]:
    # Under a shell that ignores Ctrl-C, as in the background, children would ignore it too.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return subprocess.Popen(
            [sys.executable, "-m", "edge_mri", "train", *map(str, arguments)],
            cwd=cwd,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
    finally:
        signal.signal(signal.SIGINT, before)


def interrupt_after(process: subprocess.Popen[str], start_of_line: str) -> list[str]:
    """Press Ctrl-C once a line was said; return all that was said on stderr."""
    lines = []
    for line in process.stderr:
        lines.append(line)
        if line.startswith(start_of_line):
            process.send_signal(signal.SIGINT)
            break
    rest, errors = process.communicate(timeout=120)
    assert rest == ""
    return [*lines, *errors.splitlines(keepends=True)]


def test_ctrl_c_says_how_to_go_on_and_going_on_works(phantoms, tmp_path):
    process = start(
        "--data", phantoms, *QUICK, "--epochs", 2000, "--device", "cpu", "--out", "a run",
        cwd=tmp_path,
    )  # fmt: skip
    said = interrupt_after(process, "epoch   2/2000")
    assert process.returncode == 130, said
    assert said[-1] == "Interrupted; go on with: edge-mri train --resume --out 'a run'\n"
    assert not any("Traceback" in line for line in said)
    out = tmp_path / "a run"
    assert not [file.name for file in out.iterdir() if file.name.startswith(".")]
    epochs = len(json.loads((out / "history.json").read_text()))
    assert epochs >= 2

    process = start("--resume", "--out", "a run", cwd=tmp_path)
    said = interrupt_after(process, "epoch")
    assert process.returncode == 130, said
    first = next(line for line in said if line.startswith("epoch"))
    assert first.split("/")[0].split()[1] in (str(epochs), str(epochs + 1))
    assert len(json.loads((out / "history.json").read_text())) >= epochs


def test_a_killed_run_can_be_resumed(phantoms, tmp_path):
    process = start("--data", phantoms, *QUICK, "--epochs", 2000, "--out", "run", cwd=tmp_path)
    for line in process.stderr:
        if line.startswith("epoch"):
            break
    time.sleep(0.2)  # anywhere in an epoch, or in a write
    process.kill()
    process.communicate()
    process = start("--resume", "--out", "run", cwd=tmp_path)
    said = interrupt_after(process, "epoch")
    assert process.returncode == 130, said
    assert not any("Traceback" in line for line in said)


@pytest.mark.parametrize(
    ("options", "start"),
    [
        (("--arch", "edge_net"), "none"),
        (("--arch", "artemis_cnn", "--image-size", "96"), "none"),
        (("--recipe", "edge_net_end"), "shipped"),
        (("--recipe", "edge_net"), "shipped"),
    ],
)
def test_our_own_networks_are_trained_by_their_name(phantoms, tmp_path, options, start):
    result = run("--data", phantoms, *options, "--epochs", 1, "--out", tmp_path / "run")
    assert result.exit_code == 0, result.stderr
    assert TrainConfig.read(tmp_path / "run" / "config.json").init_weights == start


@pytest.fixture
def recipe_file(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(
        'arch = "squeezenet1_1"\ninit_weights = "none"\nimage_size = 32\nepochs = 9\n'
        "label_smoothing = 0.1\n[augment]\nnoise = 0.5\nrotate = 0.0\n"
    )
    return path


def test_options_win_over_the_recipe_and_the_recipe_over_the_defaults(
    phantoms, tmp_path, recipe_file
):
    out = tmp_path / "run"
    result = run(
        "--recipe", recipe_file, "--data", phantoms, "--epochs", 1, "--out", out,
        "--augment-with", "jpeg=0.25",
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    config = TrainConfig.read(out / "config.json")
    assert (config.arch, config.epochs, config.label_smoothing) == ("squeezenet1_1", 1, 0.1)
    assert (config.batch_size, config.learning_rate) == (32, 5e-4)
    augment = config.augment
    assert (augment.noise, augment.rotate, augment.jpeg, augment.gamma) == (0.5, 0.0, 0.25, 1.0)


@pytest.mark.parametrize("switch", ["colour=1", "noise", "noise=often", "=1"])
def test_a_change_there_is_not_is_refused_with_the_list(phantoms, switch):
    result = run("--data", phantoms, *QUICK, "--augment-with", switch)
    assert result.exit_code == 2
    assert result.stderr.startswith(
        f"Error: --augment-with {switch!r}; expected NAME=SHARE with a name of mixup, cutmix, "
    )


def test_a_contact_sheet_is_drawn_and_nothing_is_trained(phantoms, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = run("--data", phantoms, *QUICK, "--contact-sheet", "sheet.png")
    assert result.exit_code == 0, result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["sheet.png"]
