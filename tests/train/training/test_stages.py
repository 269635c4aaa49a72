import json

import pytest
import torch
from click.testing import CliRunner

from edge_mri.cli import main
from edge_mri_train.networks.checkpoint import Checkpoint
from edge_mri_train.training import stages as stages_module

RECIPE = """
image_size = 32
init_weights = "none"
epochs = 1
learning_rate = 1e-4
[augment]
flip = 0.5
[[stage]]
name = "teacher"
arch = "mobilenet_v2"
[[stage]]
name = "student"
arch = "squeezenet1_1"
teachers = ["teacher"]
[[stage]]
name = "end"
arch = "squeezenet1_1"
start = "student"
learning_rate = 1e-7
"""


def run(*arguments: object):
    return CliRunner().invoke(main, ["train", *map(str, arguments)])


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    path = tmp_path_factory.mktemp("recipe") / "staged.toml"
    path.write_text(RECIPE)
    return path


@pytest.fixture(scope="module")
def staged(phantoms, recipe, tmp_path_factory):
    out = tmp_path_factory.mktemp("staged") / "run"
    result = run("--data", phantoms, "--recipe", recipe, "--out", out)
    assert result.exit_code == 0, result.output
    assert result.stdout == f"{out}/checkpoint.pt\n"
    assert "Stage 2 of 3: student" in result.stderr
    return out


def test_the_last_stage_is_the_run_and_the_others_lie_below_it(staged):
    assert sorted(one.name for one in (staged / "stages").iterdir()) == ["student", "teacher"]
    last = json.loads((staged / "config.json").read_text())
    assert last["arch"] == "squeezenet1_1"
    assert last["init_weights"] == str(staged / "stages/student/checkpoint.pt")
    student = json.loads((staged / "stages/student/config.json").read_text())
    assert student["distill"] == [str(staged / "stages/teacher/checkpoint.pt")]


def test_all_stages_have_the_images_that_the_first_divided(staged):
    sides = [
        (folder / "split.csv").read_text().splitlines()[1:]
        for folder in (staged, staged / "stages/student", staged / "stages/teacher")
    ]
    names = [sorted(line.split(",")[1:] for line in one) for one in sides]
    assert names[0] == names[1] == names[2]


def test_a_stage_starts_from_what_another_learned(staged):
    before = Checkpoint.load(staged / "stages/student/checkpoint.pt").network.state_dict()
    after = Checkpoint.load(staged / "checkpoint.pt").network.state_dict()
    name = "features.0.weight"
    assert torch.allclose(before[name], after[name], atol=1e-4)
    assert not torch.equal(before[name], after[name])


def test_an_interrupted_run_goes_on_with_the_stage_it_was_in(
    staged, phantoms, recipe, tmp_path, monkeypatch
):
    out = tmp_path / "run"
    trained = []

    def interrupted(config, folder, progress):
        if len(trained) == 1:
            raise KeyboardInterrupt
        trained.append(folder)
        return train(config, folder, progress)

    train = stages_module.train
    monkeypatch.setattr(stages_module, "train", interrupted)
    result = run("--data", phantoms, "--recipe", recipe, "--out", out)
    assert result.exit_code == 130
    assert f"go on with: edge-mri train --resume --out {out}" in result.stderr
    monkeypatch.undo()
    again = run("--resume", "--out", out)
    assert again.exit_code == 0, again.output
    one, other = (
        Checkpoint.load(folder / "checkpoint.pt").network.state_dict() for folder in (staged, out)
    )
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (
            ('start = "student"', 'start = "pupil"'),
            "stage end names 'pupil', which is no stage before it",
        ),
        (
            ('name = "student"', 'name = "teacher"'),
            "has a stage of the name 'teacher'; expected "
            "one that no other has, of small letters, digits, - and _",
        ),
        (
            ('name = "student"', 'name = "../x"'),
            "has a stage of the name '../x'; expected one that "
            "no other has, of small letters, digits, - and _",
        ),
    ],
)
def test_what_is_wrong_with_a_stage_is_said_in_a_line(tmp_path, phantoms, change, reason):
    path = tmp_path / "staged.toml"
    path.write_text(RECIPE.replace(*change))
    result = run("--data", phantoms, "--recipe", path, "--out", tmp_path / "run")
    assert result.exit_code == 2
    joiner = " " if reason.startswith("has") else ": "
    assert result.stderr == f"Error: the recipe {path}{joiner}{reason}\n"
    assert not (tmp_path / "run").exists()
