"""How a run of `edge-mri infer` ends early, what it leaves, and how another goes on from it."""

import csv
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_mri.errors import EdgeMriError, OutputError
from edge_mri.images import ImageFiles
from edge_mri.inference import InferConfig, infer


def started(environment, *arguments, stdin=None) -> subprocess.Popen[str]:
    """`edge-mri infer` as a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "edge_mri", "infer", *map(str, arguments)],
        env=environment,
        stdin=stdin,
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
def test_a_signal_ends_the_waiting_for_a_list(picture, tmp_path, environment, end):
    output = tmp_path / "out.jsonl"
    options = ["--threads", "1", "--format", "jsonl", "-o", output]
    run = started(environment, "-", *options, stdin=subprocess.PIPE)
    run.stdin.write(f"{picture}\n" * 50)
    run.stdin.flush()  # and never closed
    wait_for_records(output, 20)
    time.sleep(0.5)  # until nothing is left to do but wait
    run.send_signal(end)
    try:
        assert run.wait(timeout=30) == 128 + end
    finally:
        run.kill()
        _, errors = run.communicate()
    assert errors.endswith(f"Stopped by {end.name}; --resume goes on.\n")
    assert 20 <= len([json.loads(line) for line in output.read_text().splitlines()]) <= 50


@pytest.mark.skipif(os.name != "posix", reason="Windows cannot tell whether a pipe has more")
def test_a_list_that_is_still_written_is_answered_path_by_path(picture, environment):
    """With two workers, which would take two, four, … files in the time of one."""
    run = started(environment, "-", "--threads", "2", "--format", "jsonl", stdin=subprocess.PIPE)
    try:
        for _ in range(5):
            run.stdin.write(f"{picture}\n")
            run.stdin.flush()
            assert select.select([run.stdout], [], [], 60)[0]
            assert json.loads(run.stdout.readline())["path"] == str(picture)
        run.stdin.close()
        assert run.wait(timeout=60) == 0
    finally:
        run.kill()
        run.stdout.close()
        run.stderr.close()


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


@pytest.mark.skipif(os.name != "posix", reason="POSIX signals")
@pytest.mark.parametrize("threads", [1, 2])
def test_a_signal_ends_a_file_of_many_images(tmp_path, environment, threads):
    pages, output = tmp_path / "pages.tif", tmp_path / "out.jsonl"
    cv2.imwritemulti(str(pages), [np.full((64, 64), 40, np.uint8)] * 2000)
    run = started(environment, *[pages] * 9, "--threads", threads, "-o", output)
    wait_for_records(output, 8)
    run.send_signal(signal.SIGTERM)
    sent = time.monotonic()
    _, errors = run.communicate(timeout=60)
    assert run.returncode == 143
    assert time.monotonic() - sent < 10
    assert errors.endswith("Stopped by SIGTERM; --resume goes on.\n")
    frames = [json.loads(line)["frame"] for line in output.read_text().splitlines()]
    assert frames == list(range(1, len(frames) + 1))
    assert len(frames) < 2000


@pytest.mark.skipif(os.name != "posix", reason="POSIX signals")
@pytest.mark.parametrize("waits", [False, True])
@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_count_before_the_first_image(
    command, picture, tmp_path, monkeypatch, end, waits
):
    """The files of a large tree, or one on a slow disk, are walked once more to count them."""
    walk, walks, counted = ImageFiles.__iter__, [], []

    def slow(files: ImageFiles) -> Iterator[Path]:
        walks.append(files)
        if len(walks) == 1:
            yield from walk(files)
            return
        yield picture
        if waits:
            threading.Timer(0.2, os.kill, (os.getpid(), end)).start()
            time.sleep(20)
        else:
            os.kill(os.getpid(), end)
        for _ in range(1000):
            counted.append(picture)
            yield picture

    monkeypatch.setattr(ImageFiles, "__iter__", slow)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    output = tmp_path / "out.jsonl"
    started = time.monotonic()
    ended = command("infer", picture, "-o", output)
    assert (ended.code, len(walks), len(counted) < 3) == (128 + end, 2, True)
    assert time.monotonic() - started < 15
    assert ended.err.endswith(f"Stopped by {end.name}; --resume goes on.\n")
    assert not output.exists()


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
    assert all(json.loads(line)["status"] in ("ok", "rejected") for line in lines)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_run_that_cannot_write_has_ended_when_it_says_so(phantoms, tmp_path):
    output = tmp_path / "full.jsonl"
    output.symlink_to("/dev/full")
    with pytest.raises(OutputError) as caught:
        infer(InferConfig(paths=(phantoms,), format="jsonl", output=output, threads=2))
    workers = [one for one in threading.enumerate() if one.name.startswith("edge-mri")]
    assert not workers
    assert str(caught.value) == f"cannot write {output}: No space left on device"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_behind_stdout_is_one_line(process, picture):
    with Path("/dev/full").open("w") as full:
        ended = process("-m", "edge_mri", "infer", picture, stdout=full)
    assert ended.code == 2
    assert ended.err == "Error: cannot write stdout: No space left on device\n"


def test_a_reader_that_leaves_early_sees_no_traceback(picture, environment):
    run = started(environment, *[picture] * 500, "--format", "json")
    run.stdout.readline()
    run.stdout.close()
    errors = run.stderr.read()
    run.stderr.close()
    assert run.wait(timeout=60) == 141
    assert "Traceback" not in errors
    assert "Exception" not in errors


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
