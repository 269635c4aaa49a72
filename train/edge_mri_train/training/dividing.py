"""Which images a run trains on and which validate: its folders divided, or a manifest's sides.

Where some folders are named like a validation split, they validate and the others train; else the
images are divided. Those in test folders are left out.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edge_mri.errors import listed
from edge_mri.labels import LabelSpace
from edge_mri.terminal.progress import Progress
from edge_mri_train.data.folders import Sample, breakdown
from edge_mri_train.data.image_sets import ImageSets
from edge_mri_train.data.manifest import (
    DROPPED,
    Row,
    check_manifest,
    manifest_space,
    read_manifest,
    with_split,
)
from edge_mri_train.data.partition import Partition, partition
from edge_mri_train.data.scan import fingerprint_files
from edge_mri_train.data.split import TRAIN, VAL, SplitConfig
from edge_mri_train.errors import LabelsMissingError, ManifestError
from edge_mri_train.settings.config import TrainConfig


@dataclass(frozen=True)
class Divided(Partition):
    """The images of a run on their sides.

    Attributes:
        space: Of their labels, without types that none names.
    """

    space: LabelSpace


def read_sets(config: TrainConfig, progress: Progress) -> ImageSets:
    """Return how a run's sets are laid out, and the space of their labels, before they are read."""
    if config.split is not None:
        return ImageSets((), manifest_space(Path(config.split)))
    index = Path(config.index) if config.index else None
    roots = [Path(root) for root in config.data]
    return ImageSets.of(roots, config.labels, config.maps, index, config.pattern, progress)


def divided(config: TrainConfig, progress: Progress, sets: ImageSets | None = None) -> Divided:
    """Divide the images, or take the division of a manifest."""
    sets = sets or read_sets(config, progress)
    space = sets.space
    if config.split is not None:
        path = Path(config.split)
        rows = read_manifest(path)
        check_manifest(path, rows, progress)
        rows = _chosen(path, rows, config.fold)
        rows = _validating(path, rows, config.validate_only)
        rows = [row for row in rows if row.sample.split in (TRAIN, VAL)]
        samples = [row.sample for row in rows]
        progress.say(breakdown(samples, space))
        space = named_types(samples, space, progress)
        prints = fingerprint_files([sample.file for sample in samples], progress)
        return Divided(rows, prints, space)
    samples = _for_training(sets.samples(progress), progress)
    progress.say(breakdown(samples, space))
    space = named_types(samples, space, progress)
    validating = [sample for sample in samples if sample.split == VAL]
    has_own = 0 < len(validating) < len(samples)
    label_space(config, samples, space)
    require_all_types("training", samples, space)  # before minutes of search
    if has_own:
        require_all_types("validation", validating, space)
    shares = {TRAIN: 1 - config.val_fraction, VAL: config.val_fraction}
    sides = SplitConfig(shares, config.seed, keep_val=has_own)
    parts = partition(samples, sides, progress)
    parts = _without_dropped(parts, progress) if has_own else parts
    return Divided(parts.rows, parts.fingerprints, space)


def _without_dropped(parts: Partition, progress: Progress) -> Partition:
    """Leave out what repeats an image of a validation folder, and say how it was divided."""
    kept = [at for at, row in enumerate(parts.rows) if row.sample.split != DROPPED]
    rows = [parts.rows[at] for at in kept]
    val = sum(row.sample.split == VAL for row in rows)
    progress.say(
        f"The {val} images in validation folders validate, {len(rows) - val} train, "
        f"{len(parts.rows) - len(rows)} that repeat one of the former are left out; "
        "to divide anew, give --split a manifest of `edge-mri split`."
    )
    return Partition(rows, [parts.fingerprints[at] for at in kept])


def _chosen(path: Path, rows: Sequence[Row], fold: int | None) -> list[Row]:
    """Return the rows with the sides they have when a fold validates."""
    sides = {row.sample.split for row in rows}
    folds = {side for side in sides if side and side.startswith("fold-")}
    if fold is None:
        if folds:
            raise ManifestError(path, f"it has {len(folds)} folds; say which validates with --fold")
        return list(rows)
    if f"fold-{fold}" not in folds:
        raise ManifestError(
            path, f"it has no fold {fold}, only {', '.join(sorted(folds)) or 'none'}"
        )
    return [
        with_split(row, VAL if row.sample.split == f"fold-{fold}" else TRAIN)
        if row.sample.split in folds
        else row
        for row in rows
    ]


