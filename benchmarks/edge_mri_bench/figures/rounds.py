"""Interleaved rounds: in each, everything is timed once on the same images, in another order.

So drift, heat and other people's work hit all backends alike, and the times of one round are a
pair for any two of them. The first call of each cell of a round is not counted: it brings the
backend's code and weights back into the caches.
"""

import gc
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from edge_mri_bench.figures.statistics import Samples


@dataclass(frozen=True)
class Cell:
    """One thing to time.

    Attributes:
        row: Whose it is: a backend's row, `limit` or `noise`.
        stage: What is done.
        call: Does it to image number `i`.
        images: How many images one call handles; times are of the call.
    """

    row: str
    stage: str
    call: Callable[[int], object]
    images: int = 1

    @property
    def key(self) -> tuple[str, str]:
        """Row and stage."""
        return self.row, self.stage


class Rounds:
    """Times, as they come in.

    Attributes:
        cells: What is timed.
        done: Rounds that are whole.
    """

    def __init__(self, cells: list[Cell], calls: int, seed: int = 0) -> None:
        self.cells = cells
        self.done = 0
        self._calls = calls
        self._generator = np.random.default_rng(seed)
        self._times: dict[tuple[str, str], list[list[float]]] = {cell.key: [] for cell in cells}

    def run(self, count: int, step: Callable[[], None] = lambda: None) -> None:
        """Time `count` rounds more; an interrupted round does not count."""
        with _no_collections():
            for _ in range(count):
                times = {}
                for position in self._generator.permutation(len(self.cells)):
                    cell = self.cells[position]
                    times[cell.key] = self._time(cell)
                    step()
                for key, values in times.items():
                    self._times[key].append(values)
                self.done += 1

    def warm_up(self) -> float:
        """Call everything twice and return the seconds that a round will take."""
        seconds = 0.0
        for cell in self.cells:
            cell.call(0)
            started = time.perf_counter()
            cell.call(0)
            seconds += (time.perf_counter() - started) * (1 + self._calls_of(cell))
        return seconds

    def samples(self) -> Mapping[tuple[str, str], Samples]:
        """Return `(rounds, calls)` milliseconds of each cell; nothing before the first round."""
        return {key: np.array(values) for key, values in self._times.items() if values}

    def _time(self, cell: Cell) -> list[float]:
        calls = self._calls_of(cell)
        first = self.done * self._calls
        cell.call(first)
        times = []
        for image in range(first, first + calls):
            started = time.perf_counter_ns()
            cell.call(image)
            times.append((time.perf_counter_ns() - started) / 1e6)
        return times

    def _calls_of(self, cell: Cell) -> int:
        return max(self._calls // cell.images, 1)


@contextmanager
def _no_collections() -> Iterator[None]:
    """Keep Python's garbage collector out of the times."""
    gc.collect()
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
