"""Evaluation: a model's answers on labelled images, read in three ways.

All images as given; duplicate-free (without what also occurs in the training images, and without
repeats); group-clean (without the near-duplicate groups that touch training). The figures
themselves are `edge_mri_train.metrics`, the page is `edge_mri_train.evaluation_page`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_mri.errors import OptionError
from edge_mri.labels import NO_TUMOR, Label, LabelSpace
from edge_mri.progress import Progress
from edge_mri_train.comparison import compare
from edge_mri_train.folders import Sample, read_folders
from edge_mri_train.layout import Layout
from edge_mri_train.leakage import Leakage, find_leakage
from edge_mri_train.metrics import binary_figures, class_figures
from edge_mri_train.pixels import load_pixels
from edge_mri_train.predictor import Predictor, open_predictor

READINGS = {
    "all": "all images as given",
    "duplicate_free": "duplicate-free",
    "group_clean": "group-clean",
}
TUMOR_THRESHOLD = 0.5

_BATCH = 64


@dataclass(frozen=True)
class EvaluationConfig:
    """What an evaluation is told.

    Attributes:
        model: A checkpoint or an ONNX file; None for the model that ships.
        data: The sets' folders.
        layout: Further folder names, or an index.
        against: Manifest of the images the model was trained on; None: what the model remembers.
        by: Tags of the index to give figures for, value by value.
        other: Another model, to compare on the same images.
    """

    model: Path | None
    data: tuple[Path, ...]
    layout: Layout = field(default_factory=Layout)
    against: Path | None = None
    by: tuple[str, ...] = ()
    other: Path | None = None


@dataclass(frozen=True)
class Evaluation:
    """What an evaluation found.

    Attributes:
        report: The figures, as JSON values.
        samples: The N images.
        probabilities: `(N, K)` the model's answers.
        space: The classes of the K columns.
        leakage: Which images the model has seen, and which repeat one another.
    """

    report: dict[str, Any]
    samples: list[Sample]
    probabilities: NDArray[np.float32]
    space: LabelSpace
    leakage: Leakage


def evaluate(config: EvaluationConfig, progress: Progress) -> Evaluation:
    """Measure a model on labelled images.

    Where the folders hold training and test folders, only the test images count.
    """
    predictor = open_predictor(config.model)
    samples = _held_out(read_folders(config.data, config.layout), progress)
    _require_tags(config.by, samples)
    leakage = find_leakage(samples, predictor.seen, config.against, progress)
    probabilities = _answers(predictor, samples, progress)
    labels = [sample.label for sample in samples]

    def measured(chosen: NDArray[np.bool_]) -> dict[str, Any] | None:
        """Return the figures of some of the images; None of none."""
        if not chosen.any():
            return None
        rows = np.flatnonzero(chosen)
        return figures(
            probabilities[rows],
            [labels[row] for row in rows],
            predictor.labels,
            leakage.groups[rows],
        )

    def reading(chosen: NDArray[np.bool_]) -> dict[str, Any] | None:
        """Return the figures of some of the images, and those by tag; None of none."""
        whole = measured(chosen)
        return whole and whole | {
            "by": {
                tag: {
                    value: measured(chosen & having)
                    for value, having in _by_value(samples, tag).items()
                }
                for tag in config.by
            }
        }

    everything = reading(np.ones(len(samples), bool)) or {}
    report = {
        "model": predictor.name,
        "training_images": leakage.source,
        **everything,
        "subsets": {
            "all": everything,
            "duplicate_free": reading(leakage.duplicate_free),
            "group_clean": None if leakage.source is None else reading(leakage.group_clean),
        },
    }
    if config.other is not None:
        other = open_predictor(config.other)
        report["comparison"] = compare(
            (predictor.name, predictor.labels, probabilities),
            (other.name, other.labels, _answers(other, samples, progress)),
            samples,
        )
    return Evaluation(report, samples, probabilities, predictor.labels, leakage)


def figures(
    probabilities: NDArray[np.float32],
    labels: Sequence[Label],
    space: LabelSpace,
    groups: NDArray[np.int64] | None = None,
) -> dict[str, Any]:
    """Measure answers against labels.

    Args:
        probabilities: `(N, K)` class probabilities.
        labels: N true labels.
        space: The classes of the K columns.
        groups: `(N,)` group numbers for the intervals; None: every image stands alone.

    Returns:
        `n`, and for `type`, `plane`, `joint` what `metrics.class_figures` returns, for `tumor` what
        `metrics.binary_figures` returns; None where labels or model do not know it.
    """
    members = np.arange(len(labels)) if groups is None else groups
    with_plane = [row for row, label in enumerate(labels) if label.plane is not None]
    planes = space.plane_probabilities(probabilities)
    plane = joint = None
    if planes is not None and with_plane:
        known = [labels[row] for row in with_plane]
        some = members[with_plane]
        names = [str(one) for one in space.classes]
        plane = class_figures(
            planes[with_plane], [str(one.plane) for one in known], space.planes, some
        )
        joint = class_figures(probabilities[with_plane], [str(one) for one in known], names, some)
    types = space.type_probabilities(probabilities)
    tumor = 1 - types[:, space.types.index(NO_TUMOR)]
    return {
        "n": len(labels),
        "coverage": 1.0,  # no model rejects yet
        "type": class_figures(types, [label.type for label in labels], space.types, members),
        "plane": plane,
        "joint": joint,
        "tumor": binary_figures(
            tumor, np.array([label.type != NO_TUMOR for label in labels]), TUMOR_THRESHOLD
        ),
    }


def _by_value(samples: Sequence[Sample], tag: str) -> dict[str, NDArray[np.bool_]]:
    """Return, for each value of a tag, which of N images have it, as `(N,)`."""
    values = [sample.tags.get(tag) for sample in samples]
    return {
        value: np.array([one == value for one in values])
        for value in sorted({value for value in values if value is not None})
    }


def _answers(
    predictor: Predictor, samples: Sequence[Sample], progress: Progress
) -> NDArray[np.float32]:
    """Return `(N, K)` class probabilities, a batch at a time: memory stays flat."""
    parts = []
    with progress.bar(f"answers of {predictor.name}", len(samples)) as step:
        for start in range(0, len(samples), _BATCH):
            files = [sample.file for sample in samples[start : start + _BATCH]]
            parts.append(predictor.probabilities(load_pixels(files, predictor.preprocess, step)))
    return np.concatenate(parts)


def _held_out(samples: list[Sample], progress: Progress) -> list[Sample]:
    held_out = [sample for sample in samples if sample.split == "test"]
    if not held_out or len(held_out) == len(samples):
        return samples
    progress.say(f"Left out {len(samples) - len(held_out)} images outside the test folders.")
    return held_out


def _require_tags(tags: Sequence[str], samples: Sequence[Sample]) -> None:
    known = sorted({name for sample in samples for name in sample.tags})
    for tag in tags:
        if tag not in known:
            raise OptionError(
                f"--by {tag}: no image has this tag; known are {', '.join(known) or 'none'}"
            )
