"""The command line, in this process and as a process of its own, and the model that ships."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import pytest

from edge_mri.classifier import Classifier
from edge_mri.cli import main


class Ended(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Callable[..., Ended]:
    """Run `edge-mri` with some arguments in this process."""

    def run(*arguments: object) -> Ended:
        with pytest.raises(SystemExit) as end:
            main([str(argument) for argument in arguments], prog_name="edge-mri")
        code = end.value.code
        assert isinstance(code, int)
        return Ended(code, *capsys.readouterr())

    return run


@pytest.fixture(scope="session")
def environment() -> dict[str, str]:
    """Environment variables under which a child process imports what this one does."""
    # Importing edge_mri sets OpenCV's and onnxruntime's; a child must come to set them itself.
    theirs = ("OPENCV_", "ORT_")
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(theirs)}
    return {**inherited, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="session")
def process(environment: dict[str, str]) -> Callable[..., Ended]:
    """Run Python with some arguments as a process of its own."""

    def run(*arguments: object, **options: Any) -> Ended:
        given = [sys.executable, *(str(argument) for argument in arguments)]
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "env": environment}
        ended = subprocess.run(given, text=True, check=False, timeout=120, **(streams | options))
        return Ended(ended.returncode, ended.stdout, ended.stderr)

    return run


@pytest.fixture(scope="session")
def classifier() -> Classifier:
    """The model that ships."""
    return Classifier.load(device="cpu")


@pytest.fixture(scope="session")
def model(classifier: Classifier) -> bytes:
    """The bytes of the model that ships."""
    return classifier.path.read_bytes()


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    """One readable image, 70 x 90 px PNG, alone in its folder."""
    pixels = np.random.default_rng(0).integers(0, 256, (70, 90), np.uint8)
    path = tmp_path / "pictures" / "picture.png"
    path.parent.mkdir()
    cv2.imwrite(str(path), pixels)
    return path


@pytest.fixture
def mixed(phantoms: Path, tmp_path: Path) -> Path:
    """A folder with two images, two files that are none, and one of another kind."""
    folder = tmp_path / "mixed"
    (folder / "sub").mkdir(parents=True)
    first, second = sorted(phantoms.rglob("*.png"))[:2]
    (folder / "a.png").write_bytes(first.read_bytes())
    (folder / "b.jpg").touch()
    (folder / "sub/c.PNG").write_bytes(second.read_bytes())
    (folder / "sub/d.png").write_bytes(second.read_bytes()[:-50])
    (folder / "sub/notes.txt").write_text("not an image")
    return folder
