"""What `edge-mri infer` takes, and what it withstands: from the command line to the record."""

import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_mri.images.pixels.limits import VARIABLES


@pytest.fixture(autouse=True)
def _limits(monkeypatch):
    """The command sets these for its process; give them back."""
    for name in VARIABLES.values():
        monkeypatch.setenv(name, "")


@pytest.fixture
def pages(tmp_path: Path, phantoms: Path) -> Path:
    """A TIFF of three pages."""
    if not hasattr(cv2, "imencodemulti"):
        pytest.skip("this OpenCV writes no pages into memory")
    drawings = [cv2.imread(str(path), 0) for path in sorted(phantoms.rglob("*.png"))[:3]]
    path = tmp_path / "pages.tif"
    path.write_bytes(bytes(cv2.imencodemulti(".tif", drawings)[1]))
    return path


def records(ended) -> list[dict]:
    return [json.loads(line) for line in ended.out.splitlines()]


def infer_listed(environment, listed: bytes, *more: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "edge_mri", "infer", "-", "--format", "jsonl", *more],
        input=listed,
        capture_output=True,
        env=environment,
        check=False,
    )


@pytest.mark.parametrize("separator", ["\n", "\0"])
def test_a_list_on_stdin_is_what_is_classified(picture, environment, separator):
    (picture.parent / "loop").symlink_to("loop")
    bad = {
        str(picture.parent / "gone.png"): "No such file or directory",
        str(picture.parent / ("a" * 300)): "File name too long",
        f"{picture}/inside.png": "Not a directory",
        str(picture.parent / "loop/a.png"): "Too many levels of symbolic links",
        str(picture.parent): "it is a folder; expected a file (`find DIR -type f` lists files)",
        "x" * 100_000: "File name too long",
    }
    listed = separator.join([str(picture), *bad, str(picture)])
    ended = infer_listed(environment, listed.encode(), "--no-reject")
    found = [json.loads(line) for line in ended.stdout.splitlines()]
    assert ended.returncode == 1
    assert [record["status"] for record in found] == ["ok", *["error"] * len(bad), "ok"]
    assert [record["error"] for record in found[1:-1]] == [
        f"cannot read the file: {reason}" for reason in bad.values()
    ]


def test_a_list_as_windows_powershell_writes_it_is_read(picture, environment):
    ended = infer_listed(environment, f"{picture}\r\n".encode("utf-16"), "--no-reject")
    (record,) = map(json.loads, ended.stdout.splitlines())
    assert (ended.returncode, record["path"], record["status"]) == (0, str(picture), "ok")


def test_a_list_of_wide_characters_without_a_mark_is_one_line(picture, environment):
    ended = infer_listed(environment, f"{picture}\r\n".encode("utf-16-le"))
    assert (ended.returncode, ended.stdout) == (2, b"")
    assert ended.stderr == (
        b"Error: the list on stdin looks like UTF-16 or UTF-32 and does not begin with a "
        b"byte-order mark; write it as UTF-8 (names of a single letter: as ./a)\n"
    )


def test_an_image_on_stdin_is_told_from_a_list(picture, environment):
    ended = infer_listed(environment, picture.read_bytes())
    assert (ended.returncode, ended.stdout) == (2, b"")
    assert ended.stderr == (
        b"Error: stdin holds an image (png) where `-` stands for a list of paths; name the file "
        b"itself, and write what comes through a pipe to one first\n"
    )


