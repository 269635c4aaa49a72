"""When a model does not answer: what is foreign, unfamiliar or too close to call.

All limits are chosen on validation images alone. The scores are `edge_mri_export.gate.foreign` and
`edge_mri_export.gate.novelty`; the runtime applies what is written here.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import onnx
from numpy.typing import NDArray

from edge_mri.answers.decision import Answers, decide
from edge_mri.answers.prediction import softmax
from edge_mri.errors import AnswerError
from edge_mri.model.contract import Contract
from edge_mri.model.rejection import UNFAMILIAR, Rejection
from edge_mri_export.gate.changed import augmented, extracted
from edge_mri_export.gate.foreign import FOREIGN, add_foreign
from edge_mri_export.gate.images import GateImages
from edge_mri_export.gate.novelty import NOVELTY, add_novelty
from edge_mri_export.graph.graph import LOGITS, PIXELS
from edge_mri_export.graph.work import images_at_once
from edge_mri_export.guard.answers import in_batches, memory_session

LEAST_TRAINING_IMAGES = 200
LEAST_VALIDATION_IMAGES = 100
TRAINING_IMAGES = 4000
"""More do not move the fit."""

CHANGED_IMAGES = 300
"""Of each source, as the training's augmentation and extraction show them."""

KEPT_BY_NOVELTY = 0.99
KEPT_AS_BRAIN = 0.99
LEAST_OF_A_SOURCE = 100
"""Images of a source that has a say in what is foreign."""
FURTHER = 1.5
"""Times the limit of novelty where something else tells what is foreign."""
KEPT = 0.985
"""Share of the validation images that are answered, everything together."""

_WIDEST_LOGIT = float(np.log(9))
"""P from 0.1 to 0.9 around an operating point of 0.5; a model that is never in doubt on
validation images would get an interval of nearly everything."""
_LEAST = 1e-6


class Measured(NamedTuple):
    """What a graph gives for M images, as far as the gate needs it.

    Attributes:
        logits: `(M, K)` float32.
        novelty: `(M,)` float32.
        foreign: `(M,)` float32 log odds; None where it does not know what is foreign.
    """

    logits: NDArray[np.float32]
    novelty: NDArray[np.float32]
    foreign: NDArray[np.float32] | None = None


def with_rejection(
    model: onnx.ModelProto, contract: Contract, images: GateImages
) -> tuple[onnx.ModelProto, Contract]:
    """Return the model with a `novelty` output, and its contract with what is rejected.

    Where foreign images are shown, there is an output `foreign` too.

    Args:
        model: `pixels (N, 1, S, S) uint8` to `logits`, FP32 or quantised.
        contract: Its contract.
        images: What is known, at least 200 images; what the limits are chosen on, at least 100;
            and what is foreign.
    """
    brains = dict(images.training)
    cut = extracted(brains, CHANGED_IMAGES)
    extended = add_novelty(model, brains | cut | augmented(brains, CHANGED_IMAGES), contract.name)
    if images.foreign:
        extended = add_foreign(extended, brains | cut, images.foreign, contract.name)
    plain, bare = (
        [measure(extended, pixels) for pixels in groups.values()]
        for groups in (images.validation, extracted(images.validation, CHANGED_IMAGES))
    )
    if not all(np.isfinite(one.logits).all() for one in plain):
        return extended, contract  # the guard refuses such a file, and says more of it
    return extended, replace(contract, rejection=choose_rejection(plain, contract, bare))


def measure(model: onnx.ModelProto, pixels: NDArray[np.uint8]) -> Measured:
    """Return what a graph gives for `(M, 1, S, S)` images."""
    session, count = memory_session(model), images_at_once(model)
    there = {output.name for output in model.graph.output}
    names = [LOGITS, NOVELTY, *([FOREIGN] if FOREIGN in there else [])]
    return Measured(*in_batches(session, names, PIXELS, pixels, count))


