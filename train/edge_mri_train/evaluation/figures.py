"""Answers against labels: type, plane, both together, present or absent.

What one set of figures is made of is `metrics`; whose answers they are is `evaluating`.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_mri.answers.decision import TUMOR_THRESHOLD, Answers, Decisions, decide
from edge_mri.labels import Label, LabelSpace
from edge_mri_train.evaluation.intervals import wilson
from edge_mri_train.evaluation.metrics import binary_figures, class_figures


def figures(
    probabilities: NDArray[np.float32],
    labels: Sequence[Label],
    space: LabelSpace,
    groups: NDArray[np.int64] | None = None,
    decisions: Decisions | None = None,
    tumor_threshold: float = TUMOR_THRESHOLD,
) -> dict[str, Any]:
    """Measure answers against labels.

    Args:
        probabilities: `(N, K)` class probabilities.
        labels: N true labels.
        space: The classes of the K columns.
        groups: `(N,)` group numbers for the intervals; None: every image stands alone.
        decisions: What is said of them; None: what the threshold alone says.
        tumor_threshold: P(any tumour) that is called tumour.

    Returns:
        `n`, and for `type`, `plane`, `joint` what `metrics.class_figures` returns, for `tumor`
        (present or absent) what `metrics.binary_figures` returns, for `partial` how often one of
        the types is said that a label of several names; None where labels or model do not know it.
        A label counts for what it says: of several types for `tumor`, but not for `type`.
    """
    if decisions is None:
        decisions = decide(Answers(probabilities), space, tumor_threshold)
    members = np.arange(len(labels)) if groups is None else groups
    full = [row for row, label in enumerate(labels) if label.type is not None]
    with_plane = [row for row, label in enumerate(labels) if label.plane is not None]
    planes = space.plane_probabilities(probabilities)
    plane = joint = None
    if planes is not None and with_plane:
        truth = [str(labels[row].plane) for row in with_plane]
        plane = class_figures(planes[with_plane], truth, space.planes, members[with_plane])
        both = [row for row in with_plane if labels[row].type is not None]
        classes = [str(one) for one in space.classes]
        if both:
            names = [str(labels[row]) for row in both]
            joint = class_figures(probabilities[both], names, classes, members[both])
    types = space.type_probabilities(probabilities)
    return {
        "n": len(labels),
        "type": class_figures(
            types[full],
            [str(labels[row].type) for row in full],
            space.types,
            members[full],
            answers=decisions.types[full],
        )
        if full
        else None,
        "plane": plane,
        "joint": joint,
        "tumor": _present_figures(decisions, labels, space, tumor_threshold),
        "partial": _partial_figures(decisions, labels, space),
    }


def _present_figures(
    decisions: Decisions, labels: Sequence[Label], space: LabelSpace, threshold: float
) -> dict[str, Any] | None:
    told = [space.is_present(label) for label in labels]
    rows = [row for row, one in enumerate(told) if one is not None]
    if decisions.tumor is None or not rows:
        return None
    return binary_figures(
        decisions.tumor[rows], np.array([bool(told[row]) for row in rows]), threshold
    )


def _partial_figures(
    decisions: Decisions, labels: Sequence[Label], space: LabelSpace
) -> dict[str, Any] | None:
    """Count where one of the types is said that a label of several names."""
    right = [
        space.types[column] in label.types
        for column, label in zip(decisions.types.tolist(), labels, strict=True)
        if label.type is None
    ]
    if not right:
        return None
    return {
        "n": len(right),
        "right": sum(right),
        "accuracy": sum(right) / len(right),
        "ci95": wilson(sum(right), len(right)),
    }
