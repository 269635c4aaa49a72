"""What the pytest-benchmark suites share: networks, images, opened backends.

    pytest benchmarks                                            # the packaged model, phantoms
    pytest benchmarks --model model.onnx --model model_int8.onnx --checkpoint checkpoint.pt

Each row is network x backend. `edge-mri benchmark` measures the same with interleaved rounds and
ratios; here pytest-benchmark keeps history, and compares runs with `--benchmark-compare`.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_mri_bench.backends.backends import KINDS, Backend, Settings, Skipped, open_backend
from edge_mri_bench.backends.networks import Network, group
from edge_mri_bench.figures.pinning import pinned
from edge_mri_bench.measuring.workload import load_workload

IMAGES = 12


def pytest_addoption(parser: pytest.Parser) -> None:
    """Take the files to measure."""
    for name in ("model", "checkpoint", "data"):
        parser.addoption(f"--{name}", action="append", type=Path, default=[])


def pytest_configure(config: pytest.Config) -> None:
    """Let the rivals' packages warn: their deprecations are not ours."""
    config.addinivalue_line("filterwarnings", "default")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make a row of each network and backend; what cannot be measured skips with its reason."""
    if "network" not in metafunc.fixturenames:
        return
    option = metafunc.config.getoption
    networks = group(option("--model"), option("--checkpoint"))
    if "backend_name" not in metafunc.fixturenames:
        own = [network for network in networks if network.model is not None]
        metafunc.parametrize("network", own, ids=[network.id for network in own], scope="session")
        return
    pairs = [(network, name) for network in networks for name in KINDS]
    ids = [f"{network.id}/{name}" for network, name in pairs]
    metafunc.parametrize(("network", "backend_name"), pairs, ids=ids, scope="session")


@pytest.fixture
def one_core() -> Iterator[None]:
    """Keep everything on one core, where the system can."""
    with pinned(1):
        yield


@pytest.fixture(scope="session")
def files(
    pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, ...]:
    """The images: of `--data`, or phantoms of 512 px."""
    data = tuple(pytestconfig.getoption("--data"))
    return load_workload(data, IMAGES, tmp_path_factory.mktemp("phantoms")).files


@pytest.fixture(scope="session")
def settings(files: tuple[Path, ...], tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """One thread, and no compiler: it takes a minute for each network."""
    return Settings(calibration=files, folder=tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="session")
def backend(network: Network, backend_name: str, settings: Settings) -> Backend:
    """An opened backend."""
    try:
        return open_backend(backend_name, network, settings)
    except Skipped as reason:
        pytest.skip(str(reason))
