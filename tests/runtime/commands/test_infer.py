import csv
import json
import os
import re
from collections import Counter
from pathlib import Path

import pytest

from edge_mri.images import SUFFIXES
from edge_mri.labels import PLANES, TYPES
from edge_mri.storage.spelling import meant

KEYS = [
    *("path", "status", "type", "plane", "type_probabilities", "plane_probabilities"),
    *("tumor_probability", "novelty", "box", "heatmap", "rejected", "reason"),
    *("error", "frame"),
]
EMPTY = "no images below {}; looked for .bmp, .jfif, .jpe, .jpeg, .jpg, .png, .tif, .tiff, .webp, "
EMPTY += ".dcm, .dicom, .hdr, .hdr.gz, .ima, .nii, .nii.gz"


def test_a_folder_of_images_is_a_record_each(command, phantoms, classifier):
    ended = command("infer", phantoms, "--format", "jsonl")
    records = [json.loads(line) for line in ended.out.splitlines()]
    paths = sorted(phantoms.rglob("*.png"))
    assert ended.code == 0
    assert [list(record) for record in records] == [KEYS] * len(paths)
    assert [record["path"] for record in records] == [str(path) for path in paths]
    assert {record["status"] for record in records} <= {"ok", "rejected"}
    assert records[7] == json.loads(json.dumps(classifier.predict(paths[7]).to_dict()))


def test_the_summary_counts_what_the_records_say(command, phantoms):
    ended = command("infer", phantoms, "--format", "jsonl", "--threads", 2)
    records = [json.loads(line) for line in ended.out.splitlines()]
    counts = Counter(record["type"] for record in records if record["status"] == "ok")
    reasons = Counter(record["rejected"] for record in records if record["status"] == "rejected")
    first, by_type, by_status, *_, last = ended.err.splitlines()
    assert re.fullmatch(r"48 images in \d+\.\d s \(\d+ images/s; \w+ int8, cpu, 2 threads\)", first)
    assert by_type == ", ".join(f"{name} {counts[name]}" for name in TYPES)
    assert by_status == (
        f"ok {counts.total()}, rejected {reasons.total()} (foreign {reasons['foreign']}, "
        f"unfamiliar {reasons['unfamiliar']}, undecided {reasons['undecided']}), errors 0"
    )
    assert counts.total() + reasons.total() == 48
    assert last == "For research use, not for diagnosis."


def test_a_bad_file_is_a_record_and_the_rest_goes_on(command, mixed):
    ended = command("infer", mixed, "--format", "jsonl")
    records = [json.loads(line) for line in ended.out.splitlines()]
    assert ended.code == 1
    assert [(Path(record["path"]).name, record["error"]) for record in records] == [
        ("a.png", None),
        ("b.jpg", "the file is empty"),
        ("c.PNG", None),
        ("d.png", "the PNG is cut off in its b'IDAT' chunk"),
    ]
    assert all(records[1][key] is None for key in KEYS[2:] if key != "error")
    assert ended.err.startswith("4 images in ")
    assert "), errors 2\nskipped 1 other files (not .bmp .jfif .jpe .jpeg " in ended.err


def test_every_format_says_the_same(command, mixed):
    lines = command("infer", mixed, "--format", "jsonl").out.splitlines()
    records = [json.loads(line) for line in lines]
    assert json.loads(command("infer", mixed, "--format", "json").out) == records
    rows = list(csv.DictReader(command("infer", mixed, "--format", "csv").out.splitlines()))
    for row, record in zip(rows, records, strict=True):
        for key in ("path", "status", "type", "plane", "error"):
            assert row[key] == (record[key] or "")
        for axis, names in (("type", TYPES), ("plane", PLANES)):
            if record["status"] == "ok":
                values = {name: float(row[f"p_{name}"]) for name in names}
                assert values == record[f"{axis}_probabilities"]
    table = command("infer", mixed).out.splitlines()
    assert table[0].split() == ["status", "type", "plane", "path"]
    assert [line.split()[0] for line in table[1:]] == [record["status"] for record in records]


