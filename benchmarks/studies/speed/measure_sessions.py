"""How to keep several cores busy with one model: sessions, threads, batch sizes, side by side.

Each round runs every way once, so that what else the machine does hits all alike; the median over
rounds is printed, in images per second. Inference alone, then whole files.

    python benchmarks/studies/speed/measure_sessions.py [MODEL] [--rounds 7] [--images 192]
"""

import edge_mri  # noqa: F401  # settles what onnxruntime reads when it is loaded

# isort: split
import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import click
import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from edge_mri.classifier import SHIPPED_MODEL, Classifier
from edge_mri.images import read_image
from edge_mri.images.preprocess import preprocess_batch
from edge_mri.phantoms.phantom import PhantomConfig, write_phantoms
from edge_mri.process.worker_pool import WorkerPool
from edge_mri.process.workers import available_threads

BATCHES = (1, 2, 4, 8, 16, 32)
Way = Callable[[], object]


def opened(path: Path, threads: int) -> ort.InferenceSession:
    """Open a plain CPU session with so many threads inside a layer."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def inferring(
    sessions: list[ort.InferenceSession], callers: int, pixels: NDArray[np.uint8], batch: int
) -> Way:
    """Classify `pixels` by so many calling threads, each on its session of those given."""
    pool = WorkerPool(callers)
    parts = [pixels[start : start + batch] for start in range(0, len(pixels), batch)]

    def call(numbered: tuple[int, NDArray[np.uint8]]) -> None:
        number, part = numbered
        sessions[number % len(sessions)].run(["logits"], {"pixels": part})

    return lambda: list(pool.map(call, enumerate(parts)))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model", nargs="?", type=Path, default=SHIPPED_MODEL)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--images", type=int, default=192)
    options = parser.parse_args()
    cores = available_threads()
    classifier = Classifier.load(options.model, device="cpu")
    with tempfile.TemporaryDirectory() as folder:
        write_phantoms(Path(folder), PhantomConfig(count=4))
        unique = sorted(Path(folder).rglob("*.jpg"))
        files = [unique[number % len(unique)] for number in range(options.images)]
        pixels = preprocess_batch(map(read_image, files), classifier.contract.preprocess)
        single, wide = opened(options.model, 1), opened(options.model, cores)
        several = [opened(options.model, 1) for _ in range(cores)]
        ways: dict[str, Way] = {}
        for batch in BATCHES:
            tail = f"batch {batch:2}"
            ways[f"infer   1 thread            {tail}"] = inferring([single], 1, pixels, batch)
            ways[f"infer   1 session shared    {tail}"] = inferring([single], cores, pixels, batch)
            ways[f"infer   {cores} sessions          {tail}"] = inferring(
                several, cores, pixels, batch
            )
            ways[f"infer   1 wide session      {tail}"] = inferring([wide], 1, pixels, batch)
            for threads in dict.fromkeys((1, cores)):
                ways[f"files   {threads} threads           {tail}"] = (
                    lambda threads=threads, batch=batch: list(
                        classifier.stream(files, threads=threads, batch_size=batch)
                    )
                )
        seconds: dict[str, list[float]] = {name: [] for name in ways}
        for turn in range(options.rounds + 1):
            for name, way in ways.items():
                started = time.perf_counter()
                way()
                if turn:  # the first round warms up
                    seconds[name].append(time.perf_counter() - started)
    click.echo(
        f"{options.model.name}, {options.images} images, {cores} cores, {options.rounds} rounds"
    )
    for name, taken in sorted(seconds.items()):
        click.echo(f"{name}  {options.images / statistics.median(taken):7.0f} images/s")


if __name__ == "__main__":
    main()
