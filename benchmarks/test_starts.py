"""Sessions and cold starts: opening a backend here, and the first answer of a fresh process."""

from dataclasses import replace
from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from edge_mri_bench.backends.backends import Backend, Settings, open_backend
from edge_mri_bench.backends.networks import Network
from edge_mri_bench.backends.processes import start_backend, start_imports, start_infer

STARTS = 3

pytestmark = pytest.mark.usefixtures("one_core")


def test_session(
    benchmark: BenchmarkFixture,
    network: Network,
    backend_name: str,
    backend: Backend,
    settings: Settings,
) -> None:
    """Time opening a backend again, from the model file it has."""
    again = replace(settings, variant=backend.variant, prepared=backend.prepared)
    benchmark.group = "session"
    benchmark.pedantic(open_backend, (backend_name, network, again), rounds=STARTS)


def test_cold_start(
    benchmark: BenchmarkFixture,
    network: Network,
    backend_name: str,
    backend: Backend,
    settings: Settings,
    files: tuple[Path, ...],
) -> None:
    """Time a fresh process to its end, one image answered."""
    again = replace(settings, variant=backend.variant, prepared=backend.prepared)
    benchmark.group = "cold start"
    ended = benchmark.pedantic(
        start_backend, (backend_name, network, again, files[:1]), rounds=STARTS
    )
    benchmark.extra_info["first_line_s"] = ended.first_line_s
    benchmark.extra_info["peak_bytes"] = ended.peak_bytes


def test_cold_start_of_the_command(
    benchmark: BenchmarkFixture, network: Network, files: tuple[Path, ...]
) -> None:
    """Time `edge-mri infer one.jpg`."""
    assert network.model is not None
    benchmark.group = "cold start"
    benchmark.pedantic(start_infer, (network.model, files[:1]), {"threads": 1}, rounds=STARTS)


def test_imports(benchmark: BenchmarkFixture) -> None:
    """Time the floor of a cold start: numpy, OpenCV and ONNX Runtime imported."""
    benchmark.group = "cold start"
    benchmark.pedantic(start_imports, rounds=STARTS)
