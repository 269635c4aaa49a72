"""Two models' answers to the same images compared: by the logits, by the labels, by the maps.

What a model says of images is `edge_mri_export.answers`, what may differ `edge_mri_export.parity`.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

from edge_mri.contract import Contract
from edge_mri.labels import Label
from edge_mri.prediction import softmax
from edge_mri_export.answers import Answers
from edge_mri_export.parity import Flip, Parity
from edge_mri_export.rejection import tumor_probability
from edge_mri_train.metrics import calibration_error

_MOVED_CELLS = 1
_TIED = 0.01  # probabilities of cells that differ by less are of one height

Logits = NDArray[np.float32]


def compare(
    reference: Answers,
    other: Answers,
    labels: Sequence[Label],
    paths: Sequence[str],
    contract: Contract,
) -> Parity:
    """Compare two models' answers to the same N images.

    Args:
        reference: The answers that count as given.
        other: The answers that are measured.
        labels: What is known of each image; empty where nothing is.
        paths: Name of each image, for the list of flips; empty for numbers.
        contract: Classes, temperature and operating point of both.
    """
    difference = np.abs(reference.logits - other.logits)
    first, second = (one.logits.argmax(axis=1) for one in (reference, other))
    finite = bool(np.isfinite(difference).all())
    figures = (
        _against_labels(reference.logits, other.logits, labels, contract)
        if labels and finite
        else {}
    )
    names = [str(label) for label in contract.labels.classes]
    moved, lower = _moved_peaks(reference, other, contract)
    return Parity(
        n=len(reference.logits),
        max_logit_difference=float(difference.max()),
        mean_logit_difference=float(difference.mean()),
        agreement=float((first == second).mean()),
        logit_scale=max(float(np.abs(reference.logits).max()), 1.0),
        flipped=tuple(
            Flip(
                paths[row] if paths else str(row),
                str(labels[row]) if labels else "",
                names[first[row]],
                names[second[row]],
            )
            for row in np.flatnonzero(first != second).tolist()
        ),
        threshold_crossed=int(
            (_is_tumor(reference.logits, contract) != _is_tumor(other.logits, contract)).sum()
        ),
        lesion_peaks_moved=moved,
        lesion_peaks_lower=lower,
        **figures,
    )


def _against_labels(
    reference: Logits, other: Logits, labels: Sequence[Label], contract: Contract
) -> dict[str, Any]:
    """Return the figures that need to know what the images show."""
    space = contract.labels
    first, second = (softmax(logits, contract.temperature) for logits in (reference, other))
    axes: list[tuple[str, tuple[str, ...], Callable[..., Any], list[str | None]]] = [
        ("type", space.types, space.type_probabilities, [label.type for label in labels])
    ]
    if space.planes:
        planes = [label.plane for label in labels]
        axes.append(("plane", space.planes, space.plane_probabilities, planes))
    changes: dict[str, dict[str, float]] = {}
    support: dict[str, dict[str, int]] = {}
    figures: dict[str, Any] = {"sensitivity_change": changes, "support": support}
    for axis, names, summed, truth in axes:
        columns = np.array([names.index(name) if name in names else -1 for name in truth])
        before, after = summed(first), summed(second)
        right = [one.argmax(axis=1) == columns for one in (before, after)]
        there = [name for column, name in enumerate(names) if (columns == column).any()]
        members = {name: columns == names.index(name) for name in there}
        changes[axis] = {
            name: float(right[1][rows].mean() - right[0][rows].mean())
            for name, rows in members.items()
        }
        support[axis] = {name: int(rows.sum()) for name, rows in members.items()}
        if axis == "type":
            lost, won = int((right[0] & ~right[1]).sum()), int((right[1] & ~right[0]).sum())
            figures |= {
                "ece": (calibration_error(before, columns), calibration_error(after, columns)),
                "only_reference_right": lost,
                "only_other_right": won,
                "mcnemar_p": float(binomtest(lost, lost + won).pvalue) if lost + won else 1.0,
            }
    return figures


def _is_tumor(logits: Logits, contract: Contract) -> NDArray[np.bool_]:
    """Return which images are called tumour at the contract's operating point."""
    called: NDArray[np.bool_] = tumor_probability(logits, contract) >= np.float32(
        contract.tumor_threshold
    )
    return called


def _moved_peaks(
    reference: Answers, other: Answers, contract: Contract
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
    moved = (distance > _MOVED_CELLS) & _is_tumor(reference.logits, contract)
    rows = np.arange(len(moved))
    lower = maps[0][rows, peaks[0]] - maps[0][rows, peaks[1]] > _TIED
    return int(moved.sum()), int((moved & lower).sum())
