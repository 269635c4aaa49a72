import csv
import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest

from edge_mri.errors import EdgeMriError, ImageReadError
from edge_mri.images import SUFFIXES
from edge_mri.labels import PLANES, TYPES

KEYS = [
    *("path", "status", "type", "plane", "type_probabilities", "plane_probabilities"),
    *("tumor_probability", "novelty", "box", "heatmap", "rejected", "error", "frame"),
]
EMPTY = "no images below {}; looked for .bmp, .jpeg, .jpg, .png, .tif, .tiff, .webp, "
EMPTY += ".dcm, .dicom, .ima, .nii, .nii.gz"


@pytest.fixture
def mixed(phantoms: Path, tmp_path: Path) -> Path:
    """A folder with two images, two files that are none, and one of another kind."""
    folder = tmp_path / "mixed"
    (folder / "sub").mkdir(parents=True)
    first, second = sorted(phantoms.rglob("*.png"))[:2]
    (folder / "a.png").write_bytes(first.read_bytes())
    (folder / "b.jpg").touch()
    (folder / "sub/c.PNG").write_bytes(second.read_bytes())
    (folder / "sub/d.png").write_bytes(second.read_bytes()[:-50])
    (folder / "sub/notes.txt").write_text("not an image")
    return folder


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
        f"undecided {reasons['undecided']}), errors 0"
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
    assert "), errors 2\nskipped 1 other files (not .bmp .jpeg " in ended.err


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
        assert json.loads(ended.out)["path"] == str(path)


def test_a_terminal_that_knows_only_ascii_is_enough(process, picture, environment):
    picture = picture.rename(picture.with_name("Schädel.png"))
    environment = {**environment, "PYTHONIOENCODING": "ascii:strict"}
    for format_ in ("table", "json", "csv"):
        ended = process("-m", "edge_mri", "infer", picture, "--format", format_, env=environment)
        assert ended.code == 0
        assert r"Sch\xe4del.png" in ended.out.replace(r"\u00e4", r"\xe4")


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
    ("name", "reason"), [(".", "Is a directory"), ("file/out.json", "File exists")]
)
def test_an_output_that_cannot_be_written_is_one_line(command, picture, tmp_path, name, reason):
    (tmp_path / "file").touch()
    path = tmp_path / name
    ended = command("infer", picture, "-o", path)
    assert ended == (2, "", f"Error: cannot write {path}: {reason}\n")


def test_a_run_that_breaks_leaves_the_old_file(command, picture, tmp_path, monkeypatch):
    class BrokenError(EdgeMriError):
        pass

    def stream(*_: object, **__: object):
        raise BrokenError("in the middle")

    output = tmp_path / "out.json"
    output.write_text("old")
    monkeypatch.setattr("edge_mri.classifier.Classifier.stream", stream)
    assert command("infer", picture, "-o", output) == (2, "", "Error: in the middle\n")
    assert output.read_text() == "old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.json", "pictures"]


