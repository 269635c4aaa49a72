"""What a model says about one image: the record that every output format shares."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from edge_mri.answers.audit import Audit
from edge_mri.answers.decision import Answers, Decisions, decide_usable
from edge_mri.answers.location import Box, lesion_box
from edge_mri.errors import AnswerError
from edge_mri.images import Frame
from edge_mri.images.pixels.frame import SlicePosition
from edge_mri.images.preprocess import Placement
from edge_mri.model.contract import Contract
from edge_mri.storage.spelling import spelled, valid

Status = Literal["ok", "rejected", "error"]
Reason = Literal["foreign", "unfamiliar", "undecided"]

NOT_WRITTEN = frozenset({"series", "position", "unread", "present_key"})
"""Fields of a record that serve this process alone."""

PRESENT = "tumor_probability"
"""The field that is written under the `present_key` of the model's label space, or not at all."""


@dataclass(frozen=True)
class Prediction:
    """One record.

    Attributes:
        path: The file as it was given, or "" for bytes and arrays.
        status: `ok`; `rejected`, why is in `rejected` and the rest is what the model would have
            said; or `error` with a reason in `error` and None elsewhere.
        type: The most probable type but the absent one where P(present) reaches the model's
            threshold, else the absent one; the most probable where the model has no absent one.
        plane: The most probable plane; None for a model that knows no planes.
        type_probabilities: Probability of each type; they sum to 1.
        plane_probabilities: Probability of each plane; None for a model that knows no planes.
        tumor_probability: P(present), 0 to 1: of any type but the absent one; None for a model
            that has no absent type.
        novelty: How unlike the training images the image is, 0 or more; None for a model that
            does not measure it.
        box: Where the model suspects the lesion, `(x, y, width, height)` in pixels of the upright
            image; None without a lesion map, where nothing is found, and for `foreign` images.
            An explanation, not evidence.
        heatmap: Name of the picture of the map in the folder that was asked for; else None.
        rejected: `foreign`: no brain MR slice as the model knows them; `unfamiliar`: unlike the
            images that it learned from; `undecided`: P(present) is too close to call. None for
            other records.
        reason: Why it is foreign, in words, where something else than the model says so: the
            header of its file, or that it has only a handful of grey values; else None.
        error: Why there is no answer.
        frame: Which image of the file it is, from 1; None where the file holds one.
        series: What the slices of one DICOM series share, see `edge_mri.images.Frame`; for
            `edge_mri.answers.volumes`, not written.
        position: Where the slice lies in its volume, as the file tells it; likewise.
        unread: How many more images the file holds as an animation; for people, not written.
        audit: Where the record comes from; only when that was asked for.
        present_key: Under which key P(present) is written; None: not at all. Not written itself.
    """

    path: str
    status: Status
    type: str | None = None
    plane: str | None = None
    type_probabilities: dict[str, float] | None = None
    plane_probabilities: dict[str, float] | None = None
    tumor_probability: float | None = None
    novelty: float | None = None
    box: Box | None = None
    heatmap: str | None = None
    rejected: Reason | None = None
    reason: str | None = None
    error: str | None = None
    frame: int | None = None
    series: str | None = None
    position: SlicePosition | None = None
    unread: int = 0
    audit: Audit | None = None
    present_key: str | None = PRESENT

    def at(self, frame: Frame) -> "Prediction":
        """Return the record as that of a frame; a plane that the file itself tells goes first."""
        told = (frame.frame, frame.plane, frame.series, frame.position, frame.unread)
        if told == (None, None, None, None, 0):
            return self
        here = replace(
            self,
            frame=frame.frame,
            series=frame.series,
            position=frame.position,
            unread=frame.unread,
        )
        if self.status == "error":
            return here
        return replace(here, plane=frame.plane or self.plane)

    def to_dict(self) -> dict[str, Any]:
        """Return the record as JSON values; `audit` only where there is one.

        The path is spelled as `edge_mri.storage.spelling` does it.
        """
        values: dict[str, Any] = {
            key: getattr(self, name) for name in _WRITTEN if (key := self._key(name))
        }
        values["path"] = spelled(self.path)
        values["reason"] = self.reason and valid(self.reason)
        values["error"] = self.error and valid(self.error)
        if self.audit is not None:
            values["audit"] = self.audit.to_dict()
        return values

    def _key(self, name: str) -> str | None:
        return self.present_key if name == PRESENT else name

    @classmethod
    def failed(cls, path: str, reason: str, present_key: str | None = PRESENT) -> "Prediction":
        """Return the record of an image that could not be used."""
        return cls(path, "error", error=reason, present_key=present_key)


