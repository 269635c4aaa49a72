"""A folder of images through each backend, on one worker and on two."""

from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from edge_mri.process.workers import available_threads
from edge_mri_bench.backends.backends import Backend
from edge_mri_bench.figures.pinning import pinned

FOLDER = 96
CORES = available_threads()


@pytest.mark.parametrize("workers", [1, 2])
def test_folder(
    benchmark: BenchmarkFixture, backend: Backend, files: tuple[Path, ...], workers: int
) -> None:
    """Time a folder."""
    if workers > CORES:
        pytest.skip(f"{CORES} core may be used")
    folder = [files[number % len(files)] for number in range(FOLDER)]
    benchmark.group = f"folder, {workers} workers"
    benchmark.extra_info["images"] = FOLDER
    with pinned(workers):
        benchmark.pedantic(lambda: list(backend.stream(folder, workers)), rounds=3)
