"""What a set holds beside pictures is said, by each command that reads class folders."""

import json
import shutil
import struct

import cv2
import pytest
from click.testing import CliRunner

from edge_mri.cli import main
from edge_mri_train.data.folders import list_folders, read_folders
from edge_mri_train.data.layout import Layout

DICOM = b"\0" * 128 + b"DICM" + b"\2\0\0\0UL\4\0\0\0\0\0"
NIFTI = struct.pack("<i", 348) + b"\0" * 340 + b"n+1\0"


@pytest.fixture
def mixed(heads, tmp_path):
    """The phantoms, six of them as JPEG under rare suffixes, beside what is no picture."""
    root = tmp_path / "set"
    shutil.copytree(heads, root)
    for number, file in enumerate(sorted(root.glob("*/*.png"))[:6]):
        suffix = (".jfif", ".jpe", ".JFIF")[number % 3]
        file.with_suffix(suffix).write_bytes(
            cv2.imencode(".jpg", cv2.imread(str(file), 0))[1].tobytes()
        )
        file.unlink()
    glioma = root / "glioma_axial"
    for name, data in {
        "a.dcm": DICOM, "b.dcm": DICOM, "c.nii.gz": b"\x1f\x8b", "d": DICOM, "e.mat": b"MATLAB",
        "Thumbs.db": b"x", ".hidden": b"x",
    }.items():  # fmt: skip
        (glioma / name).write_bytes(data)
    (root / "README.md").write_text("BM is how a bitmap begins, and this text does too")
    (root / "scan").write_bytes(NIFTI)
    (root / "masks").mkdir()
    (root / "masks" / "m.nii").write_bytes(NIFTI)
    (root / "unused").mkdir()
    (root / "unused" / "u.dcm").write_bytes(DICOM)
    return root


def run(*arguments: object):
    return CliRunner().invoke(main, [str(one) for one in arguments])


def test_rare_suffixes_of_jpeg_are_read_and_the_rest_is_counted(mixed):
    listing = list_folders([mixed], Layout.from_options(("unused=skip",), None))
    assert len(listing.samples) == 24
    assert dict(listing.passed_over.counts) == {".dcm": 2, ".nii.gz": 1, "": 2, ".mat": 1}
    assert listing.passed_over.first[".dcm"] == mixed / "glioma_axial" / "a.dcm"


SAID = "passed over 7 files that are no pictures: 3 .dcm (the first is {root}/glioma_axial/a.dcm), "


@pytest.mark.parametrize("command", ["split", "evaluate", "train", "audit"])
def test_every_command_says_what_it_passes_over(mixed, tmp_path, finished, command):
    options = {
        "split": ("split", mixed, "--out", tmp_path / "m.csv"),
        "evaluate": ("evaluate", finished, "--data", mixed, "--no-reject"),
        "train": ("train", "--data", mixed, "--arch", "squeezenet1_1", "--init-weights", "none",
                  "--image-size", 32, "--epochs", 1, "--out", tmp_path / "run"),
        "audit": ("audit", mixed, "--json", tmp_path / "audit.json"),
    }[command]  # fmt: skip
    result = run(*options)
    assert result.exit_code == 0, result.output
    assert SAID.format(root=mixed) in result.stderr
    if command == "audit":
        report = json.loads((tmp_path / "audit.json").read_text())
        assert report["passed_over"][".mat"]["files"] == 1
        assert "WARNING: files that are no pictures were passed over: .dcm (3), " in result.stdout


def test_a_build_can_fail_on_what_is_not_looked_at(mixed, heads, head, save):
    for number in range(30):  # more than all that is labelled
        save(mixed / "cats" / f"{number}.png", head(100 + number % 3))
    result = run("audit", mixed, "--fail-on", "passed-over", "--fail-on", "unknown-folders")
    assert result.exit_code == 1
    assert result.stderr.endswith("Failed on passed-over (7), unknown-folders (30).\n")
    assert "WARNING: 30 of 54 images lie in folders that match no label, and " in result.stdout
    assert run("audit", heads, "--fail-on", "passed-over", "--fail-on", "missing").exit_code == 0


def test_a_class_folder_of_other_files_alone_is_named_before_the_refusal(mixed, tmp_path):
    for file in mixed.glob("pituitary*/*"):
        file.rename(file.with_suffix(".npy"))
    result = run("train", "--data", mixed, "--out", tmp_path / "run")
    assert result.exit_code == 2
    lines = result.stderr.splitlines()
    assert ".npy (the first is " in lines[0]
    said = "Warning: no image of type pituitary; the model will tell apart glioma, meningioma, "
    assert any(line.startswith(said) for line in lines)


def test_masks_beside_their_pictures_are_left_out_and_counted(tmp_path, recorder):
    names = (
        "a (1).png",
        "a (1)_mask.png",
        "a (1)_MASK_1.png",
        "b_mask.png",
        "c.jpg",
        "c_masked.jpg",
    )
    for name in names:
        (tmp_path / "glioma" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "glioma" / name).touch()
    found = read_folders([tmp_path], progress=recorder)
    assert [one.path.name for one in found] == ["a (1).png", "b_mask.png", "c.jpg", "c_masked.jpg"]
    (line,) = recorder.lines
    assert line.startswith(
        "Warning: passed over 2 files that are no pictures: 2 masks beside their"
    )
