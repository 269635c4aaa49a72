"""In which order an epoch sees the images, and how often which."""

import math
from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from edge_mri.labels import Label, LabelSpace
from edge_mri.remote.url import Place
from edge_mri_train.learning.loss import balanced_weights
from edge_mri_train.settings.config import TrainConfig


class Order:
    """The batches of each epoch, which follow from the seed and its number.

    Args:
        labels: N labels of the training images.
        sets: N folders of the sets they belong to.
        config: Sampler, class weights, batch size, seed.
        space: Of the labels; None: the default one.

    Attributes:
        steps: Batches an epoch.
        loss_weights: `(N,)` float, weight of each image in the loss.
    """

    def __init__(
        self,
        labels: Sequence[Label],
        sets: Sequence[Place],
        config: TrainConfig,
        space: LabelSpace | None = None,
    ) -> None:
        space = space or LabelSpace()
        parts = [space.is_present(label) is False for label in labels]
        self._count = len(labels)
        self._config = config
        self.steps = max(len(labels) // config.batch_size, 1)
        balanced = balanced_weights(labels)
        self.loss_weights = torch.ones(len(labels)) if config.class_weights == "none" else balanced
        draws = {
            "shuffle": torch.ones(len(labels)),
            "weighted": balanced,
            "sets": _evened_sets(parts, sets),
        }[config.sampler]
        free = torch.tensor(parts)
        shares_free = config.tumor_free is not None and bool(free.any()) and not bool(free.all())
        if shares_free and config.tumor_free is not None:
            shares = torch.where(free, config.tumor_free, 1 - config.tumor_free)
            draws = draws * shares / torch.where(free, draws[free].sum(), draws[~free].sum())
        self._draws = draws
        self._is_plain = config.sampler == "shuffle" and not shares_free

    def batches(self, epoch: int) -> Iterator[NDArray[np.int64]]:
        """Yield the positions of the images in each batch of an epoch."""
        config = self._config
        generator = torch.Generator().manual_seed(1_000_003 * config.seed + epoch)
        if self._is_plain:
            order = torch.randperm(self._count, generator=generator)
        else:
            order = torch.multinomial(
                self._draws, self._count, replacement=True, generator=generator
            )
        for batch in torch.split(order, config.batch_size)[: self.steps]:
            yield batch.numpy()


def _evened_sets(parts: Sequence[bool], sets: Sequence[Place]) -> torch.Tensor:
    """Return `(N,)` float weights, mean 1, with which a set counts as the root of its images.

    Between all images alike, where the largest set decides, and all sets alike, where the images of
    the smallest are learned by heart. Images of the absent type are one part, the others another.
    """
    images = Counter(parts)
    of_set = Counter(zip(parts, sets, strict=True))
    roots: Counter[bool] = Counter()
    for (part, _), count in of_set.items():
        roots[part] += math.sqrt(count)  # type: ignore[assignment]
    return torch.tensor(
        [
            images[part] / (roots[part] * math.sqrt(of_set[part, one]))
            for part, one in zip(parts, sets, strict=True)
        ]
    )
