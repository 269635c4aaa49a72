"""Which real images calibrate and check an export."""

import hashlib
from dataclasses import dataclass
from itertools import chain, zip_longest
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_mri.errors import NoImagesError
from edge_mri.images import SUFFIXES, ImageFiles
from edge_mri.preprocess import PreprocessSpec
from edge_mri.progress import Progress
from edge_mri_export.errors import CalibrationError
from edge_mri_train.manifest import read_manifest
from edge_mri_train.pixels import load_pixels
from edge_mri_train.runs import MANIFEST

CALIBRATION_IMAGES = 320
PARITY_IMAGES = 1000


@dataclass(frozen=True)
class ExportImages:
    """Network input for an export.

    Attributes:
        calibration: `(N, 1, S, S)` uint8, for the ranges of activations.
        parity: `(M, 1, S, S)` uint8, for comparing answers.
        source: Where they come from, for people.
    """

    calibration: NDArray[np.uint8]
    parity: NDArray[np.uint8]
    source: str

    @property
    def calibration_sha256(self) -> str:
        """Hash of the calibration pixels."""
        return hashlib.sha256(self.calibration.tobytes()).hexdigest()


def load_images(
    folder: Path | None, checkpoint: Path, spec: PreprocessSpec, progress: Progress
) -> ExportImages:
    """Load the images of a folder, or those of the checkpoint's own run.

    From a run, training images calibrate and validation images check; from a folder, both do.

    Raises:
        CalibrationError: No folder was given and the run's images cannot be found.
        NoImagesError: The folder holds no image.
    """
    if folder is not None:
        files = list(ImageFiles([folder]))
        if not files:
            raise NoImagesError([folder], SUFFIXES)
        calibration, parity = _spread(files, CALIBRATION_IMAGES), _spread(files, PARITY_IMAGES)
        source = f"folder {folder.resolve().name}"
    else:
        train, val = _run_images(checkpoint)
        calibration, parity = train[:CALIBRATION_IMAGES], val[:PARITY_IMAGES]
        source = "training and validation images of the run"
    with progress.bar("calibration and parity images", len(calibration) + len(parity)) as step:
        return ExportImages(
            load_pixels(calibration, spec, on_image=step),
            load_pixels(parity, spec, on_image=step),
            source,
        )


def _run_images(checkpoint: Path) -> tuple[list[Path], list[Path]]:
    """Return the run's training and validation images, one of each class in turn."""
    manifest = checkpoint.parent / MANIFEST
    if not manifest.is_file():
        raise CalibrationError(
            f"no {MANIFEST} beside {checkpoint}; say which images to use with --calibration DIR"
        )
    parts: dict[str, dict[str, list[Path]]] = {"train": {}, "val": {}}
    for row in sorted(read_manifest(manifest), key=lambda row: row.sha256):
        by_label = parts[row.sample.split or "train"]
        by_label.setdefault(str(row.sample.label), []).append(row.sample.file)
    train, val = (
        [file for file in chain(*zip_longest(*by_label.values())) if file is not None]
        for by_label in parts.values()
    )
    gone = next((file for file in (*train, *val) if not file.is_file()), None)
    if gone is not None:
        raise CalibrationError(
            f"the run's images are not where they were ({gone}); "
            "say which images to use with --calibration DIR"
        )
    return train, val


def _spread(files: list[Path], count: int) -> list[Path]:
    """Return up to `count` files, evenly over the list."""
    if len(files) <= count:
        return files
    return [files[round(position)] for position in np.linspace(0, len(files) - 1, count)]
