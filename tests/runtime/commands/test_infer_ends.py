"""How a run of `edge-mri infer` ends early, what it leaves, and how another goes on from it."""

import csv
import errno
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_mri.errors import EdgeMriError, OutputError
from edge_mri.images import ImageFiles
from edge_mri.inference import InferConfig, infer
from edge_mri.storage import claim

SMALL_DISK = (
    "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
    "resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000));"
    "from edge_mri.cli import main; main(sys.argv[1:], prog_name='edge-mri')"
)
"""As `edge-mri` where no file may have more than 5,000 bytes."""


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
    command, many, tmp_path, environment, format_, alike
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
        assert alike(written, whole.read_bytes(), all_=False)
        assert written.endswith(b"\n")
        assert had + 20 <= written.count(b"\n") < 501
        if end != signal.SIGKILL:
            assert " images in " in errors
            assert errors.endswith(f"Stopped by {end.name}; --resume goes on.\n")
    with output.open("ab") as file:
        file.write(b'{"path": "cut o' if format_ == "jsonl" else b'"cut, o')
    had = output.read_bytes().count(b"\n") - (format_ == "csv")
    ended = command("infer", *many, *options)
    assert ended.code == 1  # of the file that an earlier part could not read
    assert f"\nwent on after {had} records, 1 of them errors\n" in ended.err
    assert alike(output.read_bytes(), whole.read_bytes())


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
        if any(path.stat().st_size for path in tmp_path.glob(".out.json.*.json")):
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
    arguments = ["infer", phantoms, "--format", "jsonl", "-o", output]
    ended = process("-c", SMALL_DISK, *arguments)
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

    monkeypatch.setattr("edge_mri.model.graph.runner", lambda session: failing)
    ended = command("infer", picture, "--format", "jsonl")
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.splitlines()[-1] == (
        "Error: onnxruntime failed on cpu with 1 images at a time: Failed to allocate memory; "
        "where memory ran out, try a smaller --batch-size or --device cpu"
    )


BUSY = "another run writes to it; wait until that one has ended, or name another file"
posix = pytest.mark.skipif(os.name != "posix", reason="locks of POSIX systems")


