"""Images decoded once into one array, so that training never waits for a decoder."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edge_mri.errors import ImageDecodeError, ImageError
from edge_mri.images import read_image
from edge_mri.images.opening import reading_threads
from edge_mri.images.pixels.levels import why_not_an_image
from edge_mri.images.preprocess import PreprocessSpec, preprocess
from edge_mri.process.worker_pool import WorkerPool
from edge_mri.remote.url import Place


class Loaded(NamedTuple):
    """N images ready for a network.

    Attributes:
        pixels: `(N, 1, S, S)` uint8.
        drawn: `(N,)` whether an image is a mask, a drawing or empty, see
            `edge_mri.images.pixels.levels`; users get no answer to it.
    """

    pixels: NDArray[np.uint8]
    drawn: NDArray[np.bool_]


def load_pixels(
    files: Sequence[Place], spec: PreprocessSpec, on_image: Callable[[], None] | None = None
) -> NDArray[np.uint8]:
    """Read and preprocess files into `(N, 1, S, S)` uint8; see `load_images`."""
    return load_images(files, spec, on_image).pixels


def load_images(
    files: Sequence[Place], spec: PreprocessSpec, on_image: Callable[[], None] | None = None
) -> Loaded:
    """Read and preprocess files.

    Raises:
        ImageDecodeError: A file cannot be used; the message names the first such file.
    """
    pixels = np.empty((len(files), 1, spec.size, spec.size), np.uint8)
    drawn = np.zeros(len(files), bool)

    def load(position: int) -> None:
        try:
            image = read_image(files[position], reduce_to=spec.reduce_to)
            pixels[position] = preprocess(image, spec)
            drawn[position] = why_not_an_image(image) is not None
        except ImageError as error:
            raise ImageDecodeError(f"{files[position]}: {error}") from error

    with WorkerPool(reading_threads(files)) as pool:
        for _ in pool.map(load, range(len(files))):
            if on_image:
                on_image()
    return Loaded(pixels, drawn)
