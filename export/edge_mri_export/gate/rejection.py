"""When a model does not answer: the novelty gate and the interval that is too close to call.

Both are chosen on validation images alone. The score itself is `edge_mri_export.gate.novelty`; the
runtime applies what is written here.
"""

from dataclasses import replace
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from edge_mri.answers.decision import Answers, decide
from edge_mri.answers.prediction import softmax
from edge_mri.errors import AnswerError
from edge_mri.model.contract import Contract, Rejection
from edge_mri_export.gate.novelty import NOVELTY, add_novelty
from edge_mri_export.graph.graph import LOGITS, PIXELS
from edge_mri_export.graph.work import images_at_once
from edge_mri_export.guard.answers import in_batches, memory_session

LEAST_TRAINING_IMAGES = 200
LEAST_VALIDATION_IMAGES = 100
TRAINING_IMAGES = 4000
"""More do not move the fit."""

KEPT_BY_NOVELTY = 0.99
KEPT = 0.985
"""Share of the validation images that are answered, novelty and interval together."""

_WIDEST_LOGIT = float(np.log(9))
"""P from 0.1 to 0.9 around an operating point of 0.5; a model that is never in doubt on
validation images would get an interval of nearly everything."""
_LEAST = 1e-6


def with_rejection(
    model: onnx.ModelProto,
    contract: Contract,
    training: NDArray[np.uint8],
    validation: NDArray[np.uint8],
) -> tuple[onnx.ModelProto, Contract]:
    """Return the model with a `novelty` output, and its contract with what is rejected.

    Args:
        model: `pixels (N, 1, S, S) uint8` to `logits`, FP32 or quantised.
        contract: Its contract.
        training: `(M, 1, S, S)` uint8, at least 200, for what is known.
        validation: `(L, 1, S, S)` uint8, at least 100, for what is too far from it.
    """
    extended = add_novelty(model, training, contract.name)
    logits, novelty = measure(extended, validation)
    if not np.isfinite(logits).all():
        return extended, contract  # the guard refuses such a file, and says more of it
    return extended, replace(contract, rejection=choose_rejection(novelty, logits, contract))


def measure(
    model: onnx.ModelProto, pixels: NDArray[np.uint8]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the `(M, K)` logits and `(M,)` novelty of `(M, 1, S, S)` images."""
    session, count = memory_session(model), images_at_once(model)
    logits, novelty = in_batches(session, [LOGITS, NOVELTY], PIXELS, pixels, count)
    return logits, novelty


def choose_rejection(
    novelty: NDArray[np.float32], logits: NDArray[np.float32], contract: Contract
) -> Rejection:
    """Choose what is rejected, from a model's `(M,)` novelty and `(M, K)` logits on validation.

    `max_novelty` keeps 99 % of the images. `undecided` is the widest interval, symmetric around
    the operating point in logits and from 1:9 to 9:1 at most, with which 98.5 % are answered.

    Raises:
        AnswerError: The novelty of some images is no number.
    """
    wrong = int((~np.isfinite(novelty)).sum())
    if wrong:
        raise AnswerError.of("novelty", wrong, len(novelty))
    limit = float(np.quantile(novelty, KEPT_BY_NOVELTY, method="higher"))
    interval = _undecided(logits[novelty <= limit], int(np.ceil(KEPT * len(novelty))), contract)
    gate = Rejection(limit, interval, 1.0, len(novelty))
    return replace(gate, kept=float(answered(novelty, logits, contract, gate).mean()))


def answered(
    novelty: NDArray[np.float32], logits: NDArray[np.float32], contract: Contract, gate: Rejection
) -> NDArray[np.bool_]:
    """Return which of M images the runtime answers with a gate."""
    given = Answers(softmax(logits, contract.temperature), novelty)
    return decide(given, contract.labels, contract.tumor_threshold, gate).accepted


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
