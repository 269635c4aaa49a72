"""Reading each file of a set once: header, fingerprint and statistics, or what is wrong."""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from edge_mri.errors import ImageError
from edge_mri.images import decode_image, read_file
from edge_mri.images.opening import reading_threads
from edge_mri.process.worker_pool import WorkerPool
from edge_mri.remote.url import Place
from edge_mri.terminal.progress import Progress
from edge_mri_train.data.inventory import FileFacts, read_facts
from edge_mri_train.data.statistics import statistics
from edge_mri_train.duplicates.fingerprint import Fingerprint, fingerprint
from edge_mri_train.errors import UnusableImagesError

_Read = TypeVar("_Read")


@dataclass(frozen=True)
class ScannedFile:
    """What one file holds.

    Attributes:
        facts: Its header.
        fingerprint: What duplicates are found by.
        statistics: `edge_mri_train.data.statistics.STATISTICS`, float32.
    """

    facts: FileFacts
    fingerprint: Fingerprint
    statistics: NDArray[np.float32]


def scan_files(files: Sequence[Place], progress: Progress) -> list[ScannedFile | ImageError]:
    """Read files; one that cannot be used gives its error in its place."""
    with warnings.catch_warnings(action="ignore"):  # Pillow's, of damaged headers
        return _map(_scan, files, "reading images", progress)


def fingerprint_files(files: Sequence[Place], progress: Progress) -> list[Fingerprint]:
    """Return each file's fingerprint; `UnusableImagesError` lists the unusable."""
    read = _map(_fingerprint, files, "fingerprinting images", progress)
    unusable = [
        f"{file}: {one}"
        for file, one in zip(files, read, strict=True)
        if isinstance(one, ImageError)
    ]
    if unusable:
        raise UnusableImagesError(unusable)
    return [one for one in read if isinstance(one, Fingerprint)]


def _map(
    read: Callable[[Place], _Read], files: Sequence[Place], label: str, progress: Progress
) -> list[_Read]:
    results = []
    with progress.bar(label, len(files)) as step, WorkerPool(reading_threads(files)) as pool:
        for result in pool.map(read, files):
            results.append(result)
            step()
    return results


def _scan(file: Place) -> ScannedFile | ImageError:
    try:
        data = read_file(file)
        facts = read_facts(data)
        return ScannedFile(facts, fingerprint(data), statistics(decode_image(data), facts))
    except ImageError as error:
        return error


def _fingerprint(file: Place) -> Fingerprint | ImageError:
    try:
        return fingerprint(read_file(file))
    except ImageError as error:
        return error
