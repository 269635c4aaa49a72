"""From what a model's graph gives to what is said: the type, and whether to answer at all.

One rule for records and for evaluation, so that measured figures are those of the answers that
users get. The thresholds come from the model's contract.
"""

from collections.abc import Collection
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from edge_mri.errors import AnswerError
from edge_mri.labels import LabelSpace
from edge_mri.model.rejection import FOREIGN, Rejection

_ROUNDING = 1e-3  # what float32 probabilities may sum to beside 1
TUMOR_THRESHOLD = 0.5
"""P(present) at which a model without a threshold of its own says that something is there."""


@dataclass(frozen=True)
class Answers:
    """What a graph gives for N images.

    Attributes:
        probabilities: `(N, K)` float32 class probabilities, rows sum to 1.
        novelty: `(N,)` float32, how unlike the training images each is; None where the model
            does not measure it.
        lesion: `(N, 1, h, w)` float32, 0 to 1: how much of each cell a lesion covers, of the
            network's input; None where the model has no such map, or it was not asked for.
        cam: `(N, types, h, w)` float32, class activation maps of a model without a lesion map;
            None where it has none, or they were not asked for.
        foreign: `(N,)` float32, log odds that each is no brain MR slice; None where the model was
            not shown what such images are.
    """

    probabilities: NDArray[np.float32]
    novelty: NDArray[np.float32] | None = None
    lesion: NDArray[np.float32] | None = None
    cam: NDArray[np.float32] | None = None
    foreign: NDArray[np.float32] | None = None

    def faults(self) -> dict[int, str]:
        """Return which of the N images have no answer: the output that holds no numbers, by row.

        A novelty of plus infinity is one: as unlike the training images as can be. So are log odds
        of plus infinity.
        """
        sums = self.probabilities.sum(axis=1)
        usable = {"logits": (np.abs(sums - 1) <= _ROUNDING) & (self.probabilities.min(axis=1) >= 0)}
        for name, values in (("novelty", self.novelty), ("foreign", self.foreign)):
            if values is not None:
                usable[name] = values > -np.inf
        for name, values in (("lesion", self.lesion), ("cam", self.cam)):
            if values is not None:
                usable[name] = np.isfinite(values)
        return {
            row: name
            for name, good in reversed(usable.items())
            if np.count_nonzero(good) < good.size  # hardly ever
            for row in np.flatnonzero(~good.reshape(len(good), -1).all(axis=1)).tolist()
        }

    def without(self, rows: Collection[int]) -> "Answers":
        """Return it with numbers in some rows, so that the others can be decided."""
        if not rows:
            return self
        chosen = list(rows)
        values = {one.name: getattr(self, one.name) for one in fields(self)}
        there = {name: array.copy() for name, array in values.items() if array is not None}
        for name, array in there.items():
            array[chosen] = 1 / array.shape[1] if name == "probabilities" else 0
        return Answers(**there)


@dataclass(frozen=True)
class Decisions:
    """What is said of N images.

    Attributes:
        types: `(N,)` int64 columns of `LabelSpace.types`.
        by_type: `(N, types)` float32, probability of each type.
        tumor: `(N,)` float32, P(present): of any type but the absent one; None where the space
            has no absent type.
        foreign: `(N,)` whether the image is no brain MR slice as the model knows them.
        unfamiliar: `(N,)` whether it may be one, but unlike those that the model learned from;
            never where `foreign`.
        undecided: `(N,)` whether P(present) is too close to call; never where it is either.
    """

    types: NDArray[np.int64]
    by_type: NDArray[np.float32]
    tumor: NDArray[np.float32] | None
    foreign: NDArray[np.bool_]
    unfamiliar: NDArray[np.bool_]
    undecided: NDArray[np.bool_]

    @property
    def accepted(self) -> NDArray[np.bool_]:
        """`(N,)` whether there is an answer."""
        return ~(self.foreign | self.unfamiliar | self.undecided)

    def at(self, rows: NDArray[np.int64]) -> "Decisions":
        """Return what is said of some of the images."""
        return Decisions(
            self.types[rows],
            self.by_type[rows],
            None if self.tumor is None else self.tumor[rows],
            self.foreign[rows],
            self.unfamiliar[rows],
            self.undecided[rows],
        )


def decide(
    answers: Answers,
    labels: LabelSpace,
    tumor_threshold: float = TUMOR_THRESHOLD,
    rejection: Rejection | None = None,
    known_foreign: NDArray[np.bool_] | None = None,
) -> Decisions:
    """Decide N images.

    Where P(present) reaches the threshold the type is the most probable of all but the absent one,
    elsewhere the absent one. With several this is not always the most probable of all types.
    Without an absent type it always is, and no image is undecided.

    Args:
        answers: What the graph gave.
        labels: The classes of its columns.
        tumor_threshold: P(present) from which something is said to be there, 0 to 1.
        rejection: When not to answer; None: always answer. Where the model measures neither novelty
            nor what is foreign, no image counts as such.
        known_foreign: `(N,)` whether something else than the model says that an image is foreign,
            such as the header of its file; None: of no image.

    Raises:
        AnswerError: Some of what the graph gave are no numbers.
    """
    if faults := answers.faults():
        names = " and ".join(sorted(set(faults.values())))
        raise AnswerError.of(names, len(faults), len(answers.probabilities))
    return decide_usable(answers, labels, tumor_threshold, rejection, known_foreign)


def decide_usable(
    answers: Answers,
    labels: LabelSpace,
    tumor_threshold: float = TUMOR_THRESHOLD,
    rejection: Rejection | None = None,
    known_foreign: NDArray[np.bool_] | None = None,
) -> Decisions:
    """Decide N images whose answers are known to have no faults; see `decide`."""
    by_type = labels.type_probabilities(answers.probabilities)
    tumor: NDArray[np.float32] | None = None
    if labels.absent is not None:
        healthy = labels.types.index(labels.absent)
        tumor = np.maximum(1 - by_type[:, healthy], 0).astype(np.float32, copy=False)
        tumors = by_type.copy()
        tumors[:, healthy] = -1
        said = np.where(tumor >= np.float32(tumor_threshold), tumors.argmax(axis=1), healthy)
    else:
        said = by_type.argmax(axis=1)
    foreign = unfamiliar = undecided = np.zeros(len(by_type), bool)
    if known_foreign is not None:
        foreign = known_foreign
    if rejection is not None:
        low, high = rejection.undecided
        if answers.foreign is not None and rejection.max_foreign is not None:
            foreign = foreign | (answers.foreign > rejection.max_foreign)
        if answers.novelty is not None:
            unfamiliar = answers.novelty > rejection.max_novelty
        if rejection.novel == FOREIGN:
            foreign = foreign | unfamiliar
        unfamiliar = unfamiliar & ~foreign
        if low < high and tumor is not None:
            undecided = (tumor >= np.float32(low)) & (tumor <= np.float32(high))
            undecided = undecided & ~(foreign | unfamiliar)
    return Decisions(said, by_type, tumor, foreign, unfamiliar, undecided)
