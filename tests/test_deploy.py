"""What is in deploy/ fits the command that it starts."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"


@pytest.mark.parametrize("name", ["Containerfile", "compose.yaml", "edge-mri-node.service"])
def test_the_options_are_those_of_the_command(name):
    pytest.importorskip("pynetdicom", reason="needs the extra [node]")
    from edge_mri.commands.node import command

    known = {option for parameter in command.params for option in parameter.opts}
    text = (DEPLOY / name).read_text()
    text = "\n".join(line for line in text.splitlines() if "HEALTHCHECK" not in line)
    started = re.findall(r"(?:node|edge-mri node)\b(.*(?:\n +- --.*)*)", text)
    asked = set(re.findall(r"--[a-z][a-z-]+", "\n".join(started)))
    assert "--spool" in asked
    assert asked <= known


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")
def test_systemd_takes_the_unit(tmp_path):
    unit = (DEPLOY / "edge-mri-node.service").read_text()
    there = unit.replace("/opt/edge-mri/bin/edge-mri", sys.executable)
    assert there != unit
    path = tmp_path / "edge-mri-node.service"
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
