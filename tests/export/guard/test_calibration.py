import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from edge_mri.errors import FolderNotFoundError, NoImagesError
from edge_mri.images.preprocess import PreprocessSpec
from edge_mri.labels import Label, LabelSpace
from edge_mri.terminal.progress import NoProgress
from edge_mri_export.errors import CalibrationError
from edge_mri_export.guard import calibration
from edge_mri_export.guard.calibration import load_images, require_every_class
from edge_mri_train.data.folders import read_folders
from edge_mri_train.data.manifest import DROPPED, Row, with_split, write_manifest
from edge_mri_train.data.partition import partition
from edge_mri_train.data.pixels import load_pixels
from edge_mri_train.data.split import SplitConfig

SPEC = PreprocessSpec(32)


def divided(folder: Path) -> list[Row]:
    config = SplitConfig({"train": 0.75, "val": 0.25})
    return partition(read_folders([folder]), config, NoProgress()).rows


def copied(phantoms: Path, folder: Path, pattern: str, split: str) -> None:
    for file in sorted(phantoms.glob(pattern)):
        target = folder / split / file.parent.name / file.name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, target)


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
    for part, side in ((images.calibration, "train"), (images.check.pixels, "val")):
        files = [row.sample.file for row in rows if row.sample.split == side]
        assert len(part) == len(files)
        assert as_set(part) == as_set(load_pixels(files, SPEC))
    assert images.source == "training and validation images of the run"
    labels = {str(row.sample.file): row.sample.label for row in rows if row.sample.split == "val"}
    assert dict(zip(images.check.paths, images.check.labels, strict=True)) == labels
    training = {row.sample.file for row in rows if row.sample.split == "train"}
    assert set(images.training) == training


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
    assert len(images.calibration) == len(images.check.pixels) == 48
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


def test_test_images_never_calibrate(phantoms, tmp_path):
    copied(phantoms, tmp_path, "glioma_*/*", "Training")
    copied(phantoms, tmp_path, "pituitary_*/*", "Testing")
    for folder, count in ((tmp_path, 24), (tmp_path / "Testing", 12)):
        with pytest.raises(CalibrationError) as caught:
            load_images(folder, tmp_path / "c.pt", SPEC, NoProgress())
        message = str(caught.value)
        assert message.startswith(f"12 of the {count} images below {folder} lie in a test folder")
        assert message.endswith("cannot be tested on them: give the training folder")


def test_a_manifests_test_images_and_dropped_ones_stay_out(run):
    checkpoint, rows = run
    sides = dict.fromkeys((row.sample.split for row in rows), 0)
    moved = []
    for position, row in enumerate(rows):
        side = ("test", DROPPED, row.sample.split)[min(position, 2)]
        moved.append(with_split(row, side))
        sides[side] = sides.get(side, 0) + 1
    write_manifest(moved, checkpoint.parent / "split.csv")
    images = load_images(None, checkpoint, SPEC, NoProgress())
    assert len(images.calibration) == sides["train"]
    assert len(images.check.pixels) == sides["val"]
    assert sides["train"] + sides["val"] == len(rows) - 2


def test_images_of_one_type_do_not_calibrate(phantoms, tmp_path):
    copied(phantoms, tmp_path, "glioma_*/*", "")
    with pytest.raises(CalibrationError) as caught:
        load_images(tmp_path, tmp_path / "c.pt", SPEC, NoProgress())
    assert str(caught.value) == (
        f"all 12 images below {tmp_path} are of type glioma; calibration needs images of every "
        "type the model tells apart"
    )


def test_a_folders_validation_images_check(phantoms, tmp_path):
    copied(phantoms, tmp_path, "*_axial/*", "train")
    copied(phantoms, tmp_path, "*_coronal/*", "val")
    images = load_images(tmp_path, tmp_path / "c.pt", SPEC, NoProgress())
    assert {label.plane for label in images.check.labels} == {"coronal"}
    assert all("_axial" in str(file) for file in images.training)
    assert len(images.calibration) == len(images.check.pixels) == 16


def test_as_many_images_calibrate_as_asked_for(phantoms, tmp_path):
    images = load_images(phantoms, tmp_path / "c.pt", SPEC, NoProgress(), samples=24)
    assert len(images.calibration) == 24
    assert {file.parent.name for file in images.training[:12]} == {
        folder.name for folder in phantoms.iterdir() if folder.is_dir()
    }
    with pytest.raises(CalibrationError) as caught:
        load_images(phantoms, tmp_path / "c.pt", SPEC, NoProgress(), samples=49)
    assert str(caught.value) == (
        "--calibration-samples 49, but there are only 48 training images; "
        "give more images with --calibration DIR, or ask for fewer"
    )


def test_a_class_without_an_image_to_check_it_on_is_refused():
    space = LabelSpace()
    require_every_class(space.classes, space)
    by_type = [Label(name, None) for name in space.types]
    require_every_class(by_type, space)  # of planes nothing is known
    some = [one for one in space.classes if one.type != "pituitary" and one.plane != "sagittal"]
    with pytest.raises(CalibrationError) as caught:
        require_every_class(some, space)
    assert str(caught.value) == (
        "no image to check pituitary, sagittal on, which the model tells apart; give a folder with "
        "images of every class with --calibration DIR"
    )
