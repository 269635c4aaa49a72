"""A run whose network is the user's own: every command that needs its code asks for its name."""

import shutil
import sys

from click.testing import CliRunner

from edge_mri.cli import main

SOURCE = """
from torch import nn

open("code-ran", "w").close()

class Net(nn.Module):
    def __init__(self, num_classes, in_channels, size):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(in_channels, 8, 3, stride=4), nn.BatchNorm2d(8), nn.ReLU(),
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, num_classes),
        )
        self.outputs = nn.Identity()  # a layer's name is the user's to choose
        self.deploy = nn.Identity()

    def forward(self, x):
        return self.outputs(self.body(x))
"""


def run(*arguments):
    return CliRunner().invoke(main, list(arguments))


def test_no_command_runs_code_that_was_not_named(tmp_path, phantoms, monkeypatch):
    module = "own_network_of_the_road"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / f"{module}.py").write_text(SOURCE, encoding="utf-8")
    arch = f"{module}:Net"
    (tmp_path / "set").symlink_to(phantoms)
    again = ["--arch", arch]
    train = ["train", "--data", "set", "--epochs", "1", "--image-size", "64", "--batch-size", "8"]
    done = run(*train, *again, "--out", "run")
    assert done.exit_code == 0, done.output
    shutil.copytree("run", "copy")
    (tmp_path / "code-ran").unlink()
    refused = f"code runs only where you name it; add {{}} {arch} if you trust it"
    commands = {
        ("evaluate", "run", "--data", "set"): again,
        ("export", "run", "--calibration", "set"): again,
        ("train", "--resume", "--out", "copy"): again,
        (*train, "--arch", "squeezenet1_1", "--init-weights", "none", "--distill", "run", "--out",
         "student"): ["--distill-arch", arch],
        ("verify", "run/model.onnx", "--checkpoint", "run"): again,
    }  # fmt: skip
    for command, options in commands.items():
        sys.modules.pop(module, None)
        done = run(*command)
        assert done.exit_code == 2, (command, done.output)
        assert refused.format(options[0]) in done.output, done.output
        assert not (tmp_path / "code-ran").exists(), command
        done = run(*command, *options)
        assert done.exit_code == 0, (command, done.output)
        (tmp_path / "code-ran").unlink()


BRANCHING = """
from torch import nn

class Net(nn.Module):
    def __init__(self, num_classes, in_channels, size):
        super().__init__()
        self.head = nn.Linear(size * size, num_classes)

    def forward(self, x):
        logits = self.head(x.flatten(1))
        return logits + 1 if logits.sum() > 0 else logits
"""


def test_a_network_that_cannot_be_exported_is_one_line_that_says_why(
    tmp_path, phantoms, monkeypatch
):
    module = "own_network_with_branches"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / f"{module}.py").write_text(BRANCHING, encoding="utf-8")
    options = ["--arch", f"{module}:Net", "--epochs", "1", "--image-size", "32"]
    done = run("train", "--data", phantoms, *options, "--out", "run")
    assert done.exit_code == 0, done.output
    done = run("export", "run", "--arch", f"{module}:Net", "--calibration", phantoms)
    assert done.exit_code == 2
    assert done.stderr.count("\n") <= 3, done.stderr
    last = done.stderr.splitlines()[-1]
    assert f"{module}:Net cannot be written as ONNX: Could not guard on data-dependent" in last
    assert "\\u001b" not in last
