"""Images decoded once into one array, so that training never waits for a decoder."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_mri.errors import ImageDecodeError, ImageError
from edge_mri.images import read_image
from edge_mri.preprocess import PreprocessSpec, preprocess
from edge_mri.worker_pool import WorkerPool
from edge_mri.workers import available_threads


def load_pixels(
    files: Sequence[Path], spec: PreprocessSpec, on_image: Callable[[], None] | None = None
) -> NDArray[np.uint8]:
    """Read and preprocess files into `(N, 1, S, S)` uint8.

    Raises:
        ImageDecodeError: A file cannot be used; the message names the first such file.
    """
    pixels = np.empty((len(files), 1, spec.size, spec.size), np.uint8)

    def load(position: int) -> None:
        try:
            pixels[position] = preprocess(
                read_image(files[position], reduce_to=spec.reduce_to), spec
            )
        except ImageError as error:
            raise ImageDecodeError(f"{files[position]}: {error}") from error

    with WorkerPool(available_threads()) as pool:
        for _ in pool.map(load, range(len(files))):
            if on_image:
                on_image()
    return pixels
