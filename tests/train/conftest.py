"""What the tests of training share: small sets, a small configuration, one finished run."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from torch import nn

from edge_mri.labels import parse_folder_name
from edge_mri_train.config import TrainConfig
from edge_mri_train.training import train


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


@pytest.fixture
def rng() -> torch.Generator:
    return torch.Generator().manual_seed(0)
