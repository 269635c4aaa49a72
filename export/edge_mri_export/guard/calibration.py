"""Which real images calibrate, check and fine-tune an export.

Training images calibrate and fine-tune, validation images check; images of a test folder are
refused everywhere. Comparing answers on them is `edge_mri_export.guard.parity`.
"""

import hashlib
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_mri.errors import OptionError
from edge_mri.images.preprocess import PreprocessSpec
from edge_mri.labels import Label, LabelSpace, Vocabulary
from edge_mri.terminal.progress import Progress
from edge_mri_export.errors import CalibrationError
from edge_mri_train.data.folders import Sample, read_folders
from edge_mri_train.data.layout import Layout
from edge_mri_train.data.manifest import Row, read_manifest
from edge_mri_train.data.pixels import load_pixels
from edge_mri_train.settings.runs import MANIFEST, checkpoint_file

CALIBRATION_IMAGES = 320
FEW_IMAGES = 300
"""Fewer calibration images than this are worth a warning: the ranges come out too narrow."""
CHECK_IMAGES = 2000


@dataclass(frozen=True)
class CheckImages:
    """The labelled images that two models are compared on.

    Attributes:
        pixels: `(M, 1, S, S)` uint8 network input.
        labels: What is known of each.
        paths: Where each comes from, for people.
    """

    pixels: NDArray[np.uint8]
    labels: tuple[Label, ...]
    paths: tuple[str, ...]

    def first(self, count: int) -> "CheckImages":
        """Return the first of them."""
        return CheckImages(self.pixels[:count], self.labels[:count], self.paths[:count])


@dataclass(frozen=True)
class ExportImages:
    """Network input for an export.

    Attributes:
        calibration: `(N, 1, S, S)` uint8, for the ranges of activations.
        check: For comparing answers, and for choosing between recipes.
        training: Files that a network may be fine-tuned on, one of each class in turn.
        training_sources: The set of each, for the gate.
        check_sources: The set of each check image.
        source: Where they come from, for people.
    """

    calibration: NDArray[np.uint8]
    check: CheckImages
    training: tuple[Path, ...]
    training_sources: tuple[str, ...]
    check_sources: tuple[str, ...]
    source: str

    @property
    def calibration_sha256(self) -> str:
        """Hash of the calibration pixels."""
        return hashlib.sha256(self.calibration.tobytes()).hexdigest()


def load_images(
    folder: Path | None,
    checkpoint: Path,
    spec: PreprocessSpec,
    progress: Progress,
    samples: int | None = None,
    space: LabelSpace | None = None,
) -> ExportImages:
    """Load the images of a folder, or those of the checkpoint's own run.

    Calibration images are one of each class (type and plane) in turn. A folder's validation
    images check; where it has none, all of its images do.

    Args:
        folder: Class folders, or None for the run's images.
        checkpoint: Where the run's manifest lies beside.
        spec: The network's preprocessing.
        progress: Told of the loading.
        samples: How many images calibrate; None for 320, or all where there are fewer.
        space: The labels that the folder's names are to mean; None: the default ones.

    Raises:
        CalibrationError: The run's images cannot be found, or the images are of a test folder, of
            one type alone, or fewer than `samples`.
        UnknownClassError: A folder's name is no class.
        NoImagesError: The folder holds no image.
    """
    _require_samples(samples)
    if folder is not None:
        return load_folder(folder, read_folders([folder]), spec, progress, samples)
    train, check = _run_images(checkpoint)
    source = "training and validation images of the run"
    return _loaded(train, check, source, spec, progress, samples)


def load_folder(
    folder: Path,
    listed: Sequence[Sample],
    spec: PreprocessSpec,
    progress: Progress,
    samples: int | None = None,
) -> ExportImages:
    """Load the images of a folder; see `load_images`.

    Args:
        folder: Where they lie.
        listed: They; where their labels are empty, nothing is known of them.
        spec: The network's preprocessing.
        progress: Told of the loading.
        samples: How many images calibrate.
    """
    _require_samples(samples)
    train, check = _folder_images(folder, listed)
    source = f"folder {folder.resolve().name}"
    return _loaded(train, check, source, spec, progress, samples)


def _require_samples(samples: int | None) -> None:
    if samples is not None and samples < 1:
        raise OptionError(f"--calibration-samples is {samples}; expected 1 or more")


def _loaded(
    train: Sequence[Sample],
    check: Sequence[Sample],
    source: str,
    spec: PreprocessSpec,
    progress: Progress,
    samples: int | None,
) -> ExportImages:
    if samples is not None and samples > len(train):
        raise CalibrationError(
            f"--calibration-samples {samples}, but there are only {len(train)} training images; "
            "give more images with --calibration DIR, or ask for fewer"
        )
    calibration = train[: CALIBRATION_IMAGES if samples is None else samples]
    check = check[:CHECK_IMAGES]
    with progress.bar("calibration and check images", len(calibration) + len(check)) as step:
        return ExportImages(
            load_pixels([sample.file for sample in calibration], spec, on_image=step),
            CheckImages(
                load_pixels([sample.file for sample in check], spec, on_image=step),
                tuple(sample.label for sample in check if any(sample.label.types)),
                tuple(str(sample.file) for sample in check),
            ),
            tuple(sample.here for sample in train),
            tuple(str(sample.root) for sample in train),
            tuple(str(sample.root) for sample in check),
            source,
        )


