import json
import shutil
import struct
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_mri.errors import FolderNotFoundError, NoImagesError
from edge_mri.terminal.progress import NoProgress
from edge_mri_train.audit.auditing import Audit, AuditConfig, audit, findings, set_names
from edge_mri_train.data.folders import read_folders
from edge_mri_train.data.grouping import IdSource
from edge_mri_train.data.layout import Layout
from edge_mri_train.data.manifest import Row, hash_files, write_manifest
from edge_mri_train.errors import IndexFileError, NoUsableImagesError, UnknownClassError


def audited(*folders: Path, **values) -> Audit:
    return audit(AuditConfig(folders, **values), NoProgress())


@pytest.fixture(scope="module")
def faulty(head, save, tmp_path_factory) -> Path:
    """A set whose faults are known.

    Ten heads to train on and four to test with; two of the test images are copies, two edited
    copies of training images. One training image repeats another; one pair has two types, one two
    planes. A damaged file, an empty one, a folder of no known class.
    """
    root = tmp_path_factory.mktemp("faulty set, é")
    train, test = root / "Training", root / "Testing"
    for index in range(7):
        save(train / "glioma_axial" / f"{index}.png", head(index, "glioma_axial", 160))
    for index in range(7, 9):
        save(train / "no_axial" / f"{index}.png", head(index, size_px=160))
    save(train / "no_coronal" / "9.png", head(9, "no_tumor_coronal", 160))
    deep = head(8, size_px=160).astype(np.uint16) * 257
    save(train / "no_axial" / "deep.png", deep)  # the same head: near, since it is no copy
    save(train / "glioma_axial" / "copy.bmp", head(0, "glioma_axial", 160))
    save(train / "no_axial" / "type.png", head(1, "glioma_axial", 160))
    save(train / "glioma_sagittal" / "plane.png", head(2, "glioma_axial", 160))
    colour = cv2.cvtColor(head(3, "glioma_axial", 160), cv2.COLOR_GRAY2BGR)
    save(test / "glioma_axial" / "exact.png", colour)
    save(test / "no_axial" / "exact.bmp", head(7, size_px=160))
    smaller = cv2.resize(head(4, "glioma_axial", 160), (120, 120), interpolation=cv2.INTER_AREA)
    save(test / "glioma_axial" / "flipped.jpg", cv2.flip(head(5, "glioma_axial", 160), 0))
    save(test / "glioma_axial" / "smaller.jpg", smaller, cv2.IMWRITE_JPEG_QUALITY, 85)
    save(test / "no_axial" / "new.png", head(20, size_px=160))
    save(root / "Training" / "cats" / "a.png", head(30, size_px=160))
    (train / "glioma_axial" / "damaged.png").write_bytes(b"no image")
    (train / "glioma_axial" / "empty.jpg").touch()
    return root


@pytest.fixture(scope="module")
def found(faulty) -> Audit:
    return audited(faulty)


def names(pairs) -> set[tuple[str, str, str]]:
    return {(pair.kind, pair.first.path.name, pair.second.path.name) for pair in pairs}


def test_the_report_is_json(found):
    text = json.dumps(found.report, allow_nan=False)
    assert json.dumps(json.loads(text)) == text


def test_images_are_counted_by_split_type_and_plane(found, faulty):
    assert found.report["images"] == 19
    counts = {
        (row["split"], row["type"], row["plane"]): row["images"]
        for row in found.report["breakdown"]
    }
    assert counts == {
        ("train", "glioma", "axial"): 8,
        ("train", "glioma", "sagittal"): 1,
        ("train", "no_tumor", "axial"): 4,
        ("train", "no_tumor", "coronal"): 1,
        ("test", "glioma", "axial"): 3,
        ("test", "no_tumor", "axial"): 2,
    }
    assert found.report["sets"] == [faulty.name]


def test_imbalance_is_told_with_the_remedy(found):
    imbalance = found.report["imbalance"]
    assert imbalance["largest"] == ["glioma_axial", 8]
    assert imbalance["smallest"][1] == 1
    assert "--class-weights balanced" in imbalance["remedy"]
    assert "--sampler weighted" in imbalance["remedy"]


def test_balanced_classes_need_no_remedy(heads):
    assert audited(heads).report["imbalance"] is None


def test_formats_channels_depths_and_sizes_are_counted(found):
    files = found.report["files"]
    assert files["formats"] == {"PNG": 15, "BMP": 2, "JPEG": 2}
    assert files["channels"] == {"1": 18, "3": 1}
    assert files["bit_depths"] == {"8": 18, "16": 1}
    assert files["sizes"] == 2
    assert files["common_sizes"] == [
        {"width_px": 160, "height_px": 160, "images": 18},
        {"width_px": 120, "height_px": 120, "images": 1},
    ]


def test_what_does_not_decode_is_told_with_the_reason(found, faulty):
    folder = faulty / "Training" / "glioma_axial"
    assert found.report["unreadable"] == [
        {
            "path": str(folder / "damaged.png"),
            "reason": "not an image in a known format, or damaged",
        },
        {"path": str(folder / "empty.jpg"), "reason": "the file is empty"},
    ]


