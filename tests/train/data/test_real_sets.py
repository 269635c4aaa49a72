"""What was measured on the real image sets by other means, found by the toolkit."""

import csv
from pathlib import Path

import pytest

from edge_mri.terminal.progress import NoProgress
from edge_mri_train.audit.auditing import Audit, AuditConfig, audit
from edge_mri_train.data.folders import read_folders
from edge_mri_train.data.manifest import hash_files
from edge_mri_train.data.scan import fingerprint_files
from edge_mri_train.duplicates.seen import SeenImages


@pytest.fixture(scope="module")
def artemis(data_dir: Path) -> Audit:
    return audit(AuditConfig((data_dir / "artemis",)), NoProgress())


def test_every_exact_copy_of_artemis_is_found(artemis):
    report = artemis.report
    assert report["images"] == 3246
    assert report["unique_images"] == 2854  # 3009 by their bytes
    assert report["leakage"]["exact"] == 249
    assert report["leakage"]["held_out"] == 393
    assert report["unreadable"] == []


def test_the_contradicting_planes_of_artemis_are_found(artemis):
    exact = [pair for pair in artemis.conflicts if pair.kind == "exact"]
    labels = [(str(pair.first.label), str(pair.second.label)) for pair in exact]
    assert sorted(tuple(sorted(one)) for one in labels) == [
        ("glioma_axial", "glioma_coronal"),
        ("no_tumor_axial", "no_tumor_coronal"),
        ("no_tumor_axial", "no_tumor_coronal"),
    ]


def test_every_exact_copy_of_nickparvar_is_recognised_from_hashes_alone(data_dir):
    training, testing = (
        fingerprint_files(
            [sample.file for sample in read_folders([data_dir / "nickparvar" / name])],
            NoProgress(),
        )
        for name in ("Training", "Testing")
    )
    assert len(testing) == 1311
    assert SeenImages.of(training).exact(testing).sum() >= 216


def test_the_listed_label_faults_are_files_of_the_sets_labelled_without_a_tumour(data_dir):
    faults = Path(__file__).parents[3] / "docs" / "label-faults.csv"
    with faults.open(newline="", encoding="utf-8") as file:
        listed = {(row["set"], row["path"]): row["sha256"] for row in csv.DictReader(file)}
    roots = [data_dir / name for name in ("nickparvar", "artemis")]
    samples = [one for one in read_folders(roots) if (one.root.name, str(one.path)) in listed]
    assert {one.label.type for one in samples} == {"no_tumor"}
    hashes = hash_files(samples, NoProgress())
    found = {(one.root.name, str(one.path)): h for one, h in zip(samples, hashes, strict=True)}
    assert found == listed
