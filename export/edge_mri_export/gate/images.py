"""Which images the gate is fitted to and chosen on, source by source."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice, zip_longest
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from edge_mri.errors import ImageError, NoImagesError
from edge_mri.images import SUFFIXES, ImageFiles, read_image
from edge_mri.images.preprocess import PreprocessSpec, preprocess
from edge_mri.terminal.progress import Progress

Groups = Mapping[str, NDArray[np.uint8]]
"""Images `(M, 1, S, S)` uint8 by source."""

_T = TypeVar("_T")


@dataclass(frozen=True)
class GateImages:
    """What a gate is fitted to, and what its limits are chosen on.

    Attributes:
        training: Brain MR slices that the network learned from.
        validation: Others.
        foreign: Images that are no brain MR; empty: none were shown.
    """

    training: Groups
    validation: Groups
    foreign: Groups = field(default_factory=dict)


def weights(sizes: Sequence[int]) -> NDArray[np.float64]:
    """Return what each image counts, group by group, together 1: each group counts alike."""
    there = sum(size > 0 for size in sizes)
    return np.concatenate([np.full(size, 1 / (size * there)) for size in sizes if size])


def by_source(pixels: NDArray[np.uint8], sources: Sequence[str]) -> dict[str, NDArray[np.uint8]]:
    """Return `(M, 1, S, S)` images in groups by their M sources."""
    rows: dict[str, list[int]] = defaultdict(list)
    for row, source in enumerate(sources):
        rows[source].append(row)
    return {source: pixels[of] for source, of in rows.items()}


def in_turn(items: Sequence[_T], sources: Sequence[str], most: int) -> list[_T]:
    """Return `most` items or fewer, one of each source in turn."""
    queues: dict[str, list[_T]] = defaultdict(list)
    for item, source in zip(items, sources, strict=True):
        queues[source].append(item)
    turns = chain.from_iterable(zip_longest(*queues.values()))
    return list(islice((item for item in turns if item is not None), most))


def foreign_images(
    folders: Sequence[Path], spec: PreprocessSpec, most: int, progress: Progress
) -> dict[str, NDArray[np.uint8]]:
    """Read images that are no brain MR; each folder that holds some is a source.

    What cannot be read is left out, and counted for people.

    Args:
        folders: Where they lie, at any depth; a folder below two of them is read once.
        spec: The network's preprocessing.
        most: How many are read, of each source in turn.
        progress: Told of it.

    Raises:
        NoImagesError: A folder holds no image that can be read.
        FolderNotFoundError: There is no such folder.
    """
    files: dict[Path, Path] = {}
    for folder in folders:
        listed = list(ImageFiles([folder], volumes=True))
        if not listed:
            raise NoImagesError([folder], SUFFIXES)
        files |= {file.resolve(): file for file in listed}
    chosen = in_turn(list(files.values()), [str(file.parent) for file in files.values()], most)
    pixels: list[NDArray[np.uint8]] = []
    read: list[Path] = []
    with progress.bar("foreign images for the rejection gate", len(chosen)) as step:
        for file in chosen:
            try:
                pixels.append(preprocess(read_image(file, reduce_to=spec.reduce_to), spec))
                read.append(file)
            except ImageError:
                pass
            step()
    if not read:
        raise NoImagesError(folders, SUFFIXES)
    if len(read) < len(chosen):
        progress.say(f"left out {len(chosen) - len(read)} foreign images that cannot be read")
    return by_source(np.stack(pixels), [str(file.parent) for file in read])
