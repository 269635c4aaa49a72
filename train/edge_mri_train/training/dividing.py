"""Which images a run trains on and which validate: its folders divided, or a manifest's sides.

Where some folders are named like a validation split, they validate and the others train; else the
images are divided. Those in test folders are left out.
"""

from collections.abc import Sequence
from pathlib import Path

from edge_mri.errors import listed
from edge_mri.labels import LabelSpace
from edge_mri.terminal.progress import Progress
from edge_mri_train.data.folders import Sample, breakdown, read_folders
from edge_mri_train.data.grouping import IdSource
from edge_mri_train.data.layout import Layout
from edge_mri_train.data.manifest import DROPPED, Row, check_manifest, read_manifest, with_split
from edge_mri_train.data.partition import Partition, partition
from edge_mri_train.data.scan import fingerprint_files
from edge_mri_train.data.split import TRAIN, VAL, SplitConfig
from edge_mri_train.errors import LabelsMissingError, ManifestError
from edge_mri_train.settings.config import TrainConfig


def divided(config: TrainConfig, progress: Progress) -> Partition:
    """Divide the images, or take the division of a manifest."""
    if config.split is not None:
        path = Path(config.split)
        rows = read_manifest(path)
        check_manifest(path, rows, progress)
        rows = _chosen(path, rows, config.fold)
        rows = _validating(path, rows, config.validate_only)
        rows = [row for row in rows if row.sample.split in (TRAIN, VAL)]
        progress.say(breakdown([row.sample for row in rows]))
        return Partition(rows, fingerprint_files([row.sample.file for row in rows], progress))
    layout = Layout.from_options(config.maps, Path(config.index) if config.index else None)
    roots = [Path(root) for root in config.data]
    samples = _for_training(read_folders(roots, layout, progress), progress)
    progress.say(breakdown(samples))
    validating = [sample for sample in samples if sample.split == VAL]
    has_own = 0 < len(validating) < len(samples)
    space = label_space(config, samples)
    require_all_types("training", samples, space)  # before minutes of search
    if has_own:
        require_all_types("validation", validating, space)
    shares = {TRAIN: 1 - config.val_fraction, VAL: config.val_fraction}
    sides = SplitConfig(shares, config.seed, keep_val=has_own)
    parts = partition(samples, IdSource(), sides, progress)
    return _without_dropped(parts, progress) if has_own else parts


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


def label_space(config: TrainConfig, samples: Sequence[Sample]) -> LabelSpace:
    """Return the classes that a task means on these images; raises `LabelsMissingError`."""
    has_planes = any(sample.label.plane for sample in samples)
    if config.task == "auto":
        return LabelSpace.for_task("type-plane" if has_planes else "type")
    if config.task == "type-plane" and not has_planes:
        raise LabelsMissingError(
            "no class folder names a plane; use --task type, or add a set whose folders do, "
            "such as glioma_axial"
        )
    return LabelSpace.for_task(config.task)


def require_all_types(side: str, samples: Sequence[Sample], space: LabelSpace) -> None:
    """Raise `LabelsMissingError` where a side lacks images of a type."""
    found = {sample.label.type for sample in samples}
    if missing := [name for name in space.types if name not in found]:
        raise LabelsMissingError(
            f"no {side} image of type {', '.join(missing)}; expected at least two different "
            "images of each type, more where --val-fraction is small"
        )