def test_a_file_is_written_and_stdout_stays_empty(command, mixed, tmp_path):
    path = tmp_path / "new/records.json"
    expected = command("infer", mixed, "--format", "json").out
    ended = command("infer", mixed, "--format", "json", "-o", path)
    assert (ended.code, ended.out) == (1, "")
    assert ended.err.startswith("4 images in ")
    assert path.read_text(encoding="utf-8") == expected
    assert list(path.parent.iterdir()) == [path]


def test_options_do_not_change_the_answers(command, phantoms):
    expected = command("infer", phantoms, "--format", "csv").out
    options = ["--threads", 1, "--batch-size", 5, "--device", "cpu"]
    assert command("infer", phantoms, "--format", "csv", *options).out == expected


def test_a_model_is_taken_from_where_it_is_said_to_be(command, picture, model, tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(model)
    ended = command("infer", picture, "--model", path)
    assert ended.code == 0
    assert ended.out == command("infer", picture).out


@pytest.mark.parametrize(
    "name", [b"with space.png", "Schädel-脑.png".encode(), b"line\nbreak.png", b"\xff\xfe.png"]
)
@pytest.mark.parametrize("format_", ["table", "json", "jsonl", "csv"])
def test_any_file_name_can_be_written(command, picture, tmp_path, name, format_):
    folder = tmp_path / "names"
    folder.mkdir()
    path = folder / os.fsdecode(name)
    path.write_bytes(picture.read_bytes())
    output = tmp_path / "records"
    assert command("infer", folder, "--format", format_, "-o", output).code == 0
    ended = command("infer", folder, "--format", format_)
    assert ended.code == 0
    assert output.read_bytes().decode() == ended.out
    if format_ == "jsonl":
        assert meant(json.loads(ended.out)["path"]) == str(path)
    if format_ in ("json", "jsonl", "csv"):
        assert not re.search(r"\\ud[89a-f]|[\ud800-\udfff]", ended.out)


def test_a_terminal_that_knows_only_ascii_is_enough(process, picture, environment):
    picture = picture.rename(picture.with_name("Schädel.png"))
    environment = {**environment, "PYTHONIOENCODING": "ascii:strict"}
    for format_ in ("table", "json", "csv"):
        ended = process("-m", "edge_mri", "infer", picture, "--format", format_, env=environment)
        assert ended.code == 0
        shown = {"table": r"Sch\xe4del", "json": r"Sch\u00e4del", "csv": "Schädel"}[format_]
        assert f"{shown}.png" in ended.out


@pytest.mark.parametrize("content", [None, "notes.txt", ".hidden.png"])
def test_a_folder_without_images_is_wrong_use(command, tmp_path, content):
    folder = tmp_path / "empty"
    folder.mkdir()
    if content:
        (folder / content).touch()
    output = tmp_path / "out.json"
    ended = command("infer", folder, "-o", output)
    assert ended == (2, "", f"Error: {EMPTY.format(folder)}\n")
    assert not output.exists()
    assert ", ".join(SUFFIXES) in EMPTY


def test_a_missing_path_is_wrong_use(command, picture, tmp_path):
    missing = tmp_path / "missing"
    ended = command("infer", picture, missing)
    assert ended == (2, "", f"Error: no such file or folder: {missing}\n")


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ([], "Missing argument 'PATH…'."),
        ([".", "--format", "xml"], "Invalid value for '--format': 'xml' is not one of"),
        ([".", "--device", "gpu"], "Invalid value for '--device': 'gpu' is not one of"),
        ([".", "--threads", "0"], "Invalid value for '--threads': 0 is not in the range x>=1."),
        ([".", "--batch-size", "0"], "Invalid value for '--batch-size': 0 is not in the range"),
        ([".", "--batchsize", "4"], "No such option"),
    ],
)
def test_wrong_use_is_told_with_the_usage(command, arguments, reason):
    ended = command("infer", *arguments)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith("Usage: edge-mri infer [OPTIONS] PATH…\n")
    assert f"Error: {reason}" in ended.err


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (None, "model file not found: {}"),
        (b"hello", "{} is not an ONNX model: it is damaged"),
    ],
)
def test_a_model_that_cannot_be_used_is_one_line(command, picture, tmp_path, data, reason):
    path, output = tmp_path / "model.onnx", tmp_path / "out.json"
    if data is not None:
        path.write_bytes(data)
    ended = command("infer", picture, "--model", path, "-o", output)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith(f"Error: {reason.format(path)}")
    assert ended.err.count("\n") == 1
    assert not output.exists()


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        (".", "Is a directory; expected the name of a file"),
        ("file/out.json", "File exists; a file lies where a folder must be: name another folder"),
    ],
)
def test_an_output_that_cannot_be_written_is_one_line(command, picture, tmp_path, name, reason):
    (tmp_path / "file").touch()
    path = tmp_path / name
    ended = command("infer", picture, "-o", path)
    assert ended == (2, "", f"Error: cannot write {path}: {reason}\n")


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="no /proc here")
@pytest.mark.parametrize("format_", ["table", "json", "jsonl", "csv"])
def test_a_folder_that_takes_no_file_is_what_is_told(command, picture, format_):
    assert command("infer", picture, "--format", format_, "-o", "/proc/records") == (
        *(2, ""),
        "Error: cannot write /proc/records: No such file or directory; "
        "its folder takes no new file: name another folder\n",
    )