def test_folders_of_no_known_class_are_told(found, faulty):
    assert found.report["unknown_folders"] == {str(faulty / "Training" / "cats"): 1}


def test_every_leak_is_found_and_nothing_else(found):
    assert names(found.leaks) == {
        ("exact", "exact.png", "3.png"),
        ("exact", "exact.bmp", "7.png"),
        ("near", "flipped.jpg", "5.png"),
        ("near", "smaller.jpg", "4.png"),
    }
    leakage = found.report["leakage"]
    assert (leakage["exact"], leakage["near"], leakage["held_out"]) == (2, 2, 5)
    assert [pair["kind"] for pair in leakage["pairs"]] == ["exact", "exact", "near", "near"]
    assert leakage["pairs"][0]["score"] == 1
    assert 0.9 <= leakage["pairs"][-1]["score"] < 1


def test_repeats_inside_a_part_are_found(found):
    assert names(found.repeats) == {
        ("exact", "0.png", "copy.bmp"),
        ("exact", "1.png", "type.png"),
        ("exact", "2.png", "plane.png"),
        ("near", "8.png", "deep.png"),
    }


def test_contradicting_labels_are_found_of_type_and_of_plane(found):
    assert names(found.conflicts) == {
        ("exact", "1.png", "type.png"),
        ("exact", "2.png", "plane.png"),
    }
    assert sorted(one["labels"] for one in found.report["conflicts"]) == [
        ["glioma_axial", "glioma_sagittal"],
        ["glioma_axial", "no_tumor_axial"],
    ]


def test_overlap_counts_the_images_of_each_part_that_stand_in_each(found, faulty):
    train, test = f"{faulty.name} train", f"{faulty.name} test"
    assert found.report["overlap"] == {
        "exact": {train: {train: 6, test: 2}, test: {train: 2, test: 0}},
        "near": {train: {train: 8, test: 4}, test: {train: 4, test: 0}},
    }


def test_unique_images_and_groups(found):
    assert found.report["unique_images"] == 14
    groups = found.report["groups"]
    assert groups["count"] == 11
    assert groups["largest"][:9] == [2] * 8 + [1]
    assert groups["singletons"] == 3


def test_ids_make_groups_larger(faulty):
    groups = audited(faulty, ids=IdSource(pattern="Training")).report["groups"]
    assert groups["count"] == 2
    assert groups["largest"] == [18, 1]


def test_the_operating_point_is_told(found):
    point = found.report["operating_point"]
    assert 0.5 < point["related"] < point["near"] < 1
    assert "Measured" in point["measured"]


def test_findings_count_what_a_build_may_fail_on(found):
    assert findings(found.report) == {
        "leakage": 4,
        "conflicts": 2,
        "unreadable": 2,
        "passed-over": 0,
        "unknown-folders": 1,
        "missing": 0,
    }


def test_copies_are_found_across_sets(heads, head, save, tmp_path):
    save(tmp_path / "other" / "glioma_axial" / "a.jpg", head(0, "glioma_axial"), 1, 90)
    save(tmp_path / "other" / "glioma_axial" / "b.bmp", head(12, "glioma_axial"))
    overlap = audited(heads, tmp_path / "other").report["overlap"]
    assert overlap["exact"]["other all"][f"{heads.name} all"] == 1
    assert overlap["near"]["other all"][f"{heads.name} all"] == 2
    assert overlap["near"][f"{heads.name} all"]["other all"] == 2


def test_a_conflict_of_many_copies_is_told_once(head, save, tmp_path):
    for number in range(3):
        save(tmp_path / "glioma" / f"{number}.png", head(0))
        save(tmp_path / "pituitary" / f"{number}.jpg", head(0), cv2.IMWRITE_JPEG_QUALITY, 80)
        save(tmp_path / "a" / "glioma" / f"{number}.jpg", head(0), cv2.IMWRITE_JPEG_QUALITY, 80)
    kinds = [pair.kind for pair in audited(tmp_path).conflicts]
    assert sorted(kinds) == ["exact", "near"]


def test_an_unlabelled_plane_contradicts_none(head, save, tmp_path):
    save(tmp_path / "glioma" / "a.png", head(0))
    save(tmp_path / "glioma_axial" / "a.png", head(0))
    assert audited(tmp_path).conflicts == []


def test_shortcuts_are_told(head, save, tmp_path):
    """The healthy ones have a bright frame."""
    for index in range(12):
        save(tmp_path / "glioma" / f"{index}.png", head(index, "glioma_axial"))
        framed = cv2.copyMakeBorder(head(20 + index), 4, 4, 4, 4, cv2.BORDER_CONSTANT, value=90)
        save(tmp_path / "no" / f"{index}.png", framed)
    shortcut = audited(tmp_path).report["shortcut"]
    assert shortcut["balanced_accuracy"] > 0.9
    assert shortcut["n"] == 24
    assert audited(tmp_path / "no").report["shortcut"] is None


