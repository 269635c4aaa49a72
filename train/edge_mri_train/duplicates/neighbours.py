"""Who is like whom: the duplicates of one image, copies of copies included, best first."""

from collections import defaultdict
from dataclasses import dataclass

from edge_mri_train.duplicates.search import Duplicates, Kind


@dataclass(frozen=True)
class Neighbour:
    """A duplicate of an image.

    Attributes:
        position: Which image.
        score: 1 for the same pixels, else the agreement of detail after registration.
        kind: `exact` or `near`.
    """

    position: int
    score: float
    kind: Kind


class Neighbours:
    """The exact and near duplicates of each image."""

    def __init__(self, duplicates: Duplicates) -> None:
        self._first = list(range(duplicates.count))
        for edge in duplicates.edges:
            if edge.kind == "exact":
                self._first[edge.b] = edge.a
        self._copies: dict[int, list[int]] = defaultdict(list)
        for position, first in enumerate(self._first):
            self._copies[first].append(position)
        self._near: dict[int, list[tuple[float, int]]] = defaultdict(list)
        for edge in duplicates.edges:
            if edge.kind == "near":
                self._near[edge.a].append((edge.score, edge.b))
                self._near[edge.b].append((edge.score, edge.a))

    def first(self, position: int) -> int:
        """Return the first image with the same pixels: the image itself, or what it copies."""
        return self._first[position]

    def of(self, position: int) -> list[Neighbour]:
        """Return the duplicates of an image, exact copies first, then by score."""
        first = self._first[position]
        found = [Neighbour(one, 1.0, "exact") for one in self._copies[first] if one != position]
        for score, other in sorted(self._near[first], reverse=True):
            found += [Neighbour(one, score, "near") for one in self._copies[other]]
        return found