def test_low_power_takes_one_thread_and_says_the_same(command, phantoms):
    ended = command("infer", phantoms, "--format", "csv", "--low-power")
    assert ended.out == command("infer", phantoms, "--format", "csv").out
    assert ", 1 threads)" in ended.err


def test_a_provider_that_is_not_there_is_one_line(command, picture):
    ended = command("infer", picture, "--providers", "tensorrt,cpu")
    assert ended.code == 2
    assert ended.err.startswith("Error: the execution provider 'tensorrt' was asked for, but this ")


def test_a_checkpoint_is_told_what_it_is(command, picture, tmp_path):
    path = tmp_path / "checkpoint.pt"
    path.write_bytes(b"PK\x03\x04")
    ended = command("infer", picture, "--model", path)
    assert ended.err == (
        f"Error: {path} is not an ONNX model: it is a PyTorch checkpoint; "
        "write it as ONNX first with `edge-mri export`\n"
    )


@pytest.mark.skipif(os.name != "posix", reason="POSIX terminals")
def test_a_terminal_sees_the_progress_and_the_output_does_not(process, mixed):
    ours, theirs = os.openpty()
    options = ("--no-reject", "--format", "jsonl")
    ended = process("-m", "edge_mri", "infer", mixed, *options, stderr=theirs)
    os.close(theirs)
    shown = os.read(ours, 100_000).decode()
    os.close(ours)
    assert ended.code == 1
    assert [json.loads(line)["status"] for line in ended.out.splitlines()] == [
        *("ok", "error", "ok", "error"),
    ]
    assert re.search(r"images +\[#+\] +100%", shown)
    assert "), errors 2" in shown


@pytest.mark.parametrize("folder", ["glioma", "meningioma", "notumor", "pituitary"])
def test_real_images_have_answers(command, data_dir, folder):
    files = sorted((data_dir / "nickparvar/Testing" / folder).glob("*.jpg"))[::100]
    ended = command("infer", *files, "--no-reject", "--format", "jsonl")
    records = [json.loads(line) for line in ended.out.splitlines()]
    assert ended.code == 0
    assert len(records) == len(files) >= 3
    for record in records:
        assert record["status"] == "ok"
        assert record["type"] in TYPES
        assert record["plane"] in PLANES
        assert sum(record["type_probabilities"].values()) == pytest.approx(1, abs=1e-5)
