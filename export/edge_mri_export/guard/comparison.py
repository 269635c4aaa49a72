"""Two models' answers to the same images compared: by the logits, by the labels, by the maps.

What a model says of images is `edge_mri_export.guard.answers`, what may differ
`edge_mri_export.guard.parity`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

from edge_mri.answers.decision import Answers as Given
from edge_mri.answers.decision import decide
from edge_mri.answers.prediction import softmax
from edge_mri.labels import Label, LabelSpace
from edge_mri.model.contract import Contract
from edge_mri_export.guard.answers import Answers
from edge_mri_export.guard.parity import Flip, Parity
from edge_mri_train.evaluation.metrics import calibration_error

_MOVED_CELLS = 1
_TIED = 0.01  # probabilities of cells that differ by less are of one height

Logits = NDArray[np.float32]


@dataclass(frozen=True)
class _Said:
    """What users are told of N images.

    Attributes:
        columns: By axis, `type` and `plane`, `(N,)` columns of its names.
        sure: By axis, `(N, C)` probabilities.
        tumor: `(N,)` whether something is said to be there; None where no type is absent.
        none: `(N,)` whether there is no answer, as the logits are no numbers.
    """

    columns: dict[str, NDArray[np.int64]]
    sure: dict[str, NDArray[np.float32]]
    tumor: NDArray[np.bool_] | None
    none: NDArray[np.bool_]

    @classmethod
    def of(cls, logits: Logits, contract: Contract) -> "_Said":
        """Decide as the runtime does, at the contract's temperature and operating point."""
        given = Given(softmax(logits, contract.temperature))
        none = np.zeros(len(logits), bool)
        none[list(faults := given.faults())] = True
        given = given.without(faults)
        probabilities = given.probabilities
        decisions = decide(given, contract.labels, contract.tumor_threshold)
        columns, sure = {"type": decisions.types}, {"type": decisions.by_type}
        by_plane = contract.labels.plane_probabilities(probabilities)
        if by_plane is not None:
            sure["plane"], columns["plane"] = by_plane, by_plane.argmax(axis=1)
        present = decisions.tumor
        called = None if present is None else present >= np.float32(contract.tumor_threshold)
        return cls(columns, sure, called, none)

    def name(self, row: int, labels: LabelSpace) -> str:
        """Return what is said of an image."""
        if self.none[row]:
            return "none"
        plane = labels.planes[self.columns["plane"][row]] if "plane" in self.columns else None
        return str(Label(labels.types[self.columns["type"][row]], plane))


def compare(
    reference: Answers,
    other: Answers,
    labels: Sequence[Label],
    paths: Sequence[str],
    contract: Contract,
) -> Parity:
    """Compare two models' answers to the same N images.

    An answer is the type and the plane that users are told: the type depends on the operating
    point, so that it is not always the most probable class.

    Args:
        reference: The answers that count as given.
        other: The answers that are measured.
        labels: What is known of each image; empty where nothing is.
        paths: Name of each image, for the list of flips; empty for numbers.
        contract: Classes, temperature and operating point of both.
    """
    with np.errstate(invalid="ignore"):
        difference = np.abs(reference.logits - other.logits)
    finite = bool(np.isfinite(difference).all())
    first, second = (_Said.of(one.logits, contract) for one in (reference, other))
    changed = np.any([one != second.columns[axis] for axis, one in first.columns.items()], axis=0)
    changed |= first.none | second.none
    moved = lower = crossed = None
    if first.tumor is not None and second.tumor is not None:
        moved, lower = _moved_peaks(reference, other, first.tumor)
        crossed = int((first.tumor != second.tumor).sum())
    return Parity(
        n=len(reference.logits),
        max_logit_difference=float(difference.max()),
        mean_logit_difference=float(difference.mean()),
        agreement=float(1 - changed.mean()),
        logit_scale=max(float(np.abs(reference.logits).max()), 1.0),
        flipped=tuple(
            Flip(
                paths[row] if paths else str(row),
                str(labels[row]) if labels else "",
                first.name(row, contract.labels),
                second.name(row, contract.labels),
            )
            for row in np.flatnonzero(changed).tolist()
        ),
        present=contract.labels.present_word,
        threshold_crossed=crossed,
        tumors=0 if first.tumor is None else int(first.tumor.sum()),
        lesion_peaks_moved=moved,
        lesion_peaks_lower=lower,
        max_lesion_difference=_map_difference(reference, other),
        **(_against_labels(first, second, labels, contract) if labels and finite else {}),
    )


def _against_labels(
    first: _Said, second: _Said, labels: Sequence[Label], contract: Contract
) -> dict[str, Any]:
    """Return the figures that need to know what the images show."""
    space = contract.labels
    truths: dict[str, tuple[tuple[str, ...], list[str | None]]] = {
        "type": (space.types, [label.type for label in labels]),
        "plane": (space.planes, [label.plane for label in labels]),
    }
    changes: dict[str, dict[str, float]] = {}
    support: dict[str, dict[str, int]] = {}
    figures: dict[str, Any] = {"sensitivity_change": changes, "support": support}
    for axis in first.columns:
        names, truth = truths[axis]
        columns = np.array([names.index(name) if name in names else -1 for name in truth])
        right = [one.columns[axis] == columns for one in (first, second)]
        there = [name for column, name in enumerate(names) if (columns == column).any()]
        members = {name: columns == names.index(name) for name in there}
        changes[axis] = {
            name: float(right[1][rows].mean() - right[0][rows].mean())
            for name, rows in members.items()
        }
        support[axis] = {name: int(rows.sum()) for name, rows in members.items()}
        known = columns >= 0
        if axis == "type" and known.any():
            lost, won = int((right[0] & ~right[1]).sum()), int((right[1] & ~right[0]).sum())
            figures |= {
                "ece": tuple(
                    calibration_error(
                        one.sure[axis][known], columns[known], one.columns[axis][known]
                    )
                    for one in (first, second)
                ),
                "only_reference_right": lost,
                "only_other_right": won,
                "mcnemar_p": float(binomtest(lost, lost + won).pvalue) if lost + won else 1.0,
            }
    return figures


def _map_difference(reference: Answers, other: Answers) -> float | None:
    """Return the largest difference of the lesion maps; infinite where only one has a map."""
    if reference.lesion is None or other.lesion is None:
        return None if reference.lesion is other.lesion else float("inf")
    with np.errstate(invalid="ignore"):
        return float(np.abs(reference.lesion - other.lesion).max())


def _moved_peaks(
    reference: Answers, other: Answers, tumor: NDArray[np.bool_]
) -> tuple[int | None, int | None]:
    """Count the tumours whose lesion map has its peak more than one cell elsewhere.

    And of those, the ones where that is no tie: to the reference the new place is clearly lower.
    """
    if reference.lesion is None or other.lesion is None:
        return None, None
    maps = [one.reshape(len(one), -1) for one in (reference.lesion, other.lesion)]
    peaks = [one.argmax(axis=1) for one in maps]
    width = reference.lesion.shape[-1]
    places = [np.stack(np.divmod(one, width)) for one in peaks]
    distance = np.abs(places[0] - places[1]).max(axis=0)
    moved = (distance > _MOVED_CELLS) & tumor
    rows = np.arange(len(moved))
    with np.errstate(invalid="ignore"):
        lower = maps[0][rows, peaks[0]] - maps[0][rows, peaks[1]] > _TIED
    return int(moved.sum()), int((moved & lower).sum())
