"""Which pairs of images are worth a closer look: nearest neighbours among descriptors.

Each image asks with its whole descriptor in 8 orientations, among whole images and among crops of
them; both sides of a pair are asked, so that a crop finds the image it was cut from and the other
way round. Small sets are compared one by one, large ones through an inverted file (Sivic and
Zisserman 2003) in faiss: the time grows as n sqrt(n) with a small factor, the memory as n.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from edge_mri.process.worker_pool import WorkerPool
from edge_mri.process.workers import available_threads
from edge_mri.terminal.progress import Progress
from edge_mri_train.duplicates.descriptors import (
    SCALE,
    SIZE,
    SYMMETRIES,
    VIEWS,
    describe,
    describe_views,
    turn_descriptors,
)

_LEAST_LIKENESS = 0.82  # cosine of two descriptors
_ASKED_WHOLE, _ASKED_CROP = 6, 24  # hits per image and orientation
_KEPT_WHOLE, _KEPT_CROP = 5, 6  # hits per image, the best of all orientations

_SINGLY_BELOW = 5_000  # vectors; fewer are compared one by one
_PROBES = 8  # lists of the inverted file that are scanned
_SAMPLES_PER_LIST = 64  # vectors that place the centre of a list
_ROUNDS = 8  # of the k-means that places the centres
_SEED = 0
_STORED_SIZE = -(-SIZE // 8) * 8  # faiss reads float16 eight at a time
_CHUNK = 4096  # images at a time

Images = NDArray[Any] | Sequence[NDArray[Any]]
"""N square images of one size: `(N, S, S)`, or N of `(S, S)`."""


@dataclass(frozen=True, slots=True)
class Candidates:
    """Pairs of images, as arrays of one length P: `moving`, turned, looks like a view of `target`.

    Attributes:
        moving: `(P,)` int64 positions of images.
        symmetry: `(P,)` int8, how `moving` is turned.
        view: `(P,)` int8, the view of `target`.
        target: `(P,)` int64 positions of images.
        likeness: `(P,)` float32 cosines of the two descriptors.
    """

    moving: NDArray[np.int64]
    symmetry: NDArray[np.int8]
    view: NDArray[np.int8]
    target: NDArray[np.int64]
    likeness: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.moving)

    def __getitem__(self, chosen: NDArray[Any]) -> "Candidates":
        return Candidates(*(getattr(self, field.name)[chosen] for field in fields(self)))

    @classmethod
    def concatenate(cls, parts: Sequence["Candidates"]) -> "Candidates":
        """Return the pairs of one or more parts."""
        columns = (field.name for field in fields(cls))
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in columns))

    def best(self, keys: NDArray[np.int64]) -> "Candidates":
        """Return the most alike pair of each key; `keys` is `(P,)`."""
        order = np.lexsort((self.moving, self.view, self.symmetry, -self.likeness, keys))
        return self[order[np.diff(keys[order], prepend=-1) != 0]]


class Layer:
    """An index of whole images, or of all views of images but the whole one."""

    def __init__(self, images: Images, *, of_crops: bool = False) -> None:
        """Index small images."""
        self._views = range(1, VIEWS) if of_crops else range(1)
        self._index = self._trained(images)
        for stack in _stacks(images):
            self._index.add(self._described(stack))

    def hits(
        self, questions: NDArray[np.float32], symmetry: int, asked: int, least: float
    ) -> Candidates:
        """Find what is like the descriptors of images turned by a symmetry.

        Args:
            questions: `(Q, SIZE)`; their positions become those of the moving images.
            symmetry: 0 to 7.
            asked: Hits for each question, at most.
            least: Likeness of a hit, at least.
        """
        asked = min(asked, self._index.ntotal)
        products, found = self._index.search(_stored(questions), asked)
        likeness = products / np.float32(SCALE**2)
        alike = (found >= 0) & (likeness >= least)
        target, view = np.divmod(found[alike], len(self._views))
        return Candidates(
            moving=np.nonzero(alike)[0],
            symmetry=np.full(len(target), symmetry, np.int8),
            view=(view + self._views.start).astype(np.int8),
            target=target,
            likeness=likeness[alike],
        )

    def _trained(self, images: Images) -> faiss.Index:
        """Return an empty index; one for many vectors learns where its lists lie."""
        count = len(images) * len(self._views)
        centres = faiss.IndexFlatIP(_STORED_SIZE)
        if count < _SINGLY_BELOW:
            return centres
        lists = int(2 ** np.round(np.log2(2 * np.sqrt(count))))
        index = faiss.IndexIVFScalarQuantizer(
            centres,
            _STORED_SIZE,
            lists,
            faiss.ScalarQuantizer.QT_fp16,  # holds whole numbers to 2048 exactly
            faiss.METRIC_INNER_PRODUCT,
            False,
        )
        index.nprobe = _PROBES
        index.cp.seed, index.cp.niter = _SEED, _ROUNDS
        index.cp.min_points_per_centroid = 1
        index.cp.max_points_per_centroid = _SAMPLES_PER_LIST
        sample = images[:: max(1, count // (_SAMPLES_PER_LIST * lists))]
        index.train(np.concatenate([self._described(stack) for stack in _stacks(sample)]))
        return index

    def _described(self, stack: NDArray[Any]) -> NDArray[np.float32]:
        if len(self._views) == 1:
            return _stored(describe(stack))
        return _stored(describe_views(stack)[:, self._views.start :].reshape(-1, SIZE))


def search_pool() -> WorkerPool:
    """Return a pool for calls of faiss: one on each core, of one thread each.

    One thread a call fixes the order of faiss's sums, so that every machine gets the same answer.
    """
    return WorkerPool(available_threads(), initializer=faiss.omp_set_num_threads, initargs=(1,))


def find_candidates(thumbnails: Sequence[NDArray[np.uint8]], progress: Progress) -> Candidates:
    """Return the pairs that may be duplicates, each pair of images once.

    The same thumbnails in the same order give the same pairs, with any number of cores.

    Args:
        thumbnails: N, one or more, of `(64, 64)` uint8.
        progress: Told of each few thousand images.
    """
    count = len(thumbnails)
    wholes = np.concatenate([describe(stack) for stack in _stacks(thumbnails)])
    parts = []
    with search_pool() as pool:
        whole, crop = pool.map(lambda crops: Layer(thumbnails, of_crops=crops), (False, True))

        def search(start: int) -> Candidates:
            hits = ask(whole, crop, wholes[start : start + _CHUNK])
            hits = replace(hits, moving=hits.moving + start)
            return strongest(hits[hits.moving != hits.target], count)

        starts = range(0, count, _CHUNK)
        with progress.bar("search", len(starts)) as step:
            for part in pool.map(search, starts):
                parts.append(part)
                step()
    pairs = Candidates.concatenate(parts)
    first, second = np.minimum(pairs.moving, pairs.target), np.maximum(pairs.moving, pairs.target)
    return pairs.best(first * count + second)


def ask(whole: Layer, crop: Layer, questions: NDArray[np.float32]) -> Candidates:
    """Find the images that `(Q, SIZE)` descriptors of whole images are like, in 8 orientations."""
    return Candidates.concatenate(
        [
            layer.hits(turn_descriptors(questions, symmetry), symmetry, asked, _LEAST_LIKENESS)
            for layer, asked in ((whole, _ASKED_WHOLE), (crop, _ASKED_CROP))
            for symmetry in range(SYMMETRIES)
        ]
    )


def strongest(hits: Candidates, count: int) -> Candidates:
    """Return the best pairs of each moving image: so many on wholes, so many on crops.

    Args:
        hits: Pairs, of which some may join the same images.
        count: Images among which the targets are.
    """
    hits = hits.best(hits.moving * count + hits.target)
    is_crop = hits.view > 0
    side = hits.moving * 2 + is_crop
    order = np.lexsort((hits.target, -hits.likeness, side))
    ordered = side[order]
    rank = np.arange(len(order)) - np.searchsorted(ordered, ordered)
    return hits[order[rank < np.where(is_crop[order], _KEPT_CROP, _KEPT_WHOLE)]]


def _stacks(images: Images) -> Iterator[NDArray[Any]]:
    """Yield images as `(M, S, S)`, a few thousand at a time."""
    for start in range(0, len(images), _CHUNK):
        yield np.asarray(images[start : start + _CHUNK])


def _stored(descriptors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return `(N, SIZE)` descriptors with zeros up to the size that is stored."""
    return np.pad(descriptors, ((0, 0), (0, _STORED_SIZE - SIZE)))
