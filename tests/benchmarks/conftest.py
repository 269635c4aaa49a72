"""What the tests of the benchmark share: one small real run, and its record to change at will."""

import json
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from edge_mri.cli import main
from edge_mri_bench.config import EFFORTS, Effort

TINY = Effort(
    images=2,
    rounds=2,
    calls=2,
    batch_sizes=(1, 2),
    starts=1,
    folder_images=4,
    folder_rounds=1,
    counts=(2, 3),
)


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["benchmark", *(str(argument) for argument in arguments)])


@pytest.fixture(scope="session")
def cli() -> Callable[..., Result]:
    """Run `edge-mri benchmark` in this process."""
    return run


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `--effort quick` be the least there can be."""
    monkeypatch.setitem(EFFORTS, "quick", TINY)


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The record of a run on phantoms: the packaged model, and PyTorch."""
    file = tmp_path_factory.mktemp("benchmark") / "record.json"
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(EFFORTS, "quick", TINY)
        ended = run(
            "--effort", "quick", "--backend", "ort-int8", "--backend", "pytorch", "--json", file
        )  # fmt: skip
    assert ended.exit_code == 0, ended.output
    return file


@pytest.fixture
def record(finished: Path) -> dict[str, Any]:
    """A record of one's own."""
    return deepcopy(json.loads(finished.read_text()))


@pytest.fixture
def saved(tmp_path: Path) -> Callable[[dict[str, Any]], Path]:
    """Write a record to a file."""

    def save(values: dict[str, Any], name: str = "changed.json") -> Path:
        path = tmp_path / name
        path.write_text(json.dumps(values))
        return path

    return save
