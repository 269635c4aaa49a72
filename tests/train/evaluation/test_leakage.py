import shutil
from dataclasses import replace

import cv2
import numpy as np
import pytest

from edge_mri.terminal.progress import NoProgress
from edge_mri_train.data.folders import Sample, read_folders
from edge_mri_train.data.manifest import Row, hash_files, write_manifest
from edge_mri_train.data.scan import fingerprint_files
from edge_mri_train.duplicates.seen import SeenImages
from edge_mri_train.errors import ManifestError
from edge_mri_train.evaluation.leakage import Leakage, find_leakage

FOLDER = "glioma_axial"


@pytest.fixture(scope="module")
def sets(head, save, tmp_path_factory):
    """A training set of six heads and a test set that repeats some of them, in known ways."""
    root = tmp_path_factory.mktemp("leakage")
    for index in range(6):
        save(root / "train" / FOLDER / f"{index}.png", head(index, FOLDER, 160))
    tests = root / "held out" / FOLDER
    save(tests / "a exact.bmp", head(0, FOLDER, 160))
    save(tests / "b encoded.jpg", head(1, FOLDER, 160), cv2.IMWRITE_JPEG_QUALITY, 80)
    save(tests / "c mirrored.png", cv2.flip(head(2, FOLDER, 160), 1))
    save(tests / "d new.png", head(10, FOLDER, 160))
    save(tests / "e new again.bmp", head(10, FOLDER, 160))
    save(tests / "f new encoded.jpg", head(10, FOLDER, 160), cv2.IMWRITE_JPEG_QUALITY, 80)
    save(tests / "g other.png", head(11, FOLDER, 160))
    return root


def told(sets) -> list[Sample]:
    return read_folders([sets / "held out"])


def rows_of(sets, split: str = "train") -> list[Row]:
    samples = [replace(one, split=split) for one in read_folders([sets / "train"])]
    hashes = hash_files(samples, NoProgress())
    return [Row(one, digest, "g0") for one, digest in zip(samples, hashes, strict=True)]


@pytest.fixture(scope="module", params=["manifest", "memory"])
def leakage(sets, request) -> Leakage:
    if request.param == "manifest":
        write_manifest(rows_of(sets), sets / "m.csv")
        return find_leakage(told(sets), None, sets / "m.csv", NoProgress())
    files = [one.file for one in read_folders([sets / "train"])]
    seen = SeenImages.of(fingerprint_files(files, NoProgress()))
    return find_leakage(told(sets), seen, None, NoProgress())


def letters(sets, chosen: np.ndarray) -> str:
    return "".join(one.path.name[0] for one, yes in zip(told(sets), chosen, strict=True) if yes)


def test_exact_copies_are_seen_and_edited_ones_are_near(sets, leakage):
    assert letters(sets, leakage.seen) == "a"
    assert letters(sets, leakage.seen_near) == "abc"


def test_repeats_are_the_later_ones(sets, leakage):
    assert letters(sets, leakage.repeats) == "e"


def test_the_readings_follow(sets, leakage):
    assert letters(sets, leakage.duplicate_free) == "bcdfg"
    assert letters(sets, leakage.group_clean) == "dfg"


def test_groups_are_within_the_test_set(sets, leakage):
    groups = dict(zip("abcdefg", leakage.groups.tolist(), strict=True))
    assert groups["d"] == groups["e"] == groups["f"]
    assert len({groups[letter] for letter in "abcdg"}) == 5


def test_it_says_from_where_the_training_images_are_known(leakage):
    assert leakage.source in {
        "manifest m.csv, 6 images",
        "what the model remembers, 6 images",
    }


def test_a_patient_of_a_seen_image_is_not_clean(sets):
    samples = [replace(one, group="P1" if one.path.name[0] in "ag" else None) for one in told(sets)]
    seen = SeenImages.of(fingerprint_files([samples[0].file], NoProgress()))
    leakage = find_leakage(samples, seen, None, NoProgress())
    assert letters(sets, leakage.duplicate_free) == "bcdfg"
    assert letters(sets, leakage.group_clean) == "bcdf"


def test_without_any_source_only_repeats_are_known(sets):
    leakage = find_leakage(told(sets), None, None, NoProgress())
    assert leakage.source is None
    assert not leakage.seen.any()
    assert not leakage.seen_near.any()
    assert letters(sets, leakage.duplicate_free) == "abcdfg"


@pytest.mark.parametrize("split", ["test", "dropped"])
def test_what_a_manifest_kept_from_training_was_not_seen(sets, tmp_path, split):
    rows = rows_of(sets, split)
    rows[1] = replace(rows[1], sample=replace(rows[1].sample, split="fold-1"))
    write_manifest(rows, tmp_path / "m.csv")
    leakage = find_leakage(told(sets), None, tmp_path / "m.csv", NoProgress())
    assert letters(sets, leakage.seen_near) == "b"
    assert leakage.source == "manifest m.csv, 1 images"


def test_a_manifest_goes_before_what_the_model_remembers(sets, tmp_path):
    write_manifest(rows_of(sets)[:1], tmp_path / "m.csv")
    everything = SeenImages.of(fingerprint_files([one.file for one in told(sets)], NoProgress()))
    leakage = find_leakage(told(sets), everything, tmp_path / "m.csv", NoProgress())
    assert letters(sets, leakage.seen_near) == "a"


def test_a_manifest_whose_files_changed_or_are_gone_is_refused_with_the_list(sets, tmp_path):
    shutil.copytree(sets / "train", tmp_path / "train")
    write_manifest(rows_of(tmp_path), tmp_path / "m.csv")
    (tmp_path / "train" / FOLDER / "2.png").write_bytes(b"other")
    (tmp_path / "train" / FOLDER / "4.png").unlink()
    with pytest.raises(ManifestError, match=r"2 of its 6 .*/2.png \(changed\), .*/4.png \(miss"):
        find_leakage(told(sets), None, tmp_path / "m.csv", NoProgress())