def test_an_empty_list_is_wrong_use(environment):
    ended = subprocess.run(
        [sys.executable, "-m", "edge_mri", "infer", "-"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        env=environment,
        check=False,
    )
    assert ended.returncode == 2
    assert ended.stderr.startswith(
        b"Error: no images below the paths listed on stdin; looked for ."
    )
    assert ended.stderr.endswith(
        b", .nii.gz; such a list has paths separated by newlines or null characters, as "
        b"`find DIR -type f` writes it\n"
    )


def test_a_pattern_in_quotes_is_what_is_classified(command, phantoms):
    ended = command("infer", phantoms / "glioma_*" / "*.png", "--format", "jsonl")
    assert ended.code == 0
    expected = sorted(str(path) for path in phantoms.glob("glioma_*/*.png"))
    assert [record["path"] for record in records(ended)] == expected


def test_every_page_is_a_record_and_the_file_a_volume(command, pages, tmp_path):
    summary = tmp_path / "new/volumes.jsonl"
    ended = command("infer", pages, "--format", "jsonl", "--volumes", summary)
    assert ended.code == 0
    assert [record["frame"] for record in records(ended)] == [1, 2, 3]
    (line,) = summary.read_text().splitlines()
    volume = json.loads(line)
    assert (volume["path"], volume["slices"], volume["errors"]) == (str(pages), 3, 0)
    told = f"{volume['tumor_slices']} of {volume['answered']} answered slices say tumour"
    planes, means = ", ".join(volume["planes"]), volume["neighbours_tumor_probability"]
    over = f"P(tumour) {means:.3f} over 3 neighbours" if means else "too few neighbours"
    said = f"{volume['type'] or 'no type'}: {told}, {over}"
    assert f"volume {str(pages)!r}: 3 slices ({planes}), {said}" in ended.err
    assert [line.rpartition("#")[2] for line in command("infer", pages).out.splitlines()[1:]] == [
        *("1", "2", "3"),
    ]


@pytest.mark.parametrize(
    ("options", "planes", "slices"),
    [
        ([], ["axial"], 24),
        (["--planes", "acquired"], ["axial"], 24),
        (["--planes", "Axial, coronal"], ["coronal", "axial"], 280),
        (["--planes", "all"], ["sagittal", "coronal", "axial"], 536),
    ],
)
def test_a_clinical_volume_is_cut_as_it_was_acquired(command, tmp_path, options, planes, slices):
    nib = pytest.importorskip("nibabel", reason="needs the extra [nifti]")
    head = np.zeros((256, 256, 24), np.int16)
    head[60:200, 40:220, 3:22] = np.random.default_rng(0).integers(300, 900, (140, 180, 19))
    nib.save(nib.Nifti1Image(head, np.diag([0.9, 0.9, 5.5, 1])), tmp_path / "head.nii.gz")
    summary = tmp_path / "volumes.json"
    ended = command(
        *("infer", tmp_path, "--format", "jsonl", "--no-reject", "--volumes", summary), *options
    )
    assert ended.code == 0
    assert {record["plane"] for record in records(ended)} == set(planes)
    assert len(records(ended)) == slices
    (volume,) = json.loads(summary.read_text())
    assert (volume["planes"], volume["slices"]) == (planes, slices)
    assert f": {slices} slices ({', '.join(planes)}), " in ended.err


@pytest.mark.parametrize("planes", ["", "axial,", "transverse", "all,axial", "acquired,all"])
def test_planes_that_are_none_are_wrong_use(command, picture, planes):
    assert command("infer", picture, "--planes", planes) == (
        2,
        "",
        f"Error: planes are {planes!r}; expected acquired, all, or some of "
        "sagittal, coronal, axial with commas\n",
    )


def test_volumes_that_the_summary_leaves_out_are_told(command, tmp_path):
    pydicom = pytest.importorskip("pydicom", reason="needs the extra [dicom]")
    slice_ = pydicom.dcmread(Path(pydicom.__file__).parent / "data/test_files/MR_small.dcm")

    def add(number: int, series: int) -> None:
        slice_.SeriesInstanceUID = f"1.2.{series + 1}"
        slice_.SOPInstanceUID = slice_.file_meta.MediaStorageSOPInstanceUID = f"1.3.{number + 1}"
        slice_.save_as(tmp_path / f"{number:02}.dcm")

    hint = "volumes: --volumes FILE lists them all\n"
    for number in range(11):
        add(number, number)
    assert hint not in command("infer", tmp_path).err
    add(11, 11)
    add(12, 11)  # the only volume, and the twelfth series
    assert command("infer", tmp_path).err.endswith(f"\nperhaps there are {hint}")
    told = command("infer", tmp_path, "--report", tmp_path / "report.html").err
    assert ": 2 slices (axial), no answer" in told  # it knows more of them
    assert hint not in told


def test_volumes_and_resume_do_not_go_together(command, picture, tmp_path):
    options = ["--format", "jsonl", "-o", tmp_path / "o.jsonl", "--resume", "--volumes", "v"]
    assert command("infer", picture, *options) == (
        2,
        "",
        "Error: --volumes sums up a whole run: it does not go with --resume\n",
    )


def test_a_run_over_pages_goes_on_where_it_ended(command, pages, tmp_path):
    output = tmp_path / "records.jsonl"
    options = ["--format", "jsonl", "-o", output]
    assert command("infer", pages, *options).code == 0
    whole = output.read_bytes()
    output.write_bytes(whole[: len(whole) * 2 // 3])
    assert command("infer", pages, *options, "--resume").code == 0
    assert output.read_bytes() == whole


def test_limits_can_be_set_by_option_and_by_environment(command, picture, monkeypatch):
    assert command("infer", picture, "--max-pixels", 6300).code == 0
    ended = command("infer", picture, "--max-pixels", 6299, "--format", "jsonl")
    assert ended.code == 1
    assert records(ended)[0]["error"] == (
        "image too large: 90 x 70 pixels, the limit is 6,299 pixels (--max-pixels)"
    )
    monkeypatch.setenv(VARIABLES["max_pixels"], "")
    monkeypatch.setenv(VARIABLES["max_bytes"], "100")
    ended = command("infer", picture, "--format", "jsonl")
    assert "the limit is 100 bytes (--max-bytes)" in records(ended)[0]["error"]
    assert command("infer", picture, "--max-bytes", 10_000_000).code == 0


def test_a_file_of_many_images_is_left_off_after_the_good_ones(command, pages, picture):
    options = ["--format", "jsonl", "--max-frames", 2]
    ended = command("infer", pages, picture, *options)
    assert ended.code == 1
    found = records(ended)
    assert [(one["frame"], one["error"]) for one in found] == [
        (1, None),
        (2, None),
        (None, "image too large: more than 2 frames, the limit is 2 frames (--max-frames)"),
        (None, None),
    ]
    assert command("infer", pages, *options[:2], "--max-frames", 3).code == 0


def test_a_limit_can_be_raised_above_the_default(command, tmp_path):
    path = tmp_path / "large.png"
    large = np.zeros((10_001, 10_000), np.uint8)
    path.write_bytes(bytes(cv2.imencode(".png", large, [cv2.IMWRITE_PNG_COMPRESSION, 1])[1]))
    assert command("infer", path).code == 1
    assert command("infer", path, "--max-pixels", 100_010_000).code == 0


@pytest.mark.parametrize("size", [(1, 1), (1, 3000), (3000, 1), (2, 2)])
def test_an_image_of_any_proportion_has_an_answer(command, tmp_path, size):
    path = tmp_path / "thin.png"
    path.write_bytes(bytes(cv2.imencode(".png", np.full(size, 99, np.uint8))[1]))
    assert command("infer", path).code == 0


def test_pipes_devices_and_loops_are_records_and_nobody_waits(process, picture):
    folder = picture.parent
    os.mkfifo(folder / "pipe.png")
    (folder / "null.png").symlink_to("/dev/null")
    (folder / "zero.png").symlink_to("/dev/zero")
    (folder / "loop.png").symlink_to("loop.png")
    (folder / "up").symlink_to("..")
    ended = process("-m", "edge_mri", "infer", folder, "--format", "jsonl")
    found = {Path(record["path"]).name: record["error"] for record in records(ended)}
    special = "cannot read the file: it is not a regular file"
    assert found == {
        "loop.png": "cannot read the file: Too many levels of symbolic links",
        "null.png": special,
        "picture.png": None,
        "pipe.png": special,
        "zero.png": special,
    }


def test_a_file_that_vanishes_during_a_run_is_a_record(command, phantoms, monkeypatch):
    from edge_mri.classifier import Classifier

    names = sorted(phantoms.rglob("*.png"))[:4]
    stream = Classifier.stream

    def vanishing(self, paths, **options):
        def walk():
            for number, path in enumerate(paths):
                yield path.with_name("gone.png") if number == 2 else path

        return stream(self, walk(), **options)

    monkeypatch.setattr(Classifier, "stream", vanishing)
    ended = command("infer", *names, "--no-reject", "--format", "jsonl")
    assert [record["status"] for record in records(ended)] == ["ok", "ok", "error", "ok"]


def test_a_cut_jpeg_is_a_record_and_no_noise(process, picture):
    data = bytes(cv2.imencode(".jpg", cv2.imread(str(picture), 0))[1])
    cut = picture.with_name("cut.jpg")
    cut.write_bytes(data[: len(data) // 2] + b"\xff\xd9")
    ended = process("-m", "edge_mri", "infer", cut, picture, "--format", "jsonl")
    assert [record["error"] for record in records(ended)] == [
        "the JPEG is truncated: its scan ends too early",
        None,
    ]
    assert "Corrupt" not in ended.err
    assert ended.err.startswith("2 images in ")


def test_a_volume_without_its_extra_is_a_record_with_what_to_type(process, tmp_path):
    (tmp_path / "a.nii").write_bytes(b"\x5c\x01" + b"\0" * 342 + b"n+1\0" + b"\0" * 100)
    (tmp_path / "b.dcm").write_bytes(b"\0" * 128 + b"DICM" + b"\0" * 100)
    block = (
        "import sys\n"
        "sys.modules['nibabel'] = sys.modules['pydicom'] = None\n"
        "from edge_mri.cli import main\n"
        "main()\n"
    )
    ended = process("-c", block, "infer", tmp_path, "--format", "jsonl")
    assert ended.code == 1
    for record, extra, module in zip(
        records(ended), ("nifti", "dicom"), ("nibabel", "pydicom"), strict=True
    ):
        assert record["error"] == (
            f"a file of this format needs {module}, which is not installed; type: pip install "
            f"'edge-mri[{extra}]' (in a checkout: pip install '.[{extra}]')"
        )


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (["infer", ""], "PATH"),
        (["infer", "PICTURE", ""], "PATH"),
        (["infer", "PICTURE", "-o", ""], "--output"),
        (["infer", "PICTURE", "--model", ""], "--model"),
        (["phantom", ""], "DIR"),
    ],
)
def test_a_variable_that_is_not_set_is_not_this_folder(command, picture, arguments, name):
    given = [picture if one == "PICTURE" else one for one in arguments]
    assert command(*given) == (2, "", f"Error: {name} is empty; expected a path\n")