def test_an_index_gives_labels_groups_and_splits(head, save, tmp_path):
    for index in range(3):
        save(tmp_path / "flat" / f"{index}.png", head(index))
    save(tmp_path / "flat" / "3.png", head(0))
    (tmp_path / "index.csv").write_text(
        "path,label,plane,patient,split\n0.png,tumor,axial,P1,train\n1.png,no,axial,P2,train\n"
        "2.png,no,axial,P1,test\n3.png,tumor,axial,P1,test\ngone.png,no,axial,P3,test\n"
    )
    layout = Layout.from_options(("tumor=glioma",), tmp_path / "index.csv")
    report = audited(tmp_path / "flat", layout=layout).report
    assert report["missing"] == ["gone.png"]
    assert report["images"] == 4
    assert report["leakage"]["exact"] == 1
    assert report["groups"]["count"] == 2


@pytest.mark.parametrize("folds", [False, True])
def test_a_manifest_is_audited_by_its_sides(head, save, tmp_path, folds):
    for index in range(4):
        save(tmp_path / "set" / "glioma" / f"{index}.png", head(index))
    save(tmp_path / "set" / "glioma" / "4.png", head(0))
    samples = read_folders([tmp_path / "set"])
    hashes = hash_files(samples, NoProgress())
    sides = ["fold-0", "fold-0", "fold-1", "fold-1"] if folds else ["train", "train", "val", "val"]

    def leaks_with(side: str) -> int:
        rows = [
            Row(replace(one, split=where), digest, f"g{one.path.stem}")
            for one, digest, where in zip(samples, hashes, [*sides, side], strict=True)
        ]
        write_manifest(rows, tmp_path / "m.csv")
        return findings(audited(manifest=tmp_path / "m.csv").report)["leakage"]

    assert leaks_with(sides[0]) == 0
    assert leaks_with("dropped") == 0
    assert leaks_with(sides[3]) > 0


def test_a_patient_on_two_sides_is_a_leak(head, save, tmp_path):
    for index, side in enumerate(["train", "train", "test", "test"]):
        save(tmp_path / "set" / side / "glioma" / f"{index}.png", head(index))
    (tmp_path / "ids.csv").write_text(
        "path,patient\n"
        "train/glioma/0.png,a\ntrain/glioma/1.png,b\n"
        "test/glioma/2.png,b\ntest/glioma/3.png,c\n"
    )
    without = audited(tmp_path / "set").report
    known = audited(tmp_path / "set", ids=IdSource(tmp_path / "ids.csv")).report
    assert (without["leakage"]["patients"], findings(without)["leakage"]) == (0, 0)
    assert (known["leakage"]["patients"], findings(known)["leakage"]) == (1, 1)


def test_set_names_are_as_long_as_it_takes():
    assert list(set_names([Path("/a/b/c"), Path("/a/d/c")]).values()) == ["b/c", "d/c"]
    assert list(set_names([Path("/a/b/c"), Path("/a/d/e")]).values()) == ["c", "e"]


def test_one_image_has_a_report(head, save, tmp_path):
    save(tmp_path / "glioma" / "a.png", head(0))
    report = audited(tmp_path).report
    assert (report["images"], report["unique_images"]) == (1, 1)
    assert report["groups"] == {"count": 1, "singletons": 1, "largest": [1]}
    assert report["shortcut"] is report["imbalance"] is None


def test_a_link_that_leads_back_is_followed_once(heads, tmp_path):
    shutil.copytree(heads, tmp_path / "set")
    (tmp_path / "set" / "glioma_axial" / "loop").symlink_to(tmp_path / "set")
    (tmp_path / "set" / "self").symlink_to(tmp_path / "set" / "self")
    report = audited(tmp_path / "set").report
    assert report["images"] == 24


def test_folders_that_cannot_be_audited_are_refused(tmp_path):
    with pytest.raises(FolderNotFoundError):
        audited(tmp_path / "gone")
    with pytest.raises(NoImagesError):
        audited(tmp_path)
    for name in ("cats/a.png", "dogs/b.png"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).touch()
    with pytest.raises(UnknownClassError, match=f"{tmp_path}/cats, {tmp_path}/dogs; expected"):
        audited(tmp_path)


def test_where_not_one_image_can_be_read_the_first_is_told(tmp_path):
    (tmp_path / "glioma").mkdir()
    (tmp_path / "glioma" / "a.png").write_bytes(struct.pack("4s", b"\x89PNG"))
    (tmp_path / "glioma" / "b.png").touch()
    with pytest.raises(NoUsableImagesError) as caught:
        audited(tmp_path)
    assert str(caught.value) == (
        f"none of 2 images can be used; the first is {tmp_path}/glioma/a.png: "
        "not an image in a known format, or damaged"
    )


def test_an_index_of_files_that_are_all_gone_is_refused(tmp_path):
    (tmp_path / "index.csv").write_text("path,label\na.png,glioma\n")
    with pytest.raises(IndexFileError, match=r"1 of its files are not below .* first is a\.png$"):
        audited(tmp_path, layout=Layout(index=tmp_path / "index.csv"))
