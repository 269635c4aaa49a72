"""How good answers are: one set of figures for any list of classes.

Proportions carry Wilson's 95 % interval (Wilson 1927), the area under the tumour's ROC curve
DeLong's; the rest a bootstrap over groups, since images of one patient are not independent. Whose
answers they are is `edge_mri_train.evaluation.evaluating`.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import confusion_matrix, log_loss

from edge_mri.errors import listed
from edge_mri_train.errors import LabelsMissingError
from edge_mri_train.evaluation.intervals import auroc, auroc_interval, ratio, wilson

_ECE_BINS = 15
_RESAMPLES = 1000
_CHUNK = 50  # resamples at a time, which bounds the memory
_CONFIDENT_NO = 0.1  # a yes that scores less was missed with confidence
_SMALLEST = 1e-7  # probabilities are clipped to it for the log loss


def class_figures(
    probabilities: NDArray[np.float32],
    truth: Sequence[str],
    names: Sequence[str],
    groups: NDArray[np.int64] | None = None,
    seed: int = 0,
    answers: NDArray[np.int64] | None = None,
) -> dict[str, Any]:
    """Measure the answers to one question.

    Args:
        probabilities: `(N, C)`, rows sum to 1.
        truth: N true names.
        names: C names, in the order of the columns.
        groups: `(N,)` group numbers for the bootstrap; None: every image stands alone.
        seed: Of the bootstrap.
        answers: `(N,)` columns that were answered; None: the most probable ones.

    Returns:
        JSON values: accuracy, balanced accuracy, macro F1, expected calibration error (Guo et al.
        2017, 15 bins of equal width), Brier score (sum over classes, Brier 1950), log loss,
        confusion matrix, and per class sensitivity, specificity, precision, F1, one-against-rest
        AUROC and support. What no image can tell is None.

    Raises:
        LabelsMissingError: A true name is none of `names`.
    """
    positions = {name: column for column, name in enumerate(names)}
    unknown = sorted(set(truth) - positions.keys())
    if unknown:
        raise LabelsMissingError(
            f"there are images of {listed(unknown)}, and the model answers with {listed(names)}; "
            "name a model for these labels, or leave such folders out with --map FOLDER=skip"
        )
    columns = np.array([positions[name] for name in truth])
    if answers is None:
        answers = probabilities.argmax(axis=1)
    matrix = np.asarray(confusion_matrix(columns, answers, labels=range(len(names))), np.int64)
    correct, total = int(np.trace(matrix)), len(truth)
    clipped = np.clip(probabilities.astype(np.float64), _SMALLEST, 1)
    intervals = _bootstrap(probabilities, columns, answers, groups, seed)
    return {
        "n": total,
        "accuracy": correct / total,
        "ci95": wilson(correct, total),
        "balanced_accuracy": balanced_accuracy(matrix),
        "balanced_accuracy_ci95": intervals["balanced_accuracy"],
        "macro_f1": macro_f1(matrix),
        "macro_f1_ci95": intervals["macro_f1"],
        "ece": float(_ece(*_bins(probabilities, columns, answers))),
        "ece_ci95": intervals["ece"],
        "brier": float(_brier(probabilities, columns).mean()),
        "brier_ci95": intervals["brier"],
        "log_loss": float(
            log_loss(
                columns, clipped / clipped.sum(axis=1, keepdims=True), labels=range(len(names))
            )
        ),
        "labels": list(names),
        "confusion_matrix": matrix.tolist(),
        "per_class": {
            name: _one_class(matrix, column)
            | {"auroc": auroc(columns == column, probabilities[:, column])}
            for column, name in enumerate(names)
        },
    }


def binary_figures(
    scores: NDArray[np.float32], truth: NDArray[np.bool_], threshold: float
) -> dict[str, Any]:
    """Measure a yes-or-no question at a threshold.

    Args:
        scores: `(N,)` probability of yes.
        truth: `(N,)` whether it is.
        threshold: Yes is answered at this score or above.
    """
    said = scores >= threshold
    positives, negatives = int(truth.sum()), int((~truth).sum())
    hits, passes = int((said & truth).sum()), int((~said & ~truth).sum())
    missed = int((scores[truth] < _CONFIDENT_NO).sum())
    return {
        "n": len(truth),
        "threshold": threshold,
        "positives": positives,
        "negatives": negatives,
        "sensitivity": ratio(hits, positives),
        "sensitivity_ci95": wilson(hits, positives),
        "specificity": ratio(passes, negatives),
        "specificity_ci95": wilson(passes, negatives),
        "auroc": auroc(truth, scores),
        "auroc_ci95": auroc_interval(truth, scores),
        "confident_misses": ratio(missed, positives),
        "confident_misses_ci95": wilson(missed, positives),
    }


def balanced_accuracy(matrix: NDArray[Any]) -> float:
    """Return the mean sensitivity over the classes that occur, from a `(C, C)` confusion matrix."""
    return float(_balanced_accuracies(matrix[np.newaxis])[0])


def macro_f1(matrix: NDArray[Any]) -> float:
    """Return the mean F1 over the classes that occur, from a `(C, C)` confusion matrix."""
    return float(_macro_f1s(matrix[np.newaxis])[0])


def calibration_error(
    probabilities: NDArray[np.float32], columns: NDArray[np.int64], answers: NDArray[np.int64]
) -> float:
    """Return the expected calibration error (Guo et al. 2017, 15 bins of equal width).

    Args:
        probabilities: `(N, C)`, rows sum to 1.
        columns: `(N,)` true columns.
        answers: `(N,)` columns that were said; an answer is as sure as its probability.
    """
    return float(_ece(*_bins(probabilities, columns, answers)))


def _one_class(matrix: NDArray[np.int64], column: int) -> dict[str, Any]:
    hits = int(matrix[column, column])
    support, answered = int(matrix[column].sum()), int(matrix[:, column].sum())
    others = int(matrix.sum()) - support
    return {
        "sensitivity": ratio(hits, support),
        "sensitivity_ci95": wilson(hits, support),
        "specificity": ratio(others - (answered - hits), others),
        "precision": ratio(hits, answered),
        "f1": ratio(2 * hits, support + answered),
        "support": support,
    }


def _bootstrap(
    probabilities: NDArray[np.float32],
    columns: NDArray[np.int64],
    answers: NDArray[np.int64],
    groups: NDArray[np.int64] | None,
    seed: int,
) -> dict[str, list[float] | None]:
    """Return 95 % percentile intervals over resampled groups (Efron 1979).

    Every figure is a function of sums over images, so that a resample is a weighted sum of the
    groups' sums.
    """
    count, classes = probabilities.shape
    keys, members = np.unique(
        np.arange(count) if groups is None else np.asarray(groups), return_inverse=True
    )
    if len(keys) < 2:
        return dict.fromkeys(("balanced_accuracy", "macro_f1", "ece", "brier"))
    pairs = columns * classes + answers
    bins, sure, right = _bins(probabilities, columns, answers)
    n_groups = len(keys)
    cells = classes * classes
    matrices = _sums(members, pairs, np.ones(count), n_groups, cells)
    sureness = _sums(members, bins, sure, n_groups, _ECE_BINS)
    rightness = _sums(members, bins, right, n_groups, _ECE_BINS)
    briers = np.bincount(members, _brier(probabilities, columns), n_groups)
    sizes = np.bincount(members, minlength=n_groups).astype(np.float64)
    generator = np.random.default_rng(seed)
    drawn: dict[str, list[NDArray[np.float64]]] = {
        "balanced_accuracy": [],
        "macro_f1": [],
        "ece": [],
        "brier": [],
    }
    for _ in range(_RESAMPLES // _CHUNK):
        weights = generator.multinomial(n_groups, np.full(n_groups, 1 / n_groups), _CHUNK)
        totals = weights @ sizes
        resampled = (weights @ matrices).reshape(_CHUNK, classes, classes)
        drawn["balanced_accuracy"].append(_balanced_accuracies(resampled))
        drawn["macro_f1"].append(_macro_f1s(resampled))
        gaps = np.abs(weights @ sureness - weights @ rightness)
        drawn["ece"].append(gaps.sum(axis=1) / totals)
        drawn["brier"].append(weights @ briers / totals)
    return {
        name: [float(end) for end in np.percentile(np.concatenate(values), [2.5, 97.5])]
        for name, values in drawn.items()
    }


def _sums(
    members: NDArray[np.intp],
    cells: NDArray[np.int64],
    values: NDArray[Any],
    n_groups: int,
    n_cells: int,
) -> NDArray[np.float64]:
    """Sum values by group and cell into `(n_groups, n_cells)`."""
    flat = np.bincount(members * n_cells + cells, values, n_groups * n_cells)
    return flat.astype(np.float64).reshape(n_groups, n_cells)


def _bins(
    probabilities: NDArray[np.float32], columns: NDArray[np.int64], answers: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """Return each image's bin, its answer's probability, and 1 where the answer is right."""
    sure = probabilities[np.arange(len(answers)), answers].astype(np.float64)
    right = (answers == columns).astype(np.float64)
    bins = np.minimum((sure * _ECE_BINS).astype(np.int64), _ECE_BINS - 1)
    return bins, sure, right


def _ece(
    bins: NDArray[np.int64], sure: NDArray[np.float64], right: NDArray[np.float64]
) -> np.float64:
    gaps = np.bincount(bins, sure, _ECE_BINS) - np.bincount(bins, right, _ECE_BINS)
    return np.float64(np.abs(gaps).sum() / len(bins))


def _brier(probabilities: NDArray[np.float32], columns: NDArray[np.int64]) -> NDArray[np.float64]:
    wanted = np.eye(probabilities.shape[1])[columns]
    scores: NDArray[np.float64] = ((probabilities - wanted) ** 2).sum(axis=1)
    return scores


def _balanced_accuracies(matrices: NDArray[Any]) -> NDArray[np.float64]:
    """Mean sensitivities of `(B, C, C)` confusion matrices."""
    support = matrices.sum(axis=2)
    hits = np.diagonal(matrices, axis1=1, axis2=2)
    return _mean_over_present(np.divide(hits, np.maximum(support, 1)), support)


def _macro_f1s(matrices: NDArray[Any]) -> NDArray[np.float64]:
    """Mean F1s of `(B, C, C)` confusion matrices."""
    support = matrices.sum(axis=2)
    hits = np.diagonal(matrices, axis1=1, axis2=2)
    f1 = 2 * hits / np.maximum(support + matrices.sum(axis=1), 1)
    return _mean_over_present(f1, support)


def _mean_over_present(values: NDArray[Any], support: NDArray[Any]) -> NDArray[np.float64]:
    present = support > 0
    means: NDArray[np.float64] = (values * present).sum(axis=1) / np.maximum(present.sum(axis=1), 1)
    return means
