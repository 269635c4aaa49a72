"""A backend's steps as cells to time: decode, preprocess, inference by batch size, end to end."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from edge_mri_bench.backends.backends import Backend
from edge_mri_bench.figures.rounds import Cell

DECODE = "decode"
PREPROCESS = "preprocess"
END_TO_END = "end_to_end"


def inference(batch_size: int) -> str:
    """Return the name of the inference stage at a batch size."""
    return f"inference_{batch_size}"


def cells_of(
    row: str, backend: Backend, files: Sequence[Path], batch_sizes: Sequence[int]
) -> list[Cell]:
    """Return the cells of one backend; each step's input is made before its time is taken.

    Args:
        row: Name of the backend's row.
        backend: Opened.
        files: W images; a call takes number `i` modulo W.
        batch_sizes: Images per call of inference.
    """
    count = len(files)

    @cache
    def encoded(image: int) -> bytes:
        return files[image].read_bytes()

    @cache
    def decoded(image: int) -> Any:
        return backend.decode(encoded(image))

    @cache
    def prepared(image: int) -> Any:
        return backend.prepare(decoded(image))

    @cache
    def batch(image: int, size: int) -> Any:
        return backend.stack([prepared((image + one) % count) for one in range(size)])

    for image in range(count):  # all that a timed call would otherwise make for itself
        prepared(image)
        batch(image, 1)
    for size in batch_sizes:
        batch(0, size)

    def inferring(size: int) -> Cell:
        def call(image: int) -> object:
            return backend.infer(batch(image % count if size == 1 else 0, size))

        return Cell(row, inference(size), call, images=size)

    return [
        Cell(row, DECODE, lambda image: backend.decode(encoded(image % count))),
        Cell(row, PREPROCESS, lambda image: backend.prepare(decoded(image % count))),
        *(inferring(size) for size in batch_sizes),
        Cell(row, END_TO_END, lambda image: backend.answer(files[image % count])),
    ]
