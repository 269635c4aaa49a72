"""A folder of images through one backend, on one and on several workers."""

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from edge_mri_bench.backends import Backend
from edge_mri_bench.pinning import pinned
from edge_mri_bench.statistics import Samples


def folder_times(
    backends: Mapping[str, Backend],
    files: Sequence[Path],
    workers: Sequence[int],
    rounds: int,
    step: Callable[[], None] = lambda: None,
    seed: int = 0,
) -> dict[tuple[str, int], Samples]:
    """Return milliseconds per image of each backend and number of workers.

    Rounds are interleaved as in `rounds`; `n` workers run on `n` cores, and where there are fewer
    cores, that number of workers is left out.

    Args:
        backends: Opened, by row.
        files: What each of them answers in each round.
        workers: Numbers of workers.
        rounds: How often.
        step: Called after each folder.
        seed: Of the order.

    Returns:
        `(rounds, 1)` by row and workers.
    """
    generator = np.random.default_rng(seed)
    cells = [(row, count) for row in backends for count in workers]
    times: dict[tuple[str, int], list[list[float]]] = {cell: [] for cell in cells}
    for _ in range(rounds):
        for position in generator.permutation(len(cells)):
            row, count = cells[position]
            with pinned(count) as cores:
                if cores is not None or count == 1:
                    times[row, count].append([_time(backends[row], files, count)])
            step()
    return {cell: np.array(values) for cell, values in times.items() if values}


def _time(backend: Backend, files: Sequence[Path], workers: int) -> float:
    started = time.perf_counter()
    for _ in backend.stream(files, workers):
        pass
    return 1e3 * (time.perf_counter() - started) / len(files)