def started(environment, *arguments) -> subprocess.Popen[str]:
    """`edge-mri infer` as a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "edge_mri", "infer", *map(str, arguments)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for_records(path: Path, count: int) -> None:
    for _ in range(2000):
        if path.exists() and path.read_bytes().count(b"\n") >= count:
            return
        time.sleep(0.01)
    raise AssertionError(f"no {count} records in {path}")


@pytest.fixture
def many(phantoms, tmp_path) -> list[Path]:
    """500 names of 48 images, of which one cannot be read."""
    files = sorted(phantoms.rglob("*.png"))
    return [tmp_path / "missing-not.png", *(files[n % 48] for n in range(499))]


@pytest.mark.skipif(os.name != "posix", reason="POSIX signals")
@pytest.mark.parametrize("format_", ["jsonl", "csv"])
def test_a_stopped_and_killed_run_goes_on_to_the_same_records(
    command, many, tmp_path, environment, format_
):
    many[0].write_bytes(b"no image")
    whole, output = tmp_path / "whole", tmp_path / "records"
    assert command("infer", *many, "--format", format_, "-o", whole).code == 1
    options = ["--format", format_, "-o", output, "--resume"]
    for end, code in ((signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -9)):
        had = output.read_bytes().count(b"\n") if output.exists() else 0
        run = started(environment, *many, *options)
        wait_for_records(output, had + 20)
        run.send_signal(end)
        _, errors = run.communicate(timeout=60)
        assert run.returncode == code
        written = output.read_bytes()
        assert whole.read_bytes().startswith(written)
        assert written.endswith(b"\n")
        assert had + 20 <= written.count(b"\n") < 501
        if end != signal.SIGKILL:
            assert " images in " in errors
            assert errors.endswith(f"Stopped by {end.name}; --resume goes on.\n")
    with output.open("ab") as file:
        file.write(b'{"path": "cut o' if format_ == "jsonl" else b'"cut, o')
    assert command("infer", *many, *options).code in (0, 1)
    assert output.read_bytes() == whole.read_bytes()


@pytest.mark.skipif(os.name != "posix", reason="POSIX signals")
@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_finishes_a_document(picture, tmp_path, environment, end):
    output = tmp_path / "out.json"
    run = started(environment, *[picture] * 5000, "--format", "json", "-o", output)
    for _ in range(2000):  # until records are on their way
        if any(path.stat().st_size for path in tmp_path.glob(".out.json.*")):
            break
        time.sleep(0.01)
    run.send_signal(end)
    _, errors = run.communicate(timeout=60)
    assert run.returncode == 128 + end
    assert errors.endswith(f"Stopped by {end.name}.\n")
    assert 0 < len(json.loads(output.read_text())) < 5000
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.json", "pictures"]


def test_a_file_that_is_done_has_nothing_to_go_on_with(command, phantoms, tmp_path):
    output = tmp_path / "out.csv"
    command("infer", phantoms, "--format", "csv", "-o", output)
    written = output.read_bytes()
    ended = command("infer", phantoms, "--format", "csv", "-o", output, "--resume")
    assert ended.code == 0
    assert ended.err.startswith("0 images in ")
    assert output.read_bytes() == written


@pytest.mark.parametrize("options", [[], ["--format", "jsonl"], ["--format", "json", "-o", "x"]])
def test_only_lines_in_a_file_can_go_on(command, picture, options):
    ended = command("infer", picture, *options, "--resume")
    assert ended == (*(2, "", "Error: --resume needs --output FILE and --format jsonl or csv\n"),)


def test_a_file_of_other_records_is_not_gone_on_with(command, phantoms, tmp_path):
    output = tmp_path / "out.jsonl"
    command("infer", phantoms, "--format", "jsonl", "-o", output)
    before = output.read_bytes()
    ended = command("infer", phantoms, "--format", "jsonl", "-o", output, "--resume", "--audit")
    assert ended.code == 2
    assert ended.err.startswith(f"Error: cannot write {output}: line 1 is no record such as this")
    assert output.read_bytes() == before


def test_an_audited_file_of_another_model_is_not_gone_on_with(command, phantoms, tmp_path):
    output = tmp_path / "out.csv"
    options = ["--format", "csv", "-o", output, "--audit"]
    command("infer", phantoms, *options)
    sha256 = next(csv.DictReader(output.read_text().splitlines()))["model_sha256"]
    output.write_text(output.read_text().replace(sha256, "0" * 64))
    ended = command("infer", phantoms, *options, "--resume")
    assert ended.code == 2
    assert ended.err.endswith("its records are by another model; write to another file\n")


def test_a_full_disk_keeps_what_was_written_whole(process, phantoms, tmp_path):
    output = tmp_path / "out.jsonl"
    script = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000));"
        "from edge_mri.cli import main; main(sys.argv[1:], prog_name='edge-mri')"
    )
    (tmp_path / "empty").mkdir()
    arguments = ["infer", phantoms, "--format", "jsonl", "-o", output]
    ended = process("-c", script, *arguments)
    assert ended.code == 2
    assert ended.err == f"Error: cannot write {output}: File too large\n"
    lines = output.read_text().splitlines(keepends=True)
    assert 5 < len(lines) < 48
    assert all(json.loads(line)["status"] == "ok" for line in lines)


def test_each_record_can_say_where_it_comes_from(command, mixed, classifier):
    ended = command("infer", mixed, "--format", "jsonl", "--audit")
    records = [json.loads(line) for line in ended.out.splitlines()]
    for record in records:
        audit = record["audit"]
        data = Path(record["path"]).read_bytes()
        assert audit["input_sha256"] == hashlib.sha256(data).hexdigest()
        assert audit["model_sha256"] == hashlib.sha256(classifier.path.read_bytes()).hexdigest()
        assert audit["provider"] == "CPUExecutionProvider"
        assert set(audit["versions"]) == {"edge-mri", "numpy", "onnxruntime", "opencv"}
        age = datetime.now(UTC) - datetime.fromisoformat(audit["time"])
        assert 0 <= age.total_seconds() < 60
    spec = json.dumps(classifier.contract.preprocess.to_dict(), sort_keys=True)
    spec_sha256 = hashlib.sha256(spec.replace(" ", "").encode()).hexdigest()
    assert {record["audit"]["preprocess_sha256"] for record in records} == {spec_sha256}
    rows = list(
        csv.DictReader(command("infer", mixed, "--format", "csv", "--audit").out.splitlines())
    )
    assert [row["input_sha256"] for row in rows] == [r["audit"]["input_sha256"] for r in records]


def test_a_file_that_cannot_be_read_has_no_hash(command, picture, tmp_path, monkeypatch):
    def gone(*_: object) -> bytes:
        raise ImageReadError("No such file or directory")

    monkeypatch.setattr("edge_mri.file_batch.read_file", gone)
    (line,) = command("infer", picture, "--format", "jsonl", "--audit").out.splitlines()
    record = json.loads(line)
    assert record["audit"]["input_sha256"] is None
    assert record["audit"]["time"]


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


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_behind_stdout_is_one_line(process, picture):
    with Path("/dev/full").open("w") as full:
        ended = process("-m", "edge_mri", "infer", picture, stdout=full)
    assert ended.code == 2
    assert ended.err == "Error: cannot write stdout: No space left on device\n"


def test_a_reader_that_leaves_early_sees_no_traceback(picture, environment):
    run = subprocess.Popen(
        [sys.executable, "-m", "edge_mri", "infer", *[str(picture)] * 500, "--format", "json"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    run.stdout.readline()
    run.stdout.close()
    errors = run.stderr.read()
    run.stderr.close()
    run.wait(timeout=60)
    assert "Traceback" not in errors
    assert "Exception" not in errors


@pytest.mark.skipif(os.name != "posix", reason="POSIX terminals")
def test_a_terminal_sees_the_progress_and_the_output_does_not(process, mixed):
    ours, theirs = os.openpty()
    ended = process("-m", "edge_mri", "infer", mixed, "--format", "jsonl", stderr=theirs)
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
    ended = command("infer", *files, "--format", "jsonl")
    records = [json.loads(line) for line in ended.out.splitlines()]
    assert ended.code == 0
    assert len(records) == len(files) >= 3
    for record in records:
        assert record["status"] == "ok"
        assert record["type"] in TYPES
        assert record["plane"] in PLANES
        assert sum(record["type_probabilities"].values()) == pytest.approx(1, abs=1e-5)


def test_a_model_that_fails_while_it_runs_ends_the_run_with_its_reason(
    command, picture, monkeypatch
):
    def failing(names, batch):
        raise RuntimeError("Failed to allocate memory\nand much more")

    monkeypatch.setattr("edge_mri.graph.runner", lambda session: failing)
    ended = command("infer", picture, "--format", "jsonl")
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.splitlines()[-1] == (
        "Error: onnxruntime failed on cpu with 1 images at a time: Failed to allocate memory; "
        "where memory ran out, try a smaller --batch-size or --device cpu"
    )
