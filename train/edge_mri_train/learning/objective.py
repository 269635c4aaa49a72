"""What a training step minimises.

Every network: the marginal likelihood of the labels. A network with a lesion map also: the
outlines, cell by cell, where they are known. With teachers: their answers to the same augmented
images, and their features.
"""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

from edge_mri_train.learning.batches import Batch
from edge_mri_train.learning.hints import Hints
from edge_mri_train.learning.loss import marginal_loss
from edge_mri_train.networks.lesion_network import STRIDE, LesionAnswer, LesionNetwork

_LESION_CELL_WEIGHT = 4.0  # lesions cover few cells


@dataclass(frozen=True)
class Weights:
    """Shares of the loss.

    Attributes:
        labels: Marginal likelihood of the labels.
        lesion: Outlines of lesions.
        teacher: The teachers' answers.
        teacher_map: Their lesion maps, within their answers.
        features: Their features.
        smoothing: Of the labels, 0 to 1.
        temperature: Softens the classes of teachers and student (Hinton et al. 2015).
    """

    labels: float = 1.0
    lesion: float = 0.0
    teacher: float = 0.0
    teacher_map: float = 1.0
    features: float = 0.0
    smoothing: float = 0.0
    temperature: float = 2.0


class Objective(nn.Module):
    """The loss of a network on a batch; a module, so that DistributedDataParallel can wrap it.

    Args:
        network: What is trained.
        weights: Shares of the loss.
        teachers: Networks of the same label space; they stay as they are.
        hints: Between the network and the teachers; needed where features have a share.
    """

    def __init__(
        self,
        network: nn.Module,
        weights: Weights,
        teachers: Sequence[nn.Module] = (),
        hints: Hints | None = None,
    ) -> None:
        super().__init__()
        self.network = network
        self.hints = hints
        self._weights = weights
        self._teachers = [teacher.eval() for teacher in teachers]  # a plain list: not ours to train

    def forward(self, batch: Batch) -> torch.Tensor:
        """Return the loss, a scalar."""
        with nullcontext() if self.hints is None else self.hints.watching():
            return self._loss(batch)

    def _loss(self, batch: Batch) -> torch.Tensor:
        images = batch.images.contiguous(memory_format=torch.channels_last)
        weights = self._weights
        answer = self.network.answer(images) if isinstance(self.network, LesionNetwork) else None
        logits = self.network(images) if answer is None else answer.log_probabilities()
        logits = logits.float()
        loss = weights.labels * marginal_loss(
            logits, batch.allowed, weights.smoothing, batch.weights, (batch.others, batch.shares)
        )
        if answer is not None and weights.lesion:
            loss = loss + weights.lesion * lesion_loss(answer.lesion.float(), batch)
        if self._teachers:
            loss = loss + weights.teacher * self._teacher_loss(images, logits, answer)
        if self.hints is not None:
            loss = loss + weights.features * self.hints()
        return loss

    def _teacher_loss(
        self, images: torch.Tensor, logits: torch.Tensor, answer: LesionAnswer | None
    ) -> torch.Tensor:
        heat = self._weights.temperature
        classes, maps = [], []
        with torch.no_grad():
            for teacher in self._teachers:
                if isinstance(teacher, LesionNetwork):
                    theirs = teacher.answer(images)
                    maps.append(theirs.lesion.float().sigmoid())
                    classes.append((theirs.log_probabilities().float() / heat).softmax(dim=1))
                else:
                    classes.append((teacher(images).float() / heat).softmax(dim=1))
        loss = heat**2 * functional.kl_div(
            (logits / heat).log_softmax(dim=1),
            torch.stack(classes).mean(dim=0),
            reduction="batchmean",
        )
        if answer is not None and maps and self._weights.teacher_map:
            cells = functional.binary_cross_entropy_with_logits(
                answer.lesion.float(), torch.stack(maps).mean(dim=0)
            )
            loss = loss + self._weights.teacher_map * _LESION_CELL_WEIGHT * cells
        return loss


def lesion_loss(lesion: torch.Tensor, batch: Batch) -> torch.Tensor:
    """Return the mean cross entropy of the map's cells, over images whose lesion is known.

    A cell is to say how much of it the lesion covers, so that an edge between the centres of cells
    can be told from the map. Of an image blended in by mixup it learns that times its opacity.

    Args:
        lesion: `(N, 1, S/8, S/8)` log odds.
        batch: The images.
    """
    covered = functional.avg_pool2d(batch.masks, STRIDE).to(lesion.dtype)
    weight = 1 + (_LESION_CELL_WEIGHT - 1) * covered
    cells = functional.binary_cross_entropy_with_logits(
        lesion, covered, weight, reduction="none"
    ).mean(dim=(1, 2, 3))
    known = batch.outlined.to(cells.dtype)
    return (cells * known).sum() / known.sum().clamp(min=1)
