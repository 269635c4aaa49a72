"""How the search for duplicates grows: N phantoms drawn, fingerprinted and searched.

Run as `python benchmarks/studies/duplicates/scale_duplicates.py 1000 10000 100000 --json FILE`.

Nine in ten phantoms are drawn, each of another head; every tenth is the one before it, mirrored
and resized. Each size runs in a process of its own, whose peak memory is the figure. What must
grow: fingerprints and comparisons as N (a few candidates an image), the search itself as
N sqrt(N) with a small factor, memory as N: 4 kB a thumbnail, 3.4 kB a crop index, 2 kB a map.
"""

import argparse
import json
import multiprocessing
import platform
import resource
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import click
import cv2
import numpy as np

from edge_mri.labels import LabelSpace
from edge_mri.phantoms.phantom import draw_phantom
from edge_mri.process.workers import available_threads
from edge_mri_train.duplicates.fingerprint import Fingerprint, fingerprint_pixels
from edge_mri_train.duplicates.search import find_duplicates

_SIZE_PX = 128
_REPEAT_EVERY = 10
_COLUMNS = ("draw_s", "fingerprint_s", "index_s", "search_s", "compare_s", "cpu_s", "peak_mb")


class _Clock:
    """A progress that takes the time of each bar."""

    def __init__(self) -> None:
        self.seconds = {"index": 0.0, "search": 0.0, "compare": 0.0}
        self._last = time.perf_counter()

    def say(self, text: str) -> None:
        """Do nothing."""

    @contextmanager
    def bar(self, label: str, length: int) -> Iterator[Callable[[], None]]:
        """Count the time before the first bar as that of the index."""
        if label == "search":
            self.seconds["index"] = time.perf_counter() - self._last
        start = time.perf_counter()
        yield lambda: None
        self.seconds[label] = time.perf_counter() - start


def measure(count: int) -> dict[str, Any]:
    """Return the seconds of each stage, the peak memory, and what was found of the repeats."""
    draw_s = fingerprint_s = 0.0
    classes = LabelSpace().classes
    fingerprints: list[Fingerprint] = []
    for index in range(count):
        start = time.perf_counter()
        repeats = index % _REPEAT_EVERY == _REPEAT_EVERY - 1
        drawn = index - 1 if repeats else index
        image = draw_phantom(classes[drawn % len(classes)], size_px=_SIZE_PX, index=drawn)
        if repeats:
            small = cv2.resize(image, (96, 96), interpolation=cv2.INTER_AREA)
            image = np.asarray(cv2.flip(small, 1), np.uint8)
        drawn_at = time.perf_counter()
        fingerprints.append(fingerprint_pixels(image))
        draw_s += drawn_at - start
        fingerprint_s += time.perf_counter() - drawn_at
    cpu, clock = time.process_time(), _Clock()
    found = find_duplicates(fingerprints, clock)
    near = {(edge.a, edge.b) for edge in found.edges if edge.kind == "near"}
    repeats_made = range(_REPEAT_EVERY - 1, count, _REPEAT_EVERY)
    repeats_found = sum((index - 1, index) in near for index in repeats_made)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "images": count,
        "draw_s": draw_s,
        "fingerprint_s": fingerprint_s,
        **{f"{name}_s": seconds for name, seconds in clock.seconds.items()},
        "cpu_s": time.process_time() - cpu,
        "peak_mb": peak / (2**20 if sys.platform == "darwin" else 2**10),
        "repeats": len(repeats_made),
        "repeats_found": repeats_found,
        "other_near": len(near) - repeats_found,
        "related": sum(edge.kind == "related" for edge in found.edges),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure each size, print a table and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("counts", type=int, nargs="+", metavar="N")
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args(arguments)
    heads = (*_COLUMNS, "found", "other near", "related")
    click.echo(f"{'images':>8}" + "".join(f"{head:>14}" for head in heads))
    rows = []
    for count in options.counts:
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            row = pool.apply(measure, (count,))
        rows.append(row)
        shown = [f"{row[column]:.1f}" for column in _COLUMNS]
        shown += [f"{row['repeats_found']}/{row['repeats']}", row["other_near"], row["related"]]
        click.echo(f"{count:>8}" + "".join(f"{value:>14}" for value in shown))
    if options.json:
        machine = {
            "machine": platform.machine(),
            "system": platform.platform(),
            "python": platform.python_version(),
            "threads": available_threads(),
            **{name: version(name) for name in ("faiss-cpu", "numpy", "opencv-python-headless")},
        }
        options.json.write_text(json.dumps({"machine": machine, "rows": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