def choose_rejection(
    plain: Sequence[Measured], contract: Contract, bare: Sequence[Measured] = ()
) -> Rejection:
    """Choose what is rejected, from what a model gives for validation images.

    The first two as `limits` says; `undecided` is the widest interval, symmetric around the
    operating point in logits and from 1:9 to 9:1 at most, with which 98.5 % are answered.

    Args:
        plain: For the images of each source.
        contract: Of the model.
        bare: For such images with skull and scalp blacked out; empty: not looked at.

    Raises:
        AnswerError: The novelty of some images is no number, or their log odds are none.
    """
    given = _joined(plain)
    both = [given, _joined(bare)] if bare else [given]
    for name in (NOVELTY, FOREIGN):
        values = [getattr(one, name) for one in both if getattr(one, name) is not None]
        wrong = sum(int((~np.isfinite(one)).sum()) for one in values)
        if wrong:
            raise AnswerError.of(name, wrong, sum(map(len, values)))
    max_novelty, max_foreign = limits(
        [one.novelty for one in both],
        [one.foreign for one in (*plain, *bare) if one.foreign is not None],
    )
    gate = Rejection(
        max_novelty,
        (contract.tumor_threshold,) * 2,
        1.0,
        len(given.novelty),
        max_foreign,
        UNFAMILIAR,
    )
    left = given.logits[answered(given, contract, gate)]
    interval = _undecided(left, int(np.ceil(KEPT * len(given.logits))), contract)
    gate = replace(gate, undecided=interval)
    return replace(gate, kept=float(answered(given, contract, gate).mean()))


def limits(
    novelty: Sequence[NDArray[np.float32]], odds: Sequence[NDArray[np.float32]]
) -> tuple[float, float | None]:
    """Return `max_novelty` and `max_foreign`, from brain images as they are and extracted.

    `max_novelty` keeps 99 % of each group. Where something tells what is foreign, it is half as far
    again: an image need not be as those of the training then, and of sources that the distance was
    not fitted to this keeps 99 % too. `max_foreign` keeps 99 % of all, and of each source of 100
    images or more.

    Args:
        novelty: Of the images as they are, and of the extracted ones.
        odds: Log odds of the images of each source, and of the extracted ones of each; empty:
            nothing tells what is foreign.
    """
    limit = max(_keeping(one, KEPT_BY_NOVELTY) for one in novelty)
    if not odds:
        return limit, None
    groups = [np.concatenate(odds), *(one for one in odds if len(one) >= LEAST_OF_A_SOURCE)]
    return FURTHER * limit, max(_keeping(one, KEPT_AS_BRAIN) for one in groups)


def answered(given: Measured, contract: Contract, gate: Rejection) -> NDArray[np.bool_]:
    """Return which of M images the runtime answers with a gate."""
    answers = Answers(
        softmax(given.logits, contract.temperature), given.novelty, foreign=given.foreign
    )
    return decide(answers, contract.labels, contract.tumor_threshold, gate).accepted


def outputs_of(gate: Rejection) -> tuple[str, ...]:
    """Return the names of the outputs that a gate looks at."""
    return (NOVELTY,) if gate.max_foreign is None else (NOVELTY, FOREIGN)


def _joined(parts: Sequence[Measured]) -> Measured:
    odds = [one.foreign for one in parts if one.foreign is not None]
    return Measured(
        np.concatenate([one.logits for one in parts]),
        np.concatenate([one.novelty for one in parts]),
        np.concatenate(odds) if odds else None,
    )


def _keeping(values: NDArray[np.float32], share: float) -> float:
    return float(np.quantile(values, share, method="higher"))


def tumor_probability(
    logits: NDArray[np.float32], contract: Contract
) -> NDArray[np.float32] | None:
    """Return `(M,)` P(present) of `(M, K)` logits, as the runtime has it; None: no such thing."""
    return decide(Answers(softmax(logits, contract.temperature)), contract.labels).tumor


def _undecided(logits: NDArray[np.float32], needed: int, contract: Contract) -> tuple[float, float]:
    """Return the widest interval that leaves `needed` of the images outside."""
    threshold = contract.tumor_threshold
    spare = len(logits) - needed
    present = tumor_probability(logits, contract)
    if present is None or not 0 < threshold < 1 or spare <= 0:
        return threshold, threshold
    centre = float(_logit(np.array(threshold)))
    distance = np.sort(np.abs(_logit(present) - centre))
    width = min(float(distance[spare]) * (1 - _LEAST), _WIDEST_LOGIT)
    low, high = (1 / (1 + np.exp(-(centre + side))) for side in (-width, width))
    return float(low), float(high)


def _logit(probability: NDArray[Any]) -> NDArray[np.float64]:
    inside = np.clip(probability.astype(np.float64), _LEAST, 1 - _LEAST)
    logit: NDArray[np.float64] = np.log(inside / (1 - inside))
    return logit
