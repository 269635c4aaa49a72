import os
from pathlib import Path

import numpy as np
import pytest

from edge_mri.errors import FolderNotFoundError, NoImagesError
from edge_mri.preprocess import PreprocessSpec
from edge_mri.progress import NoProgress
from edge_mri_export import calibration
from edge_mri_export.calibration import load_images
from edge_mri_export.errors import CalibrationError
from edge_mri_train.folders import read_folders
from edge_mri_train.grouping import IdSource
from edge_mri_train.manifest import Row, write_manifest
from edge_mri_train.partition import partition
from edge_mri_train.pixels import load_pixels
from edge_mri_train.split import SplitConfig

SPEC = PreprocessSpec(32)


def divided(folder: Path) -> list[Row]:
    config = SplitConfig({"train": 0.75, "val": 0.25})
    return partition(read_folders([folder]), IdSource(), config, NoProgress()).rows


@pytest.fixture
def run(phantoms, tmp_path):
    """A run's folder: a checkpoint's place, and the manifest beside it."""
    rows = divided(phantoms)
    write_manifest(rows, tmp_path / "split.csv")
    return tmp_path / "checkpoint.pt", rows


def as_set(pixels: np.ndarray) -> set[bytes]:
    return {image.tobytes() for image in pixels}


def test_training_images_calibrate_and_validation_images_check(run):
    checkpoint, rows = run
    images = load_images(None, checkpoint, SPEC, NoProgress())
    for part, side in ((images.calibration, "train"), (images.parity, "val")):
        files = [row.sample.file for row in rows if row.sample.split == side]
        assert len(part) == len(files)
        assert as_set(part) == as_set(load_pixels(files, SPEC))
    assert images.source == "training and validation images of the run"


def test_a_few_images_of_a_run_are_one_of_each_class(run, monkeypatch):
    checkpoint, rows = run
    monkeypatch.setattr(calibration, "CALIBRATION_IMAGES", 12)
    few = load_images(None, checkpoint, SPEC, NoProgress()).calibration
    classes = {
        str(row.sample.label)
        for row in rows
        if as_set(load_pixels([row.sample.file], SPEC)) <= as_set(few)
    }
    assert len(few) == len(classes) == 12


def test_a_folder_serves_for_both(phantoms, tmp_path):
    images = load_images(phantoms, tmp_path / "checkpoint.pt", SPEC, NoProgress())
    assert len(images.calibration) == len(images.parity) == 48
    assert images.source == f"folder {phantoms.name}"


def test_a_few_images_of_a_folder_are_spread_over_it(phantoms, tmp_path, monkeypatch):
    monkeypatch.setattr(calibration, "CALIBRATION_IMAGES", 12)
    images = load_images(phantoms, tmp_path / "checkpoint.pt", SPEC, NoProgress())
    files = sorted(phantoms.glob("*/*.png"))
    chosen = [
        file for file in files if as_set(load_pixels([file], SPEC)) <= as_set(images.calibration)
    ]
    assert len(images.calibration) == 12
    assert len({file.parent for file in chosen}) >= 11


def test_the_hash_is_that_of_the_pixels(phantoms, tmp_path):
    first = load_images(phantoms, tmp_path / "c.pt", SPEC, NoProgress())
    again = load_images(phantoms, tmp_path / "c.pt", SPEC, NoProgress())
    other = load_images(phantoms, tmp_path / "c.pt", PreprocessSpec(40), NoProgress())
    assert len(first.calibration_sha256) == 64
    assert first.calibration_sha256 == again.calibration_sha256 != other.calibration_sha256


def test_without_a_run_beside_the_checkpoint_it_says_what_to_do(tmp_path):
    with pytest.raises(CalibrationError) as caught:
        load_images(None, tmp_path / "checkpoint.pt", SPEC, NoProgress())
    assert str(caught.value) == (
        f"no split.csv beside {tmp_path}/checkpoint.pt; "
        "say which images to use with --calibration DIR"
    )


def test_images_of_a_run_that_are_gone_are_named(phantoms, tmp_path):
    rows = divided(phantoms)
    write_manifest(rows, tmp_path / "split.csv")
    text = (tmp_path / "split.csv").read_text()
    (tmp_path / "split.csv").write_text(text.replace(os.path.relpath(phantoms, tmp_path), "/gone"))
    with pytest.raises(CalibrationError) as caught:
        load_images(None, tmp_path / "checkpoint.pt", SPEC, NoProgress())
    assert str(caught.value).startswith("the run's images are not where they were (/gone/")
    assert str(caught.value).endswith("); say which images to use with --calibration DIR")


def test_a_folder_without_images_or_none_at_all_is_refused(tmp_path):
    with pytest.raises(NoImagesError):
        load_images(tmp_path, tmp_path / "checkpoint.pt", SPEC, NoProgress())
    with pytest.raises(FolderNotFoundError):
        load_images(tmp_path / "gone", tmp_path / "checkpoint.pt", SPEC, NoProgress())
