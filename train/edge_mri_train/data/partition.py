"""From labelled images to the rows of a manifest: fingerprints, groups, sides."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from edge_mri.terminal.progress import Progress
from edge_mri_train.data.folders import Sample
from edge_mri_train.data.grouping import id_pairs
from edge_mri_train.data.manifest import DROPPED, Row, hash_files
from edge_mri_train.data.scan import fingerprint_files
from edge_mri_train.data.split import TEST, SplitConfig, divide
from edge_mri_train.duplicates.components import connected_groups
from edge_mri_train.duplicates.fingerprint import Fingerprint
from edge_mri_train.duplicates.search import Known, find_duplicates


@dataclass(frozen=True)
class Partition:
    """Divided images.

    Attributes:
        rows: What a manifest says of them.
        fingerprints: Their fingerprints, in the order of the rows.
    """

    rows: list[Row]
    fingerprints: list[Fingerprint]


def partition(samples: Sequence[Sample], config: SplitConfig, progress: Progress) -> Partition:
    """Divide images so that neither a near-duplicate group nor a patient is on two sides.

    With `config.grouped` off, each image is a group.

    The search looks at the best few candidates of each image. Where images were dropped it
    therefore looks again at those that are left, until it finds none across the border.
    """
    prints = fingerprint_files([sample.file for sample in samples], progress)
    labels = [sample.label for sample in samples]
    official = [sample.split for sample in samples]
    sets = [sample.root for sample in samples]
    pairs = np.empty((0, 2), np.int64)
    known: Known = {}
    if config.grouped:
        ids = id_pairs([sample.group for sample in samples])
        pairs = np.concatenate([ids, _edges(prints, progress, known)])
    while True:
        groups = connected_groups(len(samples), pairs)
        sides = np.array(divide(labels, groups.tolist(), official, sets, config))
        kept = np.flatnonzero(sides != DROPPED)
        if len(kept) == len(samples):
            break
        left = [prints[position] for position in kept.tolist()]
        found = kept[_edges(left, progress, known)]
        crossing = found[sides[found[:, 0]] != sides[found[:, 1]]]
        if config.as_published:
            published = [
                sets[one] == sets[other] and TEST in (sides[one], sides[other])
                for one, other in crossing.tolist()
            ]
            crossing = crossing[~np.array(published, bool)]
        if not len(crossing):
            break
        pairs = np.concatenate([pairs, crossing])
    hashes = hash_files(samples, progress)
    rows = [
        Row(replace(sample, split=str(side)), digest, f"g{group}")
        for sample, side, digest, group in zip(samples, sides, hashes, groups, strict=True)
    ]
    return Partition(rows, prints)


def _edges(prints: Sequence[Fingerprint], progress: Progress, known: Known) -> NDArray[np.int64]:
    """Return the duplicates of any kind as `(M, 2)` positions."""
    return find_duplicates(prints, progress, known).pairs()
