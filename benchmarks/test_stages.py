"""Decode, preprocess, inference by batch size, and end to end, for each network and backend."""

from itertools import count
from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from edge_mri_bench.backends.backends import Backend
from edge_mri_bench.figures.physics import grey_decode_cell
from edge_mri_bench.figures.stages import DECODE, END_TO_END, PREPROCESS, cells_of, inference

BATCHES = (1, 8, 32)

pytestmark = pytest.mark.usefixtures("one_core")


@pytest.mark.parametrize("stage", [DECODE, PREPROCESS, *map(inference, BATCHES), END_TO_END])
def test_stage(
    benchmark: BenchmarkFixture, backend: Backend, files: tuple[Path, ...], stage: str
) -> None:
    """Time one step of one backend."""
    (cell,) = (cell for cell in cells_of("", backend, files, BATCHES) if cell.stage == stage)
    images = count()
    benchmark.group = stage
    benchmark.extra_info["images"] = cell.images
    benchmark(lambda: cell.call(next(images)))


def test_grey_decode(benchmark: BenchmarkFixture, files: tuple[Path, ...]) -> None:
    """Time the physics: the bare grey decode of the same files."""
    cell, images = grey_decode_cell(files), count()
    benchmark.group = END_TO_END
    benchmark(lambda: cell.call(next(images)))
