import csv
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from edge_mri.errors import ImageReadError
from edge_mri.labels import Label
from edge_mri.terminal.progress import NoProgress
from edge_mri_train.data.folders import Sample, read_folders
from edge_mri_train.data.manifest import (
    COLUMNS,
    Row,
    check_manifest,
    hash_files,
    read_manifest,
    with_split,
    write_manifest,
)
from edge_mri_train.errors import ManifestError

HEADER = ",".join(COLUMNS) + "\n"
ROW = "set,a.png,00,glioma,axial,g0,train\n"


def rows_of(root: Path, *names: str) -> list[Row]:
    """Write files, each of other bytes, and divide them in turns."""
    for number, name in enumerate(names):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(bytes([number]))
    samples = read_folders([root])
    sides = ("train", "val", "test", "dropped", "fold-0", "fold-12")
    return [
        Row(replace(sample, split=sides[number % 6]), digest, f"g{number}")
        for number, (sample, digest) in enumerate(
            zip(samples, hash_files(samples, NoProgress()), strict=True)
        )
    ]


def refusal(path: Path) -> str:
    with pytest.raises(ManifestError) as caught:
        read_manifest(path)
    return reason(caught.value, path)


def reason(error: ManifestError, path: Path) -> str:
    start = f"the split manifest {path} cannot be used: "
    assert str(error).startswith(start)
    assert error.exit_code == 2
    return str(error).removeprefix(start)


def test_a_manifest_comes_back_as_it_was_written(tmp_path, monkeypatch):
    names = ["glioma/ä, ö.png", 'no_axial/a "b".png', "pituitary/c\nd.png", "glioma/日本.jpg"]
    rows = rows_of(tmp_path / "set, é one", *names, "glioma_sagittal/e.png", "no/f.png")
    write_manifest(rows, tmp_path / "split.csv")
    monkeypatch.chdir("/")
    back = read_manifest(tmp_path / "split.csv")
    assert [row.sample.path for row in back] == [row.sample.path for row in rows]
    assert [row.sample.label for row in back] == [row.sample.label for row in rows]
    assert [row.sample.split for row in back] == [row.sample.split for row in rows]
    assert [(row.sha256, row.group) for row in back] == [(one.sha256, one.group) for one in rows]
    for one, other in zip(rows, back, strict=True):
        assert one.sample.file.samefile(other.sample.file)
    check_manifest(tmp_path / "split.csv", back, NoProgress())


def test_one_row_per_image_with_these_columns(tmp_path):
    write_manifest(rows_of(tmp_path / "set", "no_axial/a.png", "glioma/b.png"), tmp_path / "m.csv")
    with (tmp_path / "m.csv").open() as file:
        table = list(csv.reader(file))
    # SHA-256 of the single byte 1 and of the single byte 0, as sha256sum prints them.
    one = "4bf5122f344554c53bde2ebb8cd2b7e3d1600ad631c385a5d7cce23c7785459a"
    zero = "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
    assert table == [
        ["set", "path", "sha256", "type", "plane", "group", "split"],
        ["set", "glioma/b.png", one, "glioma", "", "g0", "train"],
        ["set", "no_axial/a.png", zero, "no_tumor", "axial", "g1", "val"],
    ]


def test_names_that_are_no_text_come_back(tmp_path):
    name = os.fsdecode(b"glioma/\xff\xe9.png")
    write_manifest(rows_of(tmp_path / "set", name), tmp_path / "m.csv")
    assert r"glioma/\xff\xe9.png" in (tmp_path / "m.csv").read_text(encoding="utf-8")
    rows = read_manifest(tmp_path / "m.csv")
    assert rows[0].sample.path == Path(name)
    check_manifest(tmp_path / "m.csv", rows, NoProgress())


def test_a_manifest_of_an_earlier_version_with_such_names_is_read(tmp_path):
    (tmp_path / "m.csv").write_bytes(HEADER.encode() + b"set,glioma/\xff.png,00,glioma,,g,val\n")
    (row,) = read_manifest(tmp_path / "m.csv")
    assert row.sample.path == Path(os.fsdecode(b"glioma/\xff.png"))


@pytest.mark.skipif(os.name != "posix", reason="Windows has no such names")
def test_no_cell_is_a_formula_and_names_come_back(tmp_path):
    names = ["=1+1", "+a", "-b", "@c", "'=d", "'e", "\tf", "g\rh", r"\xff", r"i\j", "k;=2"]
    rows = rows_of(tmp_path / "=set", *(f"glioma/{name}.png" for name in names))
    rows = [
        replace(row, sample=replace(row.sample, root=row.sample.root / "glioma", path=Path(name)))
        for row, name in ((row, row.sample.path.name) for row in rows)
    ]
    rows = [replace(row, group=f"={row.group}") for row in rows]
    write_manifest(rows, tmp_path / "m.csv")
    with (tmp_path / "m.csv").open(newline="", encoding="utf-8") as file:
        cells = [cell for line in csv.reader(file) for cell in line]
    assert not [cell for cell in cells if cell[:1] in tuple("=+-@\t\r\n")]
    back = read_manifest(tmp_path / "m.csv")
    assert [(row.sample.path, row.group) for row in back] == [
        (row.sample.path, row.group) for row in rows
    ]
    check_manifest(tmp_path / "m.csv", back, NoProgress())


