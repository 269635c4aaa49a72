"""Batches of augmented images, made in threads while the network trains on the one before.

Every image's changes follow from the seed, the epoch and its place in the epoch alone: neither the
number of threads or processes nor a resumed run changes them.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from edge_mri.labels import LabelSpace
from edge_mri.process.worker_pool import WorkerPool
from edge_mri.process.workers import available_threads
from edge_mri_train.augmentation.pipeline import Augmentation
from edge_mri_train.learning.ranks import Ranks
from edge_mri_train.learning.slices import Slices

_AHEAD = 4  # batches


@dataclass(frozen=True)
class Batch:
    """N images as a training step sees them.

    Attributes:
        images: `(N, 1, S, S)` float in 0..1.
        allowed: `(N, K)` bool, the classes that each label allows.
        masks: `(N, 1, S, S)` float in 0..1, where a lesion is; 0 where that is not known.
        outlined: `(N,)` bool, whether it is known.
        weights: `(N,)` float, weight of each image in the loss.
        others: `(N, K)` bool, what the label of the image it was mixed with allows; `allowed` again
            for an image by itself.
        shares: `(N,)` float in 0..1, share of `allowed` in the loss; `others` has the rest.
    """

    images: torch.Tensor
    allowed: torch.Tensor
    masks: torch.Tensor
    outlined: torch.Tensor
    weights: torch.Tensor
    others: torch.Tensor
    shares: torch.Tensor

    def to(self, device: torch.device) -> "Batch":
        """Return the batch on a device."""
        return Batch(
            *(
                one.to(device, non_blocking=True)
                for one in (
                    self.images,
                    self.allowed,
                    self.masks,
                    self.outlined,
                    self.weights,
                    self.others,
                    self.shares,
                )
            )
        )


class Batches:
    """The training images, changed anew each epoch.

    Args:
        slices: The images.
        space: The classes.
        augmentation: What changes them.
        weights: `(N,)` weight of each image in the loss.
        seed: Of the changes.
    """

    def __init__(
        self,
        slices: Slices,
        space: LabelSpace,
        augmentation: Augmentation,
        weights: torch.Tensor,
        seed: int,
    ) -> None:
        self._slices = slices
        self._allowed = slices.allowed(space)
        self._any_tumor = np.array([one.type != space.absent for one in space.classes])
        self._planes = max(len(space.planes), 1)
        self._augmentation = augmentation
        self._weights = weights.numpy()
        self._seed = seed

    def epoch(
        self, epoch: int, batches: Iterable[NDArray[np.int64]], ranks: Ranks
    ) -> Iterator[Batch]:
        """Yield the batches of an epoch.

        Args:
            epoch: Its number.
            batches: Positions of the images in each batch.
            ranks: Of each batch, this process's part is made.
        """
        with WorkerPool(available_threads(), "batches") as pool:
            pending: deque[Future[Batch]] = deque()
            try:
                for number, positions in enumerate(batches):
                    seed = (self._seed, epoch, number)
                    pending.append(pool.submit(self._batch, seed, positions, ranks))
                    if len(pending) >= _AHEAD:
                        yield pending.popleft().result()
                while pending:
                    yield pending.popleft().result()
            finally:
                for future in pending:
                    future.cancel()

    def _batch(self, seed: tuple[int, ...], whole: NDArray[np.int64], ranks: Ranks) -> Batch:
        places = range(ranks.rank, len(whole), ranks.count)
        positions = whole[places.start :: places.step]
        views = [
            self._augmentation(self._slices.view(position), np.random.default_rng((*seed, place)))
            for place, position in zip(places, positions.tolist(), strict=True)
        ]
        allowed = self._allowed[positions].copy()
        others = allowed.copy()
        for row, view in enumerate(views):
            if view.donor is not None:
                others[row] = self._allowed[view.donor]
            if view.is_pasted or view.is_healed:
                for labels in (allowed, others):
                    labels[row] = self._changed(labels[row], tumor=view.is_pasted)
        size = views[0].image.shape
        unknown = np.zeros(size, np.float32)
        return Batch(
            torch.from_numpy(np.stack([view.image for view in views])[:, np.newaxis]),
            torch.from_numpy(allowed),
            torch.from_numpy(
                np.stack([unknown if view.mask is None else view.mask for view in views])[
                    :, np.newaxis
                ]
            ),
            torch.tensor([view.mask is not None for view in views]),
            torch.from_numpy(self._weights[positions]),
            torch.from_numpy(others),
            torch.tensor([view.share for view in views]),
        )

    def _changed(self, allowed: NDArray[np.bool_], *, tumor: bool) -> NDArray[np.bool_]:
        """Return the classes of an image that got or lost a lesion, in the plane it had."""
        planes = allowed.reshape(-1, self._planes).any(axis=0)
        types = self._any_tumor if tumor else ~self._any_tumor
        changed: NDArray[np.bool_] = types & np.tile(planes, len(allowed) // self._planes)
        return changed
