"""Pairs of images that are the same or nearly, by what they mean for a set.

A leak stands on two sides of a division, a repeat twice in one part of a set, a conflict under two
labels that contradict each other. How duplicates are found is `edge_mri_train.duplicates`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from edge_mri.labels import Label
from edge_mri_train.data.folders import Sample
from edge_mri_train.data.split import TRAIN
from edge_mri_train.duplicates.neighbours import Neighbours
from edge_mri_train.duplicates.search import Duplicates


@dataclass(frozen=True)
class Pair:
    """Two images that are the same or nearly.

    Attributes:
        first: The one that comes first; in a leak, the one that is held out.
        second: The other.
        score: 1 for the same pixels, else the agreement of detail after registration.
        kind: `exact`, `near` or `related`.
    """

    first: Sample
    second: Sample
    score: float
    kind: str

    def to_dict(self) -> dict[str, Any]:
        """Return the pair as JSON values."""
        return {
            "kind": self.kind,
            "score": round(self.score, 4),
            "paths": [str(self.first.file), str(self.second.file)],
            "labels": [str(self.first.label), str(self.second.label)],
        }


def all_pairs(samples: Sequence[Sample], duplicates: Duplicates) -> list[Pair]:
    """Return the pairs that were found, as they were found."""
    return [
        Pair(samples[edge.a], samples[edge.b], edge.score, edge.kind) for edge in duplicates.edges
    ]


def is_held_out(sample: Sample) -> bool:
    """Return whether an image lies in a test or validation folder, or in a fold."""
    return sample.split not in (None, TRAIN)


def leaks(samples: Sequence[Sample], neighbours: Neighbours) -> list[Pair]:
    """Pair each held-out image with its best duplicate outside its own split."""
    found = []
    for position, sample in enumerate(samples):
        if not is_held_out(sample):
            continue
        others = neighbours.of(position)
        partner = next((one for one in others if samples[one.position].split != sample.split), None)
        if partner is not None:
            found.append(Pair(sample, samples[partner.position], partner.score, partner.kind))
    return _best_first(found)


def repeats(samples: Sequence[Sample], parts: Sequence[str], duplicates: Duplicates) -> list[Pair]:
    """Return the exact and near pairs inside one part of a set."""
    return [
        pair
        for pair, edge in zip(all_pairs(samples, duplicates), duplicates.edges, strict=True)
        if edge.kind != "related" and parts[edge.a] == parts[edge.b]
    ]


def conflicts(samples: Sequence[Sample], neighbours: Neighbours) -> list[Pair]:
    """Pair images whose labels contradict each other, one pair for each two labels of a group."""
    seen = set()
    found = []
    for position, sample in enumerate(samples):
        for one in neighbours.of(position):
            other = samples[one.position]
            key = (
                frozenset((neighbours.first(position), neighbours.first(one.position))),
                frozenset((sample.label, other.label)),
            )
            is_new = one.position > position and key not in seen
            if is_new and _contradict(sample.label, other.label):
                seen.add(key)
                found.append(Pair(sample, other, one.score, one.kind))
    return _best_first(found)


def _contradict(one: Label, other: Label) -> bool:
    planes_differ = None not in (one.plane, other.plane) and one.plane != other.plane
    return not {*one.types} & {*other.types} or planes_differ


def _best_first(pairs: Sequence[Pair]) -> list[Pair]:
    return sorted(pairs, key=lambda pair: (pair.kind != "exact", -pair.score))
