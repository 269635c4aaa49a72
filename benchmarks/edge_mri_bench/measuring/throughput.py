"""A folder of images through one backend, on one and on several workers, and its energy."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge_mri_bench.backends.backends import Backend
from edge_mri_bench.figures.pinning import pinned
from edge_mri_bench.figures.statistics import Samples
from edge_mri_bench.measuring.energy import EnergyMeter


@dataclass(frozen=True)
class Folders:
    """What folders took.

    Attributes:
        per_image_ms: `(rounds, 1)` milliseconds per image, by row and workers.
        images_per_joule: By row and workers; nothing without energy counters.
    """

    per_image_ms: Mapping[tuple[str, int], Samples]
    images_per_joule: Mapping[tuple[str, int], float]


def time_folders(
    backends: Mapping[str, Backend],
    files: Sequence[Path],
    workers: Sequence[int],
    rounds: int,
    *,
    cores: int = 1,
    step: Callable[[], None] = lambda: None,
    meter: EnergyMeter | None = None,
    seed: int = 0,
) -> Folders:
    """Answer the same files with each backend and number of workers, in interleaved rounds.

    `n` workers run on `n` cores, or on more where calls take more; where there are fewer, that
    number is left out.

    Args:
        backends: Opened, by row.
        files: What each of them answers in each round.
        workers: Numbers of workers.
        rounds: How often.
        cores: What one call may use.
        step: Called after each folder.
        meter: Where energy is read.
        seed: Of the order.
    """
    meter = meter or EnergyMeter()
    generator = np.random.default_rng(seed)
    cells = [(row, count) for row in backends for count in workers if _enough_cores(count)]
    times: dict[tuple[str, int], list[list[float]]] = {cell: [] for cell in cells}
    joules = dict.fromkeys(cells, 0.0)
    for _ in range(rounds):
        for position in generator.permutation(len(cells)):
            row, count = cell = cells[position]
            with pinned(max(count, cores)):
                before = meter.read()
                times[cell].append([_time(backends[row], files, count)])
                joules[cell] += meter.joules_since(before) or 0.0
            step()
    answered = rounds * len(files)
    return Folders(
        {cell: np.array(values) for cell, values in times.items() if values},
        {cell: answered / value for cell, value in joules.items() if value},
    )


def _enough_cores(count: int) -> bool:
    with pinned(count) as cores:
        return cores is not None or count == 1


def _time(backend: Backend, files: Sequence[Path], workers: int) -> float:
    started = time.perf_counter()
    for _ in backend.stream(files, workers):
        pass
    return 1e3 * (time.perf_counter() - started) / len(files)
