"""What the tests of training share: small sets, a small configuration, one finished run."""

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from edge_mri.labels import LabelSpace, parse_folder_name
from edge_mri.phantoms.phantom import draw_phantom
from edge_mri_train.networks.checkpoint import load_state
from edge_mri_train.settings.config import TrainConfig
from edge_mri_train.training.run import train


class Recorder:
    """A progress that keeps what it was told."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)

    @contextmanager
    def bar(self, label: str, length: int) -> Iterator[Callable[[], None]]:
        yield lambda: None


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture(scope="session")
def type_only(phantoms: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The phantoms in folders named by their type alone."""
    folder = tmp_path_factory.mktemp("types")
    for file in sorted(phantoms.glob("*/*.png")):
        label = parse_folder_name(file.parent.name)
        target = folder / label.type / f"{label.plane}-{file.name}"
        target.parent.mkdir(exist_ok=True)
        shutil.copy(file, target)
    return folder


@pytest.fixture(scope="session")
def tiny(phantoms: Path) -> Callable[..., TrainConfig]:
    """Make a configuration that trains an epoch in about a second; it has dropout and norms."""

    def config(**changes: object) -> TrainConfig:
        values: dict[str, object] = {
            "data": (str(phantoms),),
            "task": "auto",
            "arch": "mobilenet_v2",
            "init_weights": "none",
            "epochs": 3,
            "learning_rate": 2e-3,
            "image_size": 32,
            "batch_size": 8,
            "device": "cpu",
        }
        return TrainConfig(**(values | changes))

    return config


@pytest.fixture(scope="session")
def finished(tiny: Callable[..., TrainConfig], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of three epochs; what it said lies in said.txt."""
    folder = tmp_path_factory.mktemp("finished") / "run"
    recorder = Recorder()
    train(tiny(), folder, recorder)
    (folder / "said.txt").write_text("\n".join(recorder.lines))
    return folder


@pytest.fixture(scope="session")
def run_files() -> list[str]:
    """The names of what a run leaves."""
    return [
        "checkpoint.pt",
        "config.json",
        "curves.png",
        "history.csv",
        "history.json",
        "last.pt",
        "seen.bin",
        "split.csv",
    ]


@pytest.fixture(scope="session")
def history() -> Callable[[Path], list[dict[str, Any]]]:
    """Read what a run says of its epochs, without the time they took."""

    def read(folder: Path) -> list[dict[str, Any]]:
        entries = json.loads((folder / "history.json").read_text())
        return [{key: entry[key] for key in entry if key != "seconds"} for entry in entries]

    return read


@pytest.fixture(scope="session")
def same_run(history: Callable[[Path], list[dict[str, Any]]]) -> Callable[[Path, Path], None]:
    """Assert that two runs came to the same weights in the same way."""

    def compare(one: Path, other: Path) -> None:
        for file, key in (("checkpoint.pt", "state"), ("last.pt", "network")):
            states = [load_state(folder / file)[key] for folder in (one, other)]
            torch.testing.assert_close(*states, rtol=0, atol=0)
        assert history(one) == history(other)
        for file in ("config.json", "split.csv"):
            assert (one / file).read_text() == (other / file).read_text()

    return compare


@pytest.fixture(scope="session")
def settled() -> Callable[[nn.Module, torch.Tensor], nn.Module]:
    """Give a random network the batch statistics of images: without, its logits vanish."""

    @torch.no_grad()
    def settle(network: nn.Module, images: torch.Tensor) -> nn.Module:
        for norm in network.modules():
            if isinstance(norm, nn.BatchNorm2d):
                norm.momentum = None
        for _ in range(3):
            network.train()(images)
        return network.eval()

    return settle


@pytest.fixture(scope="session")
def head() -> Callable[..., NDArray[np.uint8]]:
    """Draw a phantom; another index is another head, another type the same head."""

    @cache
    def draw(index: int, folder: str = "no_tumor_axial", size_px: int = 96) -> NDArray[np.uint8]:
        return draw_phantom(parse_folder_name(folder), size_px=size_px, seed=7, index=index)

    return draw


@pytest.fixture(scope="session")
def save() -> Callable[..., Path]:
    """Write an image, with the folders above it."""

    def write(path: Path, image: NDArray[Any], *options: int) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(cv2.imencode(path.suffix, image, options)[1].tobytes())
        return path

    return write


@pytest.fixture(scope="session")
def heads(head, save, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 24 phantoms of 24 different heads, two a class, 96 px PNG."""
    folder = tmp_path_factory.mktemp("heads")
    for number, label in enumerate(LabelSpace().classes * 2):
        save(folder / str(label) / f"{number:02}.png", head(number, str(label)))
    return folder


@pytest.fixture(scope="session")
def browser() -> Callable[[Path], str]:
    """Open a page in a browser that reaches no network; return what its console says."""
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("needs chromium, to open a page as a reader does")

    def console_of(page: Path) -> str:
        result = subprocess.run(
            [chromium, "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr",
             "--host-resolver-rules=MAP * ~NOTFOUND", "--dump-dom", page.as_uri()],
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert "</html>" in result.stdout
        return "\n".join(line for line in result.stderr.splitlines() if "CONSOLE" in line)

    return console_of


@pytest.fixture
def rng() -> torch.Generator:
    return torch.Generator().manual_seed(0)
