"""The page of an evaluation: tables, ROC curves, reliability, and the worst errors as pictures."""

from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup
from matplotlib.figure import Figure
from numpy.typing import NDArray
from sklearn.metrics import roc_curve

from edge_mri.images import read_image
from edge_mri_train.evaluation.evaluating import READINGS, Evaluation
from edge_mri_train.pages import picture, plot, write_page

_GALLERY = 24
_BINS = 10
_FIGURE_SIZE = (4.6, 4.0)


def write_evaluation_page(evaluation: Evaluation, path: Path) -> None:
    """Write a self-contained HTML page."""
    full = np.array([sample.label.type is not None for sample in evaluation.samples])
    rows = np.flatnonzero(evaluation.decisions.accepted & full)
    types = evaluation.space.type_probabilities(evaluation.probabilities[rows])
    names = evaluation.space.types
    truth = np.array([names.index(evaluation.samples[row].label.types[0]) for row in rows], int)
    said = evaluation.decisions.types[rows]
    write_page(
        "evaluation.html",
        path,
        title=f"Evaluation of {evaluation.report['model']}",
        report=evaluation.report,
        readings=READINGS,
        roc=_roc(types, truth, evaluation.space.types),
        reliability=_reliability(types, truth, said),
        errors=_worst_errors(evaluation, rows, types, truth, said),
        n_errors=int((said != truth).sum()),
    )


def _roc(types: NDArray[np.float32], truth: NDArray[np.int64], names: tuple[str, ...]) -> Markup:
    figure = Figure(figsize=_FIGURE_SIZE, layout="constrained")
    axes = figure.subplots()
    for column, name in enumerate(names):
        positive = truth == column
        if positive.any() and not positive.all():
            false_rate, true_rate, _ = roc_curve(positive, types[:, column])
            axes.plot(false_rate, true_rate, label=name)
    axes.plot([0, 1], [0, 1], color="grey", linestyle=":", linewidth=1)
    axes.set(
        xlabel="1 - specificity", ylabel="sensitivity", title="ROC, each type against the rest"
    )
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc="lower right")
    return plot(figure)


def _reliability(
    types: NDArray[np.float32], truth: NDArray[np.int64], said: NDArray[np.int64]
) -> Markup:
    sure = types[np.arange(len(said)), said]
    right = said == truth
    bins = np.minimum((sure * _BINS).astype(int), _BINS - 1)
    used = [one for one in range(_BINS) if (bins == one).any()]
    figure = Figure(figsize=_FIGURE_SIZE, layout="constrained")
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color="grey", linestyle=":", linewidth=1)
    axes.plot(
        [sure[bins == one].mean() for one in used],
        [right[bins == one].mean() for one in used],
        marker="o",
    )
    for one in used:
        share = (bins == one).mean()
        axes.annotate(
            f"{100 * share:.0f} %",
            (sure[bins == one].mean(), right[bins == one].mean()),
            xytext=(4, -12),
            textcoords="offset points",
            fontsize=7,
        )
    axes.set(
        xlabel="mean confidence",
        ylabel="share right",
        title="Reliability of the type",
        xlim=(0, 1.02),
        ylim=(0, 1.02),
    )
    return plot(figure)


def _worst_errors(
    evaluation: Evaluation,
    rows: NDArray[np.int64],
    types: NDArray[np.float32],
    truth: NDArray[np.int64],
    said: NDArray[np.int64],
) -> list[dict[str, Any]]:
    """Return the wrong answers that were given with most confidence."""
    names = evaluation.space.types
    wrong = np.flatnonzero(said != truth)
    worst = wrong[np.argsort(-types[wrong, said[wrong]], kind="stable")][:_GALLERY]
    return [
        {
            "picture": picture(read_image(evaluation.samples[row].file)),
            "path": str(evaluation.samples[row].path),
            "label": str(evaluation.samples[row].label),
            "answers": sorted(
                zip(names, types[one].tolist(), strict=True),
                key=lambda pair: (pair[0] != names[said[one]], -pair[1]),
            ),
            "seen": bool(evaluation.leakage.seen_near[row]),
        }
        for one, row in zip(worst, rows[worst], strict=True)
    ]