_WRITTEN = tuple(one.name for one in fields(Prediction) if one.name not in NOT_WRITTEN | {"audit"})


def softmax(logits: NDArray[np.float32], temperature: float = 1.0) -> NDArray[np.float32]:
    """Turn `(N, K)` logits into probabilities; a temperature above 1 makes them less sure.

    A row of logits that holds NaN or an infinity becomes one of NaN.
    """
    with np.errstate(invalid="ignore", over="ignore"):
        scaled: NDArray[np.float32] = logits / np.float32(temperature)
        finite = np.isfinite(scaled)
        if not finite.all():
            scaled[~finite.all(axis=1)] = np.nan
        scaled -= scaled.max(axis=1, keepdims=True)
        np.exp(scaled, out=scaled)
        scaled /= scaled.sum(axis=1, keepdims=True)
    return scaled


def predictions(
    paths: Sequence[str],
    answers: Answers,
    contract: Contract,
    places: Sequence[Placement] | None = None,
    *,
    reject: bool = True,
    reasons: Sequence[str | None] = (),
) -> list[Prediction]:
    """Turn a graph's answers into records; `error` ones where it gives no numbers.

    Args:
        paths: N files, or "".
        answers: What the graph gave for them.
        contract: Of the graph.
        places: Where the N images lie in the network's input; None: no boxes.
        reject: False: answer every image, whatever the contract's rejection and `reasons` say.
        reasons: Why each image is foreign, whatever the graph gave for it; None where only the
            contract decides. Empty: of no image.
    """
    if not reject or not reasons:
        reasons = [None] * len(paths)
    labels = contract.labels
    faults = answers.faults()
    answers = answers.without(faults)
    decisions = decide_usable(
        answers,
        labels,
        contract.tumor_threshold,
        contract.rejection if reject else None,
        np.array([reason is not None for reason in reasons], bool),
    )
    # As lists: asking an array for one number after another takes longer than the numbers.
    types = _rounded(decisions.by_type)
    by_plane = labels.plane_probabilities(answers.probabilities)
    planes = None if by_plane is None else _rounded(by_plane)
    highest = [] if by_plane is None else by_plane.argmax(axis=1).tolist()
    chosen = decisions.types.tolist()
    tumor = None if decisions.tumor is None else decisions.tumor.tolist()
    why = _why(decisions)
    novelty = None if answers.novelty is None else answers.novelty.tolist()
    present_key = labels.present_key
    records = []
    for row, path in enumerate(paths):
        if row in faults:
            reason = AnswerError.reason(faults[row])
            records.append(Prediction.failed(path, reason, present_key))
            continue
        rejected = why.get(row)
        said = labels.types[chosen[row]]
        box: Box | None = None
        suspected = said != labels.absent and rejected != "foreign"
        if suspected and places is not None and answers.lesion is not None:
            box = lesion_box(answers.lesion[row, 0], places[row])
        records.append(
            Prediction(
                path=path,
                status="rejected" if rejected else "ok",
                type=said,
                plane=None if planes is None else labels.planes[highest[row]],
                type_probabilities=dict(zip(labels.types, types[row], strict=True)),
                plane_probabilities=(
                    None if planes is None else dict(zip(labels.planes, planes[row], strict=True))
                ),
                tumor_probability=None if tumor is None else _number(tumor[row]),
                novelty=None if novelty is None else _number(novelty[row]),
                box=box,
                rejected=rejected,
                reason=reasons[row],
                present_key=present_key,
            )
        )
    return records


def _why(decisions: Decisions) -> dict[int, Reason]:
    """Return why there is no answer, by row of those that have none."""
    rows: dict[Reason, NDArray[np.bool_]] = {
        "foreign": decisions.foreign,
        "unfamiliar": decisions.unfamiliar,
        "undecided": decisions.undecided,
    }
    return {row: reason for reason, there in rows.items() for row in np.flatnonzero(there).tolist()}


def _rounded(values: NDArray[np.float32]) -> list[list[float]]:
    """Return what `round(value, 6)` gives for each: the product with 10**6 is exact in 64 bits."""
    rounded: list[list[float]] = values.astype(np.float64).round(6).tolist()
    return rounded


def _number(value: float) -> float | None:
    """Return a JSON number; None for what JSON has none for."""
    return round(value, 6) if math.isfinite(value) else None
