"""Evaluation: a model's answers on labelled images, read in three ways.

All images as given; duplicate-free (without what also occurs in the training images, and without
repeats); group-clean (without the near-duplicate groups that touch training). Answers are those
that users get: the model's own threshold says tumour, and what it rejects is counted as coverage
and left out of the figures. The figures themselves are `edge_mri_train.evaluation.metrics`, the
page is `edge_mri_train.evaluation.page`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_mri.answers.decision import Answers, Decisions
from edge_mri.errors import OptionError
from edge_mri.labels import LabelSpace
from edge_mri.remote.url import Place
from edge_mri.terminal.progress import Progress
from edge_mri_train.data.folders import Sample, read_folders
from edge_mri_train.data.layout import Layout
from edge_mri_train.data.pixels import load_images
from edge_mri_train.evaluation.comparison import compare
from edge_mri_train.evaluation.figures import figures
from edge_mri_train.evaluation.intervals import ratio, wilson
from edge_mri_train.evaluation.leakage import Leakage, find_leakage
from edge_mri_train.evaluation.predictor import Predictor, open_predictor

READINGS = {
    "all": "all images as given",
    "duplicate_free": "duplicate-free",
    "group_clean": "group-clean",
}

_BATCH = 64


@dataclass(frozen=True)
class EvaluationConfig:
    """What an evaluation is told.

    Attributes:
        model: A checkpoint or an ONNX file; None for the packaged model.
        data: The sets' folders.
        layout: What names mean beside those of the model's labels, or an index.
        against: Manifest of the images the model was trained on; None: what the model remembers.
        by: Tags of the index to give figures for, value by value.
        other: Another model, to compare on the same images.
        reject: False: the figures of all images, also those that the model rejects.
        named: Functions that may run to make a checkpoint's network.
    """

    model: Path | None
    data: tuple[Place, ...]
    layout: Layout = field(default_factory=Layout)
    against: Path | None = None
    by: tuple[str, ...] = ()
    other: Path | None = None
    reject: bool = True
    named: tuple[str, ...] = ()


@dataclass(frozen=True)
class Evaluation:
    """What an evaluation found.

    Attributes:
        report: The figures, as JSON values.
        samples: The N images.
        probabilities: `(N, K)` the model's answers.
        decisions: What it says of them.
        space: The classes of the K columns.
        leakage: Which images the model has seen, and which repeat one another.
    """

    report: dict[str, Any]
    samples: list[Sample]
    probabilities: NDArray[np.float32]
    decisions: Decisions
    space: LabelSpace
    leakage: Leakage


def evaluate(config: EvaluationConfig, progress: Progress) -> Evaluation:
    """Measure a model on labelled images.

    Where the folders hold training and test folders, only the test images count.

    Raises:
        OptionError: The model rejects every image.
    """
    predictor = open_predictor(config.model, config.named)
    layout = config.layout.within(predictor.labels)
    samples = _held_out(read_folders(config.data, layout, progress), progress)
    _require_tags(config.by, samples)
    leakage = find_leakage(samples, predictor.seen, config.against, progress)
    answers, drawn = _answers(predictor, samples, progress)
    decisions = predictor.decide(answers, reject=config.reject, known_foreign=drawn)
    if not decisions.accepted.any():
        raise OptionError(
            f"{predictor.name} rejects all {len(samples)} images, nothing is left to measure; "
            "--no-reject measures them all the same"
        )
    asked = _Asked(predictor, samples, answers, decisions, leakage.groups)
    everything = asked.reading(np.ones(len(samples), bool), config.by) or {}
    known = leakage.source is not None
    report = {
        "model": predictor.name,
        "training_images": leakage.source,
        "present": predictor.labels.present_word,
        **everything,
        "subsets": {
            "all": everything,
            "duplicate_free": asked.reading(leakage.duplicate_free, config.by) if known else None,
            "group_clean": asked.reading(leakage.group_clean, config.by) if known else None,
        },
    }
    if config.other is not None:
        other = open_predictor(config.other, config.named)
        report["comparison"] = compare(
            (predictor.name, predictor.labels, decisions.types),
            (other.name, other.labels, other.decide(_answers(other, samples, progress)[0]).types),
            samples,
        )
    return Evaluation(report, samples, answers.probabilities, decisions, predictor.labels, leakage)


@dataclass(frozen=True)
class _Asked:
    """N images and a model's answers to them, any part of which can be measured."""

    predictor: Predictor
    samples: list[Sample]
    answers: Answers
    decisions: Decisions
    groups: NDArray[np.int64]

    def reading(self, chosen: NDArray[np.bool_], tags: Sequence[str]) -> dict[str, Any] | None:
        """Return the figures of some of the images, and those by tag; None of none."""
        whole = self.measured(chosen)
        return whole and whole | {
            "by": {
                tag: {
                    value: self.measured(chosen & having)
                    for value, having in _by_value(self.samples, tag).items()
                }
                for tag in tags
            }
        }

    def measured(self, chosen: NDArray[np.bool_]) -> dict[str, Any] | None:
        """Return the figures of those of the images that have an answer; None of none."""
        rows = np.flatnonzero(chosen & self.decisions.accepted)
        if not len(rows):
            return None
        return _coverage(chosen, self.decisions) | figures(
            self.answers.probabilities[rows],
            [self.samples[row].label for row in rows],
            self.predictor.labels,
            self.groups[rows],
            self.decisions.at(rows),
            self.predictor.tumor_threshold,
        )


def _coverage(chosen: NDArray[np.bool_], decisions: Decisions) -> dict[str, Any]:
    """Count the answers among some of the images."""
    asked, answered = int(chosen.sum()), int((chosen & decisions.accepted).sum())
    return {
        "asked": asked,
        "coverage": ratio(answered, asked),
        "coverage_ci95": wilson(answered, asked),
        "rejected": {
            "foreign": int((chosen & decisions.foreign).sum()),
            "unfamiliar": int((chosen & decisions.unfamiliar).sum()),
            "undecided": int((chosen & decisions.undecided).sum()),
        },
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
) -> tuple[Answers, NDArray[np.bool_]]:
    """Ask about all images, a batch at a time: memory stays flat. Also says which are drawn."""
    parts: list[Answers] = []
    drawn: list[NDArray[np.bool_]] = []
    with progress.bar(f"answers of {predictor.name}", len(samples)) as step:
        for start in range(0, len(samples), _BATCH):
            files = [sample.file for sample in samples[start : start + _BATCH]]
            images = load_images(files, predictor.preprocess, step)
            parts.append(predictor.answers(images.pixels))
            drawn.append(images.drawn)
    novelties = [part.novelty for part in parts if part.novelty is not None]
    odds = [part.foreign for part in parts if part.foreign is not None]
    answers = Answers(
        np.concatenate([part.probabilities for part in parts]),
        np.concatenate(novelties) if novelties else None,
        foreign=np.concatenate(odds) if odds else None,
    )
    return answers, np.concatenate(drawn)


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