def test_folder_and_manifest_may_move_together(tmp_path):
    write_manifest(rows_of(tmp_path / "a" / "set", "glioma/a.png"), tmp_path / "a" / "m.csv")
    shutil.move(tmp_path / "a", tmp_path / "b")
    rows = read_manifest(tmp_path / "b" / "m.csv")
    assert rows[0].sample.file == tmp_path / "b" / "set" / "glioma" / "a.png"
    check_manifest(tmp_path / "b" / "m.csv", rows, NoProgress())


def test_a_set_may_be_named_absolutely(tmp_path):
    (row,) = rows_of(tmp_path / "set", "glioma/a.png")
    path = tmp_path / "elsewhere" / "m.csv"
    write_manifest([row], path)
    text = path.read_text()
    assert "\n../set," in text
    path.write_text(text.replace("../set", str(tmp_path / "set")))
    (back,) = read_manifest(path)
    assert back.sample.file == row.sample.file


def test_a_spreadsheets_byte_order_mark_does_no_harm(tmp_path):
    path = tmp_path / "m.csv"
    path.write_text(HEADER + ROW, encoding="utf-8-sig")
    (row,) = read_manifest(path)
    assert row == Row(
        Sample(tmp_path / "set", Path("a.png"), Label("glioma", "axial"), "train", "g0"), "00", "g0"
    )


def test_files_that_changed_or_are_gone_are_listed(tmp_path):
    root = tmp_path / "set"
    rows = rows_of(root, *(f"glioma/{number:02}.png" for number in range(15)))
    path = tmp_path / "m.csv"
    (root / "glioma/03.png").write_bytes(b"other")
    (root / "glioma/07.png").unlink()
    with pytest.raises(ManifestError) as caught:
        check_manifest(path, rows, NoProgress())
    assert reason(caught.value, path) == (
        f"2 of its 15 files are not what they were: {root}/glioma/03.png (changed), "
        f"{root}/glioma/07.png (missing); make a new one with `edge-mri split`"
    )
    shutil.rmtree(root)
    with pytest.raises(ManifestError) as caught:
        check_manifest(path, rows, NoProgress())
    said = reason(caught.value, path)
    assert said.startswith("15 of its 15 files are not what they were: ")
    assert said.count("(missing)") == 10
    assert said.endswith("(missing) and 5 more; make a new one with `edge-mri split`")


def test_a_file_that_cannot_be_hashed_is_named(tmp_path):
    sample = Sample(tmp_path, Path("gone.png"), Label("glioma"))
    with pytest.raises(ImageReadError, match=rf"{tmp_path}/gone.png: No such file"):
        hash_files([sample], NoProgress())


def test_a_manifest_that_is_not_there_is_named(tmp_path):
    assert refusal(tmp_path / "gone.csv") == "No such file or directory"
    assert refusal(tmp_path) == "Is a directory"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "its columns are none, expected set, path, sha256, type, plane, group, split"),
        (
            b"path,label\na.png,glioma\n",
            "its columns are path, label, expected set, path, sha256, type, plane, group, split",
        ),
        (HEADER.encode(), "it names no image"),
        (b"\x89PNG\r\n\x1a\n\x00\x00", None),
        (b"\xff\xfe\x00", None),
        (HEADER.encode() + b'"' + b"x" * 200_000, None),
    ],
)
def test_what_is_no_manifest_is_refused(tmp_path, content, expected):
    (tmp_path / "m.csv").write_bytes(content)
    said = refusal(tmp_path / "m.csv")
    assert expected is None or said == expected


@pytest.mark.parametrize(
    ("row", "came"),
    [
        ("set,a.png,00,cat,axial,g0,train\n", "type 'cat', plane 'axial', split 'train'"),
        ("set,a.png,00,,axial,g0,train\n", "type '', plane 'axial', split 'train'"),
        ("set,a.png,00,glioma,above,g0,train\n", "type 'glioma', plane 'above', split 'train'"),
        ("set,a.png,00,glioma,axial,g0,\n", "type 'glioma', plane 'axial', split ''"),
        ("set,a.png,00,glioma,axial,g0,valid\n", "type 'glioma', plane 'axial', split 'valid'"),
        ("set,a.png,00,glioma,axial,g0,fold-\n", "type 'glioma', plane 'axial', split 'fold-'"),
        ("set,a.png,00,glioma,axial,g0,fold-x\n", "type 'glioma', plane 'axial', split 'fold-x'"),
        ("set,a.png\n", "type None, plane None, split None"),
    ],
)
def test_a_damaged_row_is_named_with_its_line(tmp_path, row, came):
    (tmp_path / "m.csv").write_text(HEADER + ROW + row)
    assert refusal(tmp_path / "m.csv") == (
        f"line 3 has {came}; expected a type of glioma, meningioma, pituitary, no_tumor, a plane "
        "of axial, coronal, sagittal or none, and train, val, test, fold-N or dropped"
    )


def test_a_row_may_change_sides(tmp_path):
    (row,) = rows_of(tmp_path, "glioma/a.png")
    moved = with_split(row, "val")
    assert (row.sample.split, moved.sample.split) == ("train", "val")
    assert replace(moved, sample=row.sample) == row
