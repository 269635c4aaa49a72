"""What is in deploy/ fits the command that it starts."""

import importlib
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"


@pytest.mark.parametrize(
    ("name", "command", "option"),
    [
        ("Containerfile", "node", "--spool"),
        ("compose.yaml", "node", "--spool"),
        ("edge-mri-node.service", "node", "--spool"),
        ("edge-mri-serve.service", "serve", "--token-file"),
    ],
)
def test_the_options_are_those_of_the_command(name, command, option):
    pytest.importorskip("pynetdicom", reason="needs the extra [node]")
    pytest.importorskip("starlette", reason="needs the extra [serve]")
    module = importlib.import_module(f"edge_mri.commands.{command}")
    known = {option for parameter in module.command.params for option in parameter.opts}
    text = (DEPLOY / name).read_text()
    text = "\n".join(line for line in text.splitlines() if "HEALTHCHECK" not in line)
    started = re.findall(rf"\b{command}\b(.*(?:\n +- --.*)*)", text)
    asked = set(re.findall(r"--[a-z][a-z-]+", "\n".join(started)))
    assert option in asked
    assert asked <= known


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")
@pytest.mark.parametrize("name", ["edge-mri-node.service", "edge-mri-serve.service"])
def test_systemd_takes_the_unit(name, tmp_path):
    unit = (DEPLOY / name).read_text()
    there = unit.replace("/opt/edge-mri/bin/edge-mri", sys.executable)
    assert there != unit
    path = tmp_path / name
    path.write_text(there)
    ended = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", path], capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stderr) == (0, "")


def test_the_image_has_what_its_build_needs():
    """Hatch fails where a file that pyproject.toml names is not in the context."""
    kept = {
        line.removeprefix("!/").strip()
        for line in (ROOT / ".dockerignore").read_text().splitlines()
        if line.startswith("!")
    }
    project = (ROOT / "pyproject.toml").read_text()
    needed = re.findall(r'^ {4}"([\w/.]+)",$', project.partition("[tool.hatch")[0], re.MULTILINE)
    named = [one for one in needed if (ROOT / one).exists()] + ["pyproject.toml", "README.md"]
    assert {one.partition("/")[0] for one in named} <= kept
