"""docs/other-networks.md does what it says: its commands and its Python, run in its order."""

import os
import re
import shutil
import subprocess
import sys
import warnings
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
import torchvision

PAGE = Path(__file__).parents[1] / "docs" / "other-networks.md"
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.M)


@pytest.fixture(scope="module")
def place(phantoms, tmp_path_factory):
    """The folder of a user: images, a file of his own, and one from elsewhere."""
    folder = tmp_path_factory.mktemp("user")
    shutil.copytree(phantoms, folder / "images")
    (own,) = (text for kind, text in BLOCKS if text.startswith("# mynets.py"))
    (folder / "mynets.py").write_text(own, encoding="utf-8")
    torch.manual_seed(0)
    network = torchvision.models.squeezenet1_1(num_classes=4).eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network, (torch.zeros(1, 3, 64, 64),), folder / "theirs.onnx", dynamo=False
        )
    return folder


COMMANDS = [
    line for kind, text in BLOCKS if kind == "sh" for line in text.splitlines() if line.strip()
]


def run(place, *arguments):
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(arguments, cwd=place, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_its_commands_run_in_its_order(place):
    assert len(COMMANDS) >= 6
    for command in COMMANDS:
        program, *arguments = command.split()
        assert program == "edge-mri"
        if "timm:" in command and find_spec("timm") is None:
            continue  # CI has it
        run(place, sys.executable, "-m", "edge_mri", *arguments)


def test_its_python_runs(place):
    (code,) = (text for kind, text in BLOCKS if "export_module" in text and kind == "python")
    run(place, sys.executable, "-c", code)
    assert (place / "again.onnx").is_file()
    assert (place / "module.onnx").is_file()
