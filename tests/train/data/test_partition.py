from dataclasses import replace

import cv2

from edge_mri.terminal.progress import NoProgress
from edge_mri_train.data import partition as partition_module
from edge_mri_train.data.folders import read_folders
from edge_mri_train.data.grouping import IdSource
from edge_mri_train.data.manifest import DROPPED
from edge_mri_train.data.partition import partition
from edge_mri_train.data.split import SplitConfig
from edge_mri_train.duplicates import search
from edge_mri_train.duplicates.registration import agreements


def test_edited_copies_go_where_their_image_goes(heads, head, save, tmp_path):
    for file in sorted(heads.glob("*/*.png")):
        save(tmp_path / file.parent.name / file.name, cv2.imread(str(file), 0))
    first = head(0, "glioma_axial")
    save(tmp_path / "glioma_axial" / "encoded.jpg", first, cv2.IMWRITE_JPEG_QUALITY, 70)
    save(tmp_path / "glioma_axial" / "turned.png", cv2.rotate(first, cv2.ROTATE_180))
    save(tmp_path / "glioma_axial" / "copied.bmp", first)
    samples = read_folders([tmp_path])
    divided = partition(samples, SplitConfig(), NoProgress())
    assert [row.sample.file for row in divided.rows] == [sample.file for sample in samples]
    assert len(divided.fingerprints) == len(samples)
    groups = {row.sample.path.name: row.group for row in divided.rows}
    family = {groups[name] for name in ("00.png", "encoded.jpg", "turned.png", "copied.bmp")}
    assert len(family) == 1
    assert groups["12.png"] not in family
    sides = {}
    for row in divided.rows:
        sides.setdefault(row.group, set()).add(row.sample.split)
    assert all(len(one) == 1 for one in sides.values())
    assert {row.sample.split for row in divided.rows} == {"train", "val"}


def test_ids_join_what_pixels_do_not(heads):
    samples = read_folders([heads])
    alone = partition(samples, SplitConfig(), NoProgress()).rows
    ids = IdSource(pattern="/1").ids(samples)
    named = [replace(one, group=id) for one, id in zip(samples, ids, strict=True)]
    joined = partition(named, SplitConfig(), NoProgress()).rows
    tens = {row.group for row in joined if row.sample.path.name.startswith("1")}
    assert len(tens) == 1
    assert len({row.group for row in alone}) > len({row.group for row in joined})


def test_the_same_images_give_the_same_rows(heads):
    one, other = (
        partition(read_folders([heads]), SplitConfig(seed=3), NoProgress()).rows for _ in range(2)
    )
    assert one == other


def test_what_was_compared_is_not_compared_again(heads, save, tmp_path, monkeypatch):
    """Test folders drop images from the rest; what is left is searched again, by known scores."""
    for number, file in enumerate(sorted(heads.glob("*/*.png"))):
        image = cv2.imread(str(file), 0)
        save(tmp_path / "Training" / file.parent.name / file.name, image)
        if number % 5 == 0:
            turned = cv2.rotate(image, cv2.ROTATE_180)
            save(tmp_path / "Testing" / file.parent.name / f"{file.stem}.jpg", turned)
    samples = read_folders([tmp_path])
    compared: list[int] = []

    def counted(thumbnails, pairs, progress):
        compared.append(len(pairs))
        return agreements(thumbnails, pairs, progress)

    monkeypatch.setattr(search, "agreements", counted)
    config = SplitConfig(keep_test=True)
    rows = partition(samples, config, NoProgress()).rows
    assert any(row.sample.split == DROPPED for row in rows)
    first, *others = compared
    assert others
    assert sum(others) < 0.2 * first
    anew = lambda prints, progress, known: search.find_duplicates(prints, progress)  # noqa: E731
    monkeypatch.setattr(partition_module, "find_duplicates", anew)
    assert partition(samples, config, NoProgress()).rows == rows
    assert sum(compared[len(others) + 2 :]) > 0.5 * first
