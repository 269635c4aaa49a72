"""How good answers are: accuracies with intervals, per-class figures, confusion matrices.

Where the probabilities come from is `edge_mri_train.predictor`.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import confusion_matrix

from edge_mri.labels import Label, LabelSpace
from edge_mri.progress import Progress
from edge_mri_train.folders import read_folders
from edge_mri_train.pixels import load_pixels
from edge_mri_train.predictor import open_predictor

_BATCH = 64
_Z95 = 1.959964  # 97.5 % quantile of the normal distribution


def evaluate(model: Path, roots: Sequence[Path], progress: Progress) -> dict[str, Any]:
    """Measure a model on labelled folders.

    Args:
        model: A checkpoint or an ONNX file.
        roots: Folders with class folders; where they hold training and test folders, only the
            test images count.
        progress: Where to say how it goes.

    Returns:
        `model`, and what `figures` returns.
    """
    predictor = open_predictor(model)
    samples = read_folders(roots)
    held_out = [sample for sample in samples if sample.split == "test"]
    if held_out and len(held_out) < len(samples):
        progress.say(f"Left out {len(samples) - len(held_out)} images outside the test folders.")
        samples = held_out
    with progress.bar("images", len(samples)) as step:
        files = [sample.file for sample in samples]
        pixels = load_pixels(files, predictor.preprocess, on_image=step)
    with progress.bar("answers", len(samples)) as step:
        parts = []
        for start in range(0, len(samples), _BATCH):
            parts.append(predictor.probabilities(pixels[start : start + _BATCH]))
            for _ in parts[-1]:
                step()
    measured = figures(
        np.concatenate(parts), [sample.label for sample in samples], predictor.labels
    )
    return {"model": predictor.name, **measured}


def figures(
    probabilities: NDArray[np.float32], labels: Sequence[Label], space: LabelSpace
) -> dict[str, Any]:
    """Measure answers against labels.

    Args:
        probabilities: `(N, K)` class probabilities.
        labels: N true labels.
        space: The classes of the K columns.

    Returns:
        `n` and, each where labels and model know it, `type`, `plane` and `joint`, else None.
    """
    with_plane = [row for row, label in enumerate(labels) if label.plane is not None]
    planes = space.plane_probabilities(probabilities)
    plane = joint = None
    if planes is not None and with_plane:
        known = [labels[row] for row in with_plane]
        plane = _axis(planes[with_plane], [str(one.plane) for one in known], space.planes)
        names = tuple(str(one) for one in space.classes)
        joint = _axis(probabilities[with_plane], [str(one) for one in known], names)
    types = space.type_probabilities(probabilities)
    return {
        "n": len(labels),
        "type": _axis(types, [label.type for label in labels], space.types),
        "plane": plane,
        "joint": joint,
    }


def balanced_accuracy(matrix: NDArray[np.int64]) -> float:
    """Return the mean sensitivity over the classes that occur, from a `(K, K)` confusion matrix."""
    support = matrix.sum(axis=1)
    present = support > 0
    return float((np.diag(matrix)[present] / support[present]).mean())


def _axis(
    probabilities: NDArray[np.float32], truth: Sequence[str], names: tuple[str, ...]
) -> dict[str, Any]:
    answers = [names[column] for column in probabilities.argmax(axis=1)]
    matrix = np.asarray(confusion_matrix(truth, answers, labels=list(names)), np.int64)
    correct, total = int(np.trace(matrix)), int(matrix.sum())
    per_class = {name: _one_class(matrix, column) for column, name in enumerate(names)}
    present = [entry["f1"] for entry in per_class.values() if entry["support"]]
    return {
        "n": total,
        "accuracy": correct / total,
        "ci95": _wilson(correct, total),
        "balanced_accuracy": balanced_accuracy(matrix),
        "macro_f1": float(np.mean(present)),
        "labels": list(names),
        "confusion_matrix": matrix.tolist(),
        "per_class": per_class,
    }


def _one_class(matrix: NDArray[np.int64], column: int) -> dict[str, Any]:
    hits = int(matrix[column, column])
    support, answered = int(matrix[column].sum()), int(matrix[:, column].sum())
    others = int(matrix.sum()) - support
    return {
        "sensitivity": _ratio(hits, support),
        "sensitivity_ci95": _wilson(hits, support),
        "specificity": _ratio(others - (answered - hits), others),
        "precision": _ratio(hits, answered),
        "f1": _ratio(2 * hits, support + answered),
        "support": support,
    }


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _wilson(part: int, whole: int) -> list[float] | None:
    """Return the 95 % interval of a proportion (Wilson 1927)."""
    if not whole:
        return None
    share, z2 = part / whole, _Z95**2
    centre = share + z2 / (2 * whole)
    reach = _Z95 * math.sqrt(share * (1 - share) / whole + z2 / (4 * whole**2))
    return [max((centre - reach) / (1 + z2 / whole), 0.0), (centre + reach) / (1 + z2 / whole)]
