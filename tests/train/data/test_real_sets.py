"""What was measured on the real image sets by other means, found by the toolkit."""

import csv
from pathlib import Path

import pytest

from edge_mri.terminal.progress import NoProgress
from edge_mri_train.audit.auditing import Audit, AuditConfig, audit
from edge_mri_train.data.folders import read_folders
from edge_mri_train.data.layout import Layout
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


def test_the_listed_label_faults_are_files_whose_labels_say_the_contrary(data_dir):
    faults = Path(__file__).parents[3] / "docs" / "label-faults.csv"
    with faults.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    listed = {(row["set"], row["path"]): row["sha256"] for row in rows}
    shows = {(row["set"], row["path"]): row["shows"] for row in rows}
    roots = [data_dir / name for name in ("nickparvar", "artemis", "f44")]
    layout = Layout(("other_pathology=skip",))
    found = read_folders(roots, layout)
    samples = [one for one in found if (one.root.name, str(one.path)) in listed]
    for one in samples:
        is_free = one.label.types == ("no_tumor",)
        assert is_free is (shows[one.root.name, str(one.path)] in ("ct", "lesion"))
    hashes = hash_files(samples, NoProgress())
    hashed = {(one.root.name, str(one.path)): h for one, h in zip(samples, hashes, strict=True)}
    assert hashed == listed
