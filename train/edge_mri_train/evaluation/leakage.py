"""Which images of a test set a model has seen, and which repeat one another.

Known from a manifest whose images are at hand, or from the hashes that the model remembers of its
training images: in the checkpoint, in a file beside the ONNX file, or in the package for the model
in it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_mri.terminal.progress import Progress
from edge_mri_train.data.folders import Sample
from edge_mri_train.data.grouping import id_pairs
from edge_mri_train.data.manifest import DROPPED, check_manifest, read_manifest
from edge_mri_train.data.scan import fingerprint_files
from edge_mri_train.data.split import TEST
from edge_mri_train.duplicates.components import connected_groups
from edge_mri_train.duplicates.fingerprint import Fingerprint
from edge_mri_train.duplicates.search import Kind, find_duplicates
from edge_mri_train.duplicates.seen import SeenImages

EXACT_ONLY: tuple[Kind, ...] = ("exact",)


@dataclass(frozen=True)
class Leakage:
    """What is known of N test images.

    Attributes:
        seen: `(N,)` bool, the same pixels are among the training images.
        seen_near: `(N,)` bool, the same or a near-duplicate is among the training images.
        repeats: `(N,)` bool, the same pixels come earlier in the test set.
        groups: `(N,)` int64, near-duplicate groups and ids within the test set.
        source: Where the training images are known from; None: they are not known.
    """

    seen: NDArray[np.bool_]
    seen_near: NDArray[np.bool_]
    repeats: NDArray[np.bool_]
    groups: NDArray[np.int64]
    source: str | None

    @property
    def duplicate_free(self) -> NDArray[np.bool_]:
        """The images that are neither seen nor repeats."""
        return ~(self.seen | self.repeats)

    @property
    def group_clean(self) -> NDArray[np.bool_]:
        """The duplicate-free images whose whole group has no near-duplicate in training."""
        touched = np.isin(self.groups, self.groups[self.seen | self.seen_near])
        return self.duplicate_free & ~touched


def find_leakage(
    samples: Sequence[Sample],
    seen: SeenImages | None,
    against: Path | None,
    progress: Progress,
) -> Leakage:
    """Find out which images a model has seen.

    Args:
        samples: The N test images.
        seen: What the model remembers of its training images.
        against: A manifest of its training images, which then takes the place of `seen`.
        progress: Where to say how it goes.
    """
    prints = fingerprint_files([sample.file for sample in samples], progress)
    source: str | None = None
    trained: list[Fingerprint] = []
    if against is not None:
        trained = _training_prints(against, progress)
        source = f"manifest {against.name}, {len(trained)} images"
    count = len(samples)
    duplicates = find_duplicates([*prints, *trained], progress)
    is_trained = np.arange(count + len(trained)) >= count
    if against is not None:
        exactly = duplicates.touching(is_trained, EXACT_ONLY)[:count]
        nearly = duplicates.touching(is_trained)[:count]
    elif seen is not None:
        source = f"what the model remembers, {len(seen)} images"
        exactly, nearly = seen.exact(prints), seen.near(prints)
    else:
        exactly = nearly = np.zeros(count, bool)
    pairs = duplicates.pairs()
    within = pairs[(pairs < count).all(axis=1)]
    ids = id_pairs([sample.group for sample in samples])
    return Leakage(
        seen=exactly,
        seen_near=nearly,
        repeats=_repeats(prints),
        groups=connected_groups(count, np.concatenate([within, ids])),
        source=source,
    )


def _training_prints(manifest: Path, progress: Progress) -> list[Fingerprint]:
    rows = [row for row in read_manifest(manifest) if row.sample.split not in (TEST, DROPPED)]
    check_manifest(manifest, rows, progress)
    return fingerprint_files([row.sample.file for row in rows], progress)


def _repeats(prints: Sequence[Fingerprint]) -> NDArray[np.bool_]:
    before: set[bytes] = set()
    repeated = []
    for one in prints:
        repeated.append(one.pixel_hash in before)
        before.add(one.pixel_hash)
    return np.array(repeated, bool)