def load_check_images(
    folder: Path | None,
    checkpoint: Path | None,
    spec: PreprocessSpec,
    progress: Progress,
    space: LabelSpace | None = None,
) -> CheckImages:
    """Load labelled images for comparing answers alone: a folder's, or the run's validation images.

    `space`: see `load_images`.

    A test folder will do here: nothing is fitted to it. At most 2,000, one of each class in turn.

    Raises:
        CalibrationError: There is neither a folder nor a run.
    """
    if folder is not None:
        samples = _in_turn(_mixed(read_folders([folder], _layout(space))))
    elif checkpoint is not None:
        samples = _run_images(checkpoint)[1]
    else:
        raise CalibrationError("no images to compare answers on; say which with --data DIR")
    samples = samples[:CHECK_IMAGES]
    with progress.bar("check images", len(samples)) as step:
        return CheckImages(
            load_pixels([sample.file for sample in samples], spec, on_image=step),
            tuple(sample.label for sample in samples),
            tuple(str(sample.file) for sample in samples),
        )


def require_every_class(labels: Sequence[Label], space: LabelSpace) -> None:
    """Raise `CalibrationError` where no check image's label names a type, or a plane.

    What a quantised file does to a class of which there is no image, nobody would see.
    """
    types = {name for label in labels for name in label.types}
    planes = {label.plane for label in labels if label.plane}
    missing = [one for one in space.types if one not in types]
    if planes:
        missing += [one for one in space.planes if one not in planes]
    if missing:
        raise CalibrationError(
            f"no image to check {', '.join(missing)} on, which the model tells apart; "
            "give a folder with images of every class with --calibration DIR"
        )


def _layout(space: LabelSpace | None) -> Layout:
    return Layout(vocabulary=Vocabulary(space or LabelSpace()))


def _folder_images(folder: Path, samples: Sequence[Sample]) -> tuple[list[Sample], list[Sample]]:
    """Return a folder's images to calibrate and to check with, one of each class in turn."""
    tests = [sample for sample in samples if sample.split == "test"]
    if tests:
        raise CalibrationError(
            f"{len(tests)} of the {len(samples)} images below {folder} lie in a test folder, the "
            f"first is {tests[0].file}; a model that is fitted to test images cannot be tested "
            "on them: give the training folder"
        )
    types = sorted({name for sample in samples for name in sample.label.types})
    if types[0] and len(types) < 2:
        raise CalibrationError(
            f"all {len(samples)} images below {folder} are of type {types[0]}; calibration needs "
            "images of every type the model tells apart"
        )
    val = [sample for sample in samples if sample.split == "val"]
    train = [sample for sample in samples if sample.split != "val"] or val
    return _in_turn(_mixed(train)), _in_turn(_mixed(val or train))


def _run_images(checkpoint: Path) -> tuple[list[Sample], list[Sample]]:
    """Return the run's training and validation images, one of each class in turn."""
    manifest = checkpoint_file(checkpoint).parent / MANIFEST
    if not manifest.is_file():
        raise CalibrationError(
            f"no {MANIFEST} beside {checkpoint}; say which images to use with --calibration DIR"
        )
    rows = sorted(read_manifest(manifest), key=_digest)
    train, val = (
        _in_turn(row.sample for row in rows if row.sample.split == side)
        for side in ("train", "val")
    )
    gone = next((one.file for one in (*train, *val) if not one.here.is_file()), None)
    if gone is not None:
        raise CalibrationError(
            f"the run's images are not where they were ({gone}); "
            "say which images to use with --calibration DIR"
        )
    if not train or not val:
        raise CalibrationError(
            f"{manifest} names {len(train)} training and {len(val)} validation images; both are "
            "needed: say which images to use with --calibration DIR"
        )
    return train, val


def _digest(row: Row) -> str:
    return row.sha256


def _mixed(samples: Sequence[Sample]) -> list[Sample]:
    """Return samples in an order that has nothing to do with their names, always the same."""
    return sorted(samples, key=lambda one: hashlib.sha256(os.fsencode(one.path)).digest())


def _in_turn(samples: Iterable[Sample]) -> list[Sample]:
    """Return one of each class in turn, until all are used."""
    by_label: dict[str, list[Sample]] = {}
    for sample in samples:
        by_label.setdefault(str(sample.label), []).append(sample)
    turns = chain(*zip_longest(*(by_label[name] for name in sorted(by_label))))
    return [sample for sample in turns if sample is not None]