@pytest.fixture
def waiting(environment, picture) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start a run that has answered five pictures and waits for the name of a sixth."""
    runs = []

    def start(*options: object) -> subprocess.Popen[str]:
        run = started(environment, "-", "--threads", "1", *options, stdin=subprocess.PIPE)
        runs.append(run)
        tell(run, picture, 5)
        return run

    yield start
    for run in runs:
        run.kill()
        run.communicate()


def tell(run: subprocess.Popen[str], picture: Path, times: int) -> None:
    run.stdin.write(f"{picture}\n" * times)
    run.stdin.flush()


def wait_for_temporary(folder: Path) -> None:
    for _ in range(2000):
        if len(list(folder.glob(".*"))) == 2:  # its claim, and what is to become the document
            return
        time.sleep(0.01)
    raise AssertionError(f"nothing is being written in {folder}")


@posix
@pytest.mark.parametrize("resume", [False, True])
@pytest.mark.parametrize("name", ["out.jsonl", "out.csv", "link.jsonl"])
def test_a_second_run_does_not_write_to_the_same_file(
    command, waiting, picture, tmp_path, name, resume
):
    output, given = tmp_path / f"out{Path(name).suffix}", tmp_path / name
    if name.startswith("link"):
        given.symlink_to(output)
    header = name.endswith(".csv")
    run = waiting("-o", output)
    wait_for_records(output, 5 + header)
    ended = command("infer", *[picture] * 50, "-o", given, *["--resume"] * resume)
    assert ended == (2, "", f"Error: cannot write {given}: {BUSY}\n")
    tell(run, picture, 3)
    _, errors = run.communicate(timeout=60)
    assert (run.returncode, errors[:9]) == (0, "8 images ")
    assert output.read_bytes().count(b"\n") == 8 + header
    assert sorted(tmp_path.glob(".*")) == []


@posix
def test_nor_under_another_name_of_it(command, waiting, picture, tmp_path):
    output, other = tmp_path / "out.jsonl", tmp_path / "hard.jsonl"
    run = waiting("-o", output)
    wait_for_records(output, 5)
    other.hardlink_to(output)
    ended = command("infer", picture, "-o", other)
    assert ended == (2, "", f"Error: cannot write {other}: {BUSY}\n")
    tell(run, picture, 3)
    _, errors = run.communicate(timeout=60)
    assert (run.returncode, errors[:9]) == (0, "8 images ")
    assert output.read_bytes().count(b"\n") == 8
    assert command("infer", picture, "-o", other).code == 0


@posix
@pytest.mark.parametrize(
    ("option", "name"), [("-o", "a.json"), ("--volumes", "v.json"), ("--report", "r.html")]
)
def test_nor_to_the_same_document(command, waiting, picture, tmp_path, option, name):
    path, output = tmp_path / name, tmp_path / "out.jsonl"
    run = waiting(option, path, *(() if option == "-o" else ("-o", output)))
    if option == "-o":
        wait_for_temporary(tmp_path)
    else:
        wait_for_records(output, 5)
    ended = command("infer", picture, option, path)
    assert ended == (2, "", f"Error: cannot write {path}: {BUSY}\n")
    assert run.communicate(timeout=60)
    assert run.returncode == 0
    assert command("infer", picture, option, path).code == 0
    assert sorted(tmp_path.glob(".*")) == []


@posix
def test_a_killed_run_claims_nothing(command, waiting, picture, tmp_path):
    output = tmp_path / "out.jsonl"
    run = waiting("-o", output)
    wait_for_records(output, 5)
    run.kill()
    run.wait()
    assert [path.name for path in tmp_path.glob(".*")] == [".out.jsonl.lock"]
    assert command("infer", *[picture] * 7, "-o", output, "--resume").code == 0
    assert output.read_bytes().count(b"\n") == 7
    assert sorted(tmp_path.glob(".*")) == []


@pytest.fixture
def no_locks(monkeypatch) -> None:
    """As some network file systems have none."""

    def flock(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(claim.fcntl, "flock", flock)


@posix
@pytest.mark.usefixtures("no_locks")
def test_without_locks_a_running_process_has_its_claim(command, waiting, picture, tmp_path):
    output = tmp_path / "out.jsonl"
    run = waiting("-o", output)
    wait_for_records(output, 5)
    ended = command("infer", picture, "-o", output)
    assert ended == (2, "", f"Error: cannot write {output}: {BUSY}\n")
    run.kill()
    run.wait()
    assert command("infer", picture, "-o", output).code == 0
    assert output.read_bytes().count(b"\n") == 1
    assert sorted(tmp_path.glob(".*")) == []


@posix
@pytest.mark.usefixtures("no_locks")
@pytest.mark.parametrize("text", [b"", b"\0\xff", b"1\n", b"-1 a b\n", b"9" * 400, b"%d other 1\n"])
def test_a_claim_that_names_no_process_of_this_machine_is_none(command, picture, tmp_path, text):
    output, lock = tmp_path / "out.jsonl", tmp_path / ".out.jsonl.lock"
    lock.write_bytes(text.replace(b"%d", str(os.getpid()).encode()))
    assert command("infer", picture, "-o", output).code == 0
    assert not lock.exists()


@posix
@pytest.mark.usefixtures("no_locks")
def test_without_a_claim_the_first_run_notices_the_second(command, waiting, picture, tmp_path):
    """As on two machines without locks between them: no record is lost without a word."""
    output = tmp_path / "out.jsonl"
    run = waiting("-o", output)
    wait_for_records(output, 5)
    (tmp_path / ".out.jsonl.lock").unlink()
    assert command("infer", *[picture] * 2, "-o", output).code == 0
    second = output.read_bytes()
    tell(run, picture, 3)
    _, errors = run.communicate(timeout=60)
    assert run.returncode == 2
    reason = "another process has changed it since this run began; write to another file"
    assert errors == f"Error: cannot write {output}: {reason}\n"
    assert output.read_bytes() == second
    assert second.count(b"\n") == 2


@posix
@pytest.mark.parametrize("how", ["file", "folder", "moved"])
def test_a_file_that_vanishes_ends_the_run(waiting, picture, tmp_path, how):
    folder = tmp_path / "results"
    output = folder / "out.jsonl"
    run = waiting("-o", output)
    wait_for_records(output, 5)
    if how == "file":
        output.unlink()
    elif how == "folder":
        shutil.rmtree(folder)
    else:
        folder.rename(tmp_path / "elsewhere")
    tell(run, picture, 3)
    _, errors = run.communicate(timeout=60)
    reason = "it was taken away while this run wrote to it; write to another file"
    assert (run.returncode, errors) == (2, f"Error: cannot write {output}: {reason}\n")
    if how == "moved":
        assert (tmp_path / "elsewhere/out.jsonl").read_bytes().count(b"\n") == 5


@posix
@pytest.mark.parametrize("name", ["out.json", "out.txt"])
def test_a_document_whose_folder_vanishes_is_one_line(waiting, tmp_path, name):
    folder = tmp_path / "results"
    run = waiting("-o", folder / name)
    wait_for_temporary(folder)
    shutil.rmtree(folder)
    _, errors = run.communicate(timeout=60)
    assert run.returncode == 2
    (line,) = errors.splitlines()
    assert line.startswith(f"Error: cannot write {folder / name}: No such file or directory")


@pytest.mark.parametrize("option", ["-o", "--volumes", "--report", "--heatmaps"])
@pytest.mark.parametrize("suffix", ["", ".json", ".csv"])
def test_a_name_that_is_too_long_is_one_line(command, picture, tmp_path, option, suffix):
    path = tmp_path / ("n" * 300 + suffix)
    ended = command("infer", picture, option, path)
    reason = "File name too long; give it a shorter one"
    assert ended == (2, "", f"Error: cannot write {path}: {reason}\n")
    assert [one.name for one in tmp_path.iterdir()] == ["pictures"]


@pytest.mark.parametrize(
    ("option", "folder"),
    [  # what ends with a slash is a dataset's with -o
        *[(option, folder) for option in ("--volumes", "--report") for folder in ("/", ".", "..")],
        *[("-o", folder) for folder in (".", "..")],
    ],
)
def test_a_folder_in_place_of_a_file_is_one_line(command, picture, option, folder):
    ended = command("infer", picture, option, folder)
    reason = "Is a directory; expected the name of a file"
    assert ended == (2, "", f"Error: cannot write {Path(folder)}: {reason}\n")


@pytest.mark.parametrize("option", ["-o", "--volumes", "--report"])
@pytest.mark.parametrize("suffix", [".jsonl", ".json", ".html"])
def test_the_longest_name_will_do(command, picture, tmp_path, option, suffix):
    path = tmp_path / ("n" * (255 - len(suffix)) + suffix)
    assert command("infer", picture, option, path).code == 0
    assert sorted(one.name for one in tmp_path.iterdir()) == [path.name, "pictures"]


@pytest.mark.parametrize("format_", ["jsonl", "csv"])
def test_after_a_full_disk_the_rest_can_follow(
    process, command, phantoms, tmp_path, format_, alike
):
    whole, output = tmp_path / "whole", tmp_path / "out"
    options = ["infer", phantoms, "--format", format_]
    command(*options, "-o", whole)
    for _ in range(2):  # the second time there is no room for a single record
        ended = process("-c", SMALL_DISK, *options, "-o", output, "--resume")
        assert (ended.code, ended.err) == (2, f"Error: cannot write {output}: File too large\n")
        assert alike(output.read_bytes(), whole.read_bytes(), all_=False)
        assert output.read_bytes().endswith(b"\n")
    assert command(*options, "-o", output, "--resume").code == 0
    assert alike(output.read_bytes(), whole.read_bytes())


@pytest.mark.parametrize("option", ["-o", "--volumes", "--report"])
def test_a_document_that_the_disk_cannot_hold_leaves_the_old_one(
    process, phantoms, tmp_path, option
):
    path = tmp_path / "old.json"
    path.write_text("old")
    given = [*sorted(phantoms.rglob("*.png"))[:40], option, path]
    if option == "--volumes":
        two = tmp_path / "0.tif"
        cv2.imwritemulti(str(two), [np.full((64, 64), 20, np.uint8)] * 2)
        data = two.read_bytes()
        pages = [tmp_path / f"{number}.tif" for number in range(40)]
        for page in pages:
            page.write_bytes(data)
        given = [*pages, option, path]
    ended = process("-c", SMALL_DISK, "infer", *given)
    assert ended.code == 2
    assert ended.err.splitlines()[-1] == f"Error: cannot write {path}: File too large"
    assert "Traceback" not in ended.err
    assert path.read_text() == "old"
    assert sorted(tmp_path.glob(".*")) == []


NAMES = [b"\xff.png", rb"\xff.png", b"=1.png", b"'=1.png", b"a\rb.png", b"a\nb.png", b'"c".png']


@posix
@pytest.mark.parametrize("format_", ["jsonl", "csv"])
def test_files_of_any_name_are_gone_on_with(command, picture, tmp_path, monkeypatch, format_):
    folder = tmp_path / "names"
    folder.mkdir()
    monkeypatch.chdir(folder)
    for name in NAMES:
        Path(os.fsdecode(name)).write_bytes(picture.read_bytes())
    names = [os.fsdecode(name) for name in sorted(NAMES)]
    whole, output = tmp_path / "whole", tmp_path / "out"
    options = ["--format", format_, "-o"]
    assert command("infer", *names, *options, whole).code == 0
    lines = whole.read_bytes().split(b"\n")
    for kept in range(len(lines)):
        output.write_bytes(b"\n".join(lines[:kept]) + b"\n" * bool(kept))
        assert command("infer", *names, *options, output, "--resume").code == 0
        assert output.read_bytes() == whole.read_bytes()
