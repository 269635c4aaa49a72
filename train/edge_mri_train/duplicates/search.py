"""The duplicates among images, from their fingerprints to edges and groups.

Copies are found by their hash. One image of each hash then goes through candidate search and
registration, and edges that pass are kept. Nothing here looks at labels or files.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edge_mri.terminal.progress import NoProgress, Progress
from edge_mri_train.duplicates.candidates import find_candidates
from edge_mri_train.duplicates.components import connected_groups
from edge_mri_train.duplicates.fingerprint import Fingerprint
from edge_mri_train.duplicates.registration import agreements

NEAR = 0.90
"""Score from which two images are the same slice, edited.

Measured (decision record 0005): none of 21,221 candidate pairs of different patients or body
parts reaches it. Re-encoded, resized, turned, mirrored and moderately brightened images find
their source's group in 96 to 100 of 100 cases, heads cut by a tenth a side in 94; strong gamma
and CLAHE in 88, equalised histograms in 43.
"""
RELATED = 0.80
"""Score from which two images are of one patient: the same slice edited heavily or in another
contrast, or the slice beside it. Of the same 21,221 pairs the highest has 0.765."""

Kind = Literal["exact", "near", "related"]
KINDS: tuple[Kind, ...] = ("exact", "near", "related")
DUPLICATE: tuple[Kind, ...] = ("exact", "near")


class Edge(NamedTuple):
    """Two images that belong together.

    Attributes:
        a: Position of the first image; below `b`.
        b: Position of the second.
        score: Agreement after registration, 1 for copies.
        kind: `exact` for the same pixels, `near` from `NEAR`, `related` from `RELATED`.
    """

    a: int
    b: int
    score: float
    kind: Kind


@dataclass(frozen=True)
class Duplicates:
    """What belongs together among N images.

    Attributes:
        count: N.
        edges: Sorted by their positions. An exact edge leads from a copy to the first image with
            its pixels; near and related edges join such first images and stand for their copies.
    """

    count: int
    edges: list[Edge]

    def groups(self, kinds: Collection[Kind] = DUPLICATE) -> NDArray[np.int64]:
        """Return `(N,)` numbers of the groups that edges connect, counted by first appearance."""
        return connected_groups(self.count, self.pairs(kinds))

    def pairs(self, kinds: Collection[Kind] = KINDS) -> NDArray[np.int64]:
        """Return the edges of some kinds, by default of all, as `(M, 2)` positions."""
        ends = [edge[:2] for edge in self.edges if edge.kind in kinds]
        return np.array(ends, np.int64).reshape(-1, 2)

    def touching(
        self, marked: NDArray[np.bool_], kinds: Collection[Kind] = DUPLICATE
    ) -> NDArray[np.bool_]:
        """Tell which images have a copy or an edge, not a mere path, to a marked other image.

        Args:
            marked: `(N,)`, such as the images of a training set.
            kinds: Of edges that count.

        Returns:
            `(N,)`.
        """
        first = np.arange(self.count)
        for edge in self.edges:
            if edge.kind == "exact":
                first[edge.b] = edge.a
        copies = np.bincount(first[marked], minlength=self.count)  # marked images, by first image
        touched = np.zeros(self.count, np.bool_)
        for edge in self.edges:
            if edge.kind in kinds and edge.kind != "exact":
                touched[edge.a] |= copies[edge.b] > 0
                touched[edge.b] |= copies[edge.a] > 0
        touching = touched[first]
        if "exact" in kinds:
            touching |= copies[first] > marked
        return np.asarray(touching)


Known = dict[bytes, float]
"""Scores of pairs compared before, by the pixels of both and how one is laid on the other."""


def find_duplicates(
    fingerprints: Sequence[Fingerprint],
    progress: Progress | None = None,
    known: Known | None = None,
) -> Duplicates:
    """Find the duplicates among images.

    The answer depends neither on the order of the images nor on the number of cores. Flat images
    take part as exact copies only.

    Args:
        fingerprints: N, in the order that positions in the answer refer to.
        progress: Told how far the search is.
        known: Scores of earlier searches among some of the same images; those of this one are
            added. Comparing takes nine tenths of the time of a search.
    """
    first: dict[bytes, int] = {}
    edges = []
    for position, image in enumerate(fingerprints):
        earlier = first.setdefault(image.pixel_hash, position)
        if earlier != position:
            edges.append(Edge(earlier, position, 1.0, "exact"))
    # Sorted by their hash, the images come in an order of their own.
    chosen = [first[key] for key in sorted(first) if not fingerprints[first[key]].is_flat]
    if len(chosen) > 1:
        scores = {} if known is None else known
        edges += _near_edges(fingerprints, chosen, progress or NoProgress(), scores)
    return Duplicates(len(fingerprints), sorted(edges))


def _near_edges(
    fingerprints: Sequence[Fingerprint],
    chosen: Sequence[int],
    progress: Progress,
    known: Known,
) -> list[Edge]:
    thumbnails = [fingerprints[position].thumbnail for position in chosen]
    hashes = [fingerprints[position].pixel_hash for position in chosen]
    pairs = find_candidates(thumbnails, progress)
    keys = [
        hashes[moving] + hashes[target] + bytes((symmetry, view))
        for moving, symmetry, view, target in zip(
            pairs.moving.tolist(),
            pairs.symmetry.tolist(),
            pairs.view.tolist(),
            pairs.target.tolist(),
            strict=True,
        )
    ]
    new = [index for index, key in enumerate(keys) if key not in known]
    scores = agreements(thumbnails, pairs[np.array(new, np.int64)], progress).tolist()
    known.update(zip([keys[index] for index in new], scores, strict=True))
    edges = []
    for index, key in enumerate(keys):
        score = known[key]
        if score < RELATED:
            continue
        a, b = sorted((chosen[pairs.moving[index]], chosen[pairs.target[index]]))
        edges.append(Edge(a, b, score, "near" if score >= NEAR else "related"))
    return edges
