r"""One process, many images: does memory stay flat, and does every call give the same answer?

Phantoms and broken files are streamed over and over; the resident size is noted after the first
10,000 images (or a tenth of them) and at the end. Then one classifier is called from eight threads.
With `--seconds` it ends when the time is up, and says how far it came.

    python benchmarks/studies/robustness/soak.py [--model FILE] [--images 1000000] \
        [--seconds S] [--size-px 512] [--threads 2] [--calls 10000]
"""

import argparse
import json
import math
import tempfile
import time
from collections.abc import Iterable, Iterator
from itertools import cycle, islice, takewhile
from pathlib import Path

import click

from edge_mri.answers.audit import versions
from edge_mri.classifier import Classifier
from edge_mri.phantoms.phantom import PhantomConfig, write_phantoms
from edge_mri.process.worker_pool import WorkerPool
from edge_mri.process.workers import available_threads

SETTLED = 10_000
CALLERS = 8


def resident_mb(key: str = "VmRSS:") -> float:
    """Return the resident size of this process, or with `VmHWM:` its peak; Linux alone."""
    status = Path("/proc/self/status").read_text()
    return int(status.split(key)[1].split()[0]) / 1024


def written(folder: Path, size_px: int) -> list[Path]:
    """Write 24 phantoms and three files that are none; return all of them."""
    files = write_phantoms(folder, PhantomConfig(count=2, size_px=size_px))
    data = files[0].read_bytes()
    for name, content in (("empty", b""), ("text", b"hello"), ("cut", data[: len(data) // 2])):
        path = folder / f"{name}.jpg"
        path.write_bytes(content)
        files.append(path)
    return files


def until(end: float, files: Iterable[Path]) -> Iterator[Path]:
    """Give files until the clock (`time.perf_counter`) shows `end`."""
    return takewhile(lambda _: time.perf_counter() < end, files)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", type=Path, help="default: the packaged model")
    parser.add_argument("--images", type=int, default=1_000_000)
    parser.add_argument("--seconds", type=float, default=math.inf)
    parser.add_argument("--size-px", type=int, default=512, help="side of the phantoms")
    parser.add_argument("--threads", type=int, default=available_threads())
    parser.add_argument("--calls", type=int, default=10_000)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    classifier = Classifier.load(options.model, device="cpu")
    with tempfile.TemporaryDirectory() as folder:
        files = written(Path(folder), options.size_px)
        expected = list(classifier.stream(files, threads=1))
        settled_at = min(SETTLED, options.images // 10)
        settled_mb, wrong, number = 0.0, 0, 0
        started = time.perf_counter()
        names = until(started + options.seconds, islice(cycle(files), options.images))
        for number, record in enumerate(classifier.stream(names, threads=options.threads), 1):
            wrong += record != expected[(number - 1) % len(files)]
            if number == settled_at:
                settled_mb = resident_mb()
        seconds = time.perf_counter() - started
        end_mb = resident_mb()
        readable = files[:24]
        with WorkerPool(CALLERS) as pool:
            calls = [number % len(readable) for number in range(options.calls)]
            answers = pool.map(lambda place: classifier.predict(readable[place]), calls)
            differing = sum(
                answer != expected[place] for answer, place in zip(answers, calls, strict=True)
            )
    found = {
        "model": f"{classifier.contract.name} {classifier.contract.precision}",
        "images": number,
        "size_px": options.size_px,
        "threads": options.threads,
        "images_per_second": round(number / seconds, 1),
        "resident_mb_settled": round(settled_mb, 1),
        "settled_after": settled_at,
        "resident_mb_end": round(end_mb, 1),
        "growth_mb": round(end_mb - settled_mb, 2),
        "peak_mb": round(resident_mb("VmHWM:"), 1),
        "records_that_differ": wrong,
        "calls_from_8_threads": options.calls,
        "calls_that_differ": differing,
        "versions": versions(),
    }
    for name, value in found.items():
        click.echo(f"{name:22} {value}")
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