def _validating(path: Path, rows: Sequence[Row], names: Sequence[str]) -> list[Row]:
    """Let sets only validate, and leave out what shares a group with one of their images."""
    sets = {row.sample.root.name for row in rows}
    if unknown := sorted(set(names) - sets):
        raise ManifestError(
            path, f"it has no set {', '.join(unknown)} to validate, only {listed(sorted(sets))}"
        )
    moved = {row.group for row in rows if row.sample.root.name in names}

    def side(row: Row) -> str:
        if row.sample.split != TRAIN or row.group not in moved:
            return row.sample.split or DROPPED
        return VAL if row.sample.root.name in names else DROPPED

    return [with_split(row, side(row)) for row in rows]


def _for_training(samples: Sequence[Sample], progress: Progress) -> list[Sample]:
    """Leave out what lies in test folders."""
    kept = [sample for sample in samples if sample.split != "test"]
    if not kept:
        progress.say("All images lie in a test folder: training on it as it was asked for.")
        return list(samples)
    if len(kept) < len(samples):
        progress.say(f"Left out {len(samples) - len(kept)} images in test folders.")
    return kept


def named_types(samples: Sequence[Sample], space: LabelSpace, progress: Progress) -> LabelSpace:
    """Return the space without the types that no label names: a model cannot learn them.

    A type that only labels of several types name stays: they teach something of it.

    Raises:
        LabelsMissingError: What is left is one type, or nothing says which type an image shows.
    """
    named = {name for sample in samples for name in sample.label.types}
    alone = {sample.label.type for sample in samples}
    types = tuple(name for name in space.types if name in named)
    if len(types) < 2:
        raise LabelsMissingError(
            f"all {len(samples)} images are of one type, {listed(types)}; expected two or more to "
            "tell apart"
        )
    together = [name for name in types if name not in alone]
    if len(together) > 1 and len(together) >= len(types) - 1:
        raise LabelsMissingError(
            f"no image says which of {listed(together)} it shows, only that it is one of several; "
            "to train on the folders' own names, type: --labels folders"
        )
    if together:
        progress.say(
            f"Warning: no image is of type {listed(together)} alone; the model learns "
            f"{'it' if len(together) == 1 else 'them'} only from labels that name several types."
        )
    if types == space.types:
        return space
    gone = [name for name in space.types if name not in named]
    progress.say(
        f"Warning: no image of type {listed(gone)}; the model will tell apart {listed(types)}."
    )
    absent = space.absent if space.absent in types else None
    return LabelSpace(types, space.planes, absent, space.present)


def label_space(
    config: TrainConfig, samples: Sequence[Sample], space: LabelSpace | None = None
) -> LabelSpace:
    """Return the classes that a task means on these images; raises `LabelsMissingError`.

    Args:
        config: Its task.
        samples: The images.
        space: Of their labels; None: the default one.
    """
    space = space or LabelSpace()
    has_planes = any(sample.label.plane for sample in samples) and bool(space.planes)
    if config.task == "type-plane" and not has_planes:
        example = f"{space.types[0]}_{(space.planes or LabelSpace().planes)[0]}"
        raise LabelsMissingError(
            "no class folder names a plane; use --task type, or add a set whose folders do, "
            f"such as {example}"
        )
    return space if has_planes and config.task != "type" else space.without_planes()


def require_all_types(side: str, samples: Sequence[Sample], space: LabelSpace) -> None:
    """Raise `LabelsMissingError` where a side lacks images of a type that labels name."""
    found = {name for sample in samples for name in sample.label.types}
    if missing := [name for name in space.types if name not in found]:
        raise LabelsMissingError(
            f"no {side} image of type {listed(missing)}; expected at least two different "
            "images of each type, more where --val-fraction is small"
        )
