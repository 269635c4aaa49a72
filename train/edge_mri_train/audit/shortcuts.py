"""A control for shortcuts: can a set be solved without looking at the tumour?

A plain classifier gets statistics that say nothing of anatomy (borders, histogram, sharpness,
traits of the file) and predicts the class, cross-validated with whole groups on one side. Well
above chance means that a network can reach the same figure for the wrong reason.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict

from edge_mri_train.data.statistics import STATISTICS

_FOLDS = 5
_TREES = 200
_MAX_IMAGES = 10_000  # more add time, not certainty


@dataclass(frozen=True)
class ShortcutControl:
    """What the plain classifier reached.

    Attributes:
        n: Images it was tried on.
        balanced_accuracy: Its cross-validated mean sensitivity over the classes, 0 to 1.
        chance: What guessing would reach.
        telling: The statistics it used most, the first the most, with their share.
    """

    n: int
    balanced_accuracy: float
    chance: float
    telling: tuple[tuple[str, float], ...]


def control_shortcuts(
    table: NDArray[np.float32], classes: Sequence[str], groups: Sequence[int], seed: int = 0
) -> ShortcutControl | None:
    """Cross-validate a plain classifier on statistics.

    Args:
        table: `(N, len(STATISTICS))` float32.
        classes: N class names.
        groups: N group numbers; a group is never divided.
        seed: Of folds and trees.

    Returns:
        None where a class has fewer groups than two folds need.
    """
    chosen = _subsample(len(table), seed)
    names, labels = np.unique(np.asarray(classes)[chosen], return_inverse=True)
    members = np.asarray(groups)[chosen]
    fewest = min(len(np.unique(members[labels == one])) for one in range(len(names)))
    if len(names) < 2 or fewest < 2:
        return None
    folds = StratifiedGroupKFold(min(_FOLDS, fewest), shuffle=True, random_state=seed)
    forest = ExtraTreesClassifier(
        _TREES, min_samples_leaf=2, class_weight="balanced", random_state=seed
    )
    answers = cross_val_predict(forest, table[chosen], labels, groups=members, cv=folds)
    with np.errstate(invalid="ignore"):  # trees that found nothing to divide by
        weights = np.nan_to_num(forest.fit(table[chosen], labels).feature_importances_)
    telling = sorted(zip(STATISTICS, weights.tolist(), strict=True), key=lambda pair: -pair[1])
    return ShortcutControl(
        n=len(chosen),
        balanced_accuracy=float(balanced_accuracy_score(labels, answers)),
        chance=1 / len(names),
        telling=tuple(telling[:5]),
    )


def _subsample(count: int, seed: int) -> NDArray[np.int64]:
    if count <= _MAX_IMAGES:
        return np.arange(count)
    return np.sort(np.random.default_rng(seed).choice(count, _MAX_IMAGES, replace=False))
