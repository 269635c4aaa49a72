"""Datasets: parts that are whole or not there, and runs that go on, whatever is listed then."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

pq = pytest.importorskip("pyarrow.parquet", reason="needs pyarrow, of the extra [cloud]")

OPTIONS = ("--batch-size", 10)


def rows(folder: Path) -> list[dict]:
    found = []
    for part in folder.glob("part-*"):
        if part.suffix == ".parquet":
            found += pq.read_table(part).to_pylist()
        else:
            found += [json.loads(line) for line in part.read_text().splitlines()]
    return found


def texts(found: list[dict]) -> Counter:
    return Counter(json.dumps(one, sort_keys=True) for one in found)


def local(command, *paths) -> list[dict]:
    return json.loads(command("infer", *paths, "--format", "json").out)


@pytest.fixture
def images(phantoms, tmp_path) -> Path:
    """48 phantoms, a file that is none, and a name that is no text."""
    shutil.copytree(phantoms, tmp_path / "images")
    (tmp_path / "images" / "broken.png").write_bytes(b"no image")
    name = os.fsencode(tmp_path / "images") + b"/n\xe9.png"
    Path(os.fsdecode(name)).write_bytes(next(iter(phantoms.rglob("*.png"))).read_bytes())
    return tmp_path / "images"


@pytest.mark.parametrize("format_", ["parquet", "jsonl"])
def test_records_are_those_of_a_file(command, images, tmp_path, format_):
    ended = command("infer", images, "-o", f"{tmp_path}/out/", "--format", format_, *OPTIONS)
    assert ended.code == 1
    assert ended.err.startswith("50 images in ")
    parts = sorted((tmp_path / "out").iterdir())
    assert parts[0].name == "_edge_mri.json"
    assert len(parts) == 1 + 5
    assert all(one.suffix == f".{format_}" for one in parts[1:])
    assert texts(rows(tmp_path / "out")) == texts(local(command, images))


def test_a_task_is_a_row_group(command, images, tmp_path):
    command("infer", images, "-o", f"{tmp_path}/out/", *OPTIONS)
    for part in (tmp_path / "out").glob("part-*"):
        file = pq.ParquetFile(part)
        assert (file.num_row_groups, file.metadata.num_rows) == (1, 10)


def test_an_audit_has_its_columns(command, images, tmp_path):
    command("infer", images, "-o", f"{tmp_path}/out/", "--audit")
    (audit,) = {json.dumps(sorted(one["audit"])) for one in rows(tmp_path / "out")}
    assert "input_sha256" in audit
    assert rows(tmp_path / "out")[0]["audit"]["versions"]["numpy"]


def test_labels_without_planes(command, mapped, images, tmp_path):
    model = mapped()
    ended = command("infer", images, "--model", model, "-o", f"{tmp_path}/out/")
    assert ended.code == 1
    found = {json.dumps(one, sort_keys=True) for one in rows(tmp_path / "out")}
    here = command("infer", images, "--model", model, "--format", "json")
    assert found == {json.dumps(one, sort_keys=True) for one in json.loads(here.out)}


def test_a_second_run_is_refused_and_a_resumed_one_does_nothing(command, images, tmp_path):
    out = f"{tmp_path}/out/"
    command("infer", images, "-o", out, *OPTIONS)
    before = {one: one.stat().st_mtime_ns for one in (tmp_path / "out").iterdir()}
    ended = command("infer", images, "-o", out)
    assert (ended.code, ended.err) == (
        2,
        f"Error: cannot write {tmp_path}/out: there is a dataset already; --resume goes on with "
        "it, if it is of the same model and options\n",
    )
    ended = command("infer", images, "-o", out, "--resume", *OPTIONS)
    assert ended.code == 0
    assert ended.err.splitlines()[-1] == "50 files had their records before"
    assert before == {one: one.stat().st_mtime_ns for one in (tmp_path / "out").iterdir()}


@pytest.mark.parametrize("size", [10, 7, 50])
def test_what_is_missing_is_made_again_whatever_the_listing(command, images, tmp_path, size):
    out = tmp_path / "out"
    command("infer", images, "-o", f"{out}/", *OPTIONS)
    for part in sorted(out.glob("part-*"))[1:4]:
        part.unlink()
    first = sorted(images.rglob("*.png"))[0]
    shutil.copy(first, images / "glioma_axial" / "a-new-one.png")
    (images / "broken.png").unlink()
    ended = command("infer", images, "-o", f"{out}/", "--resume", "--batch-size", size)
    assert ended.code in (0, 1)
    times = Counter(one["path"] for one in rows(out))
    listed = {one["path"] for one in local(command, images)}
    assert listed <= set(times)
    assert set(times) - listed <= {str(images / "broken.png")}
    assert set(times.values()) == {1}


def test_a_file_that_is_listed_twice_has_two_records(command, phantoms, tmp_path):
    files = sorted(phantoms.rglob("*.png"))[:4]
    out = tmp_path / "out"
    command("infer", *files, *files, "-o", f"{out}/", "--batch-size", 4)
    assert set(Counter(one["path"] for one in rows(out)).values()) == {2}
    next(out.glob("part-*")).unlink()
    command("infer", *files, *files, "-o", f"{out}/", "--batch-size", 3, "--resume")
    assert set(Counter(one["path"] for one in rows(out)).values()) == {2}


def test_a_folder_with_other_files_is_none(command, images):
    before = sorted(images.rglob("*"))
    ended = command("infer", images, "-o", f"{images}/", *OPTIONS)
    assert ended == (
        2,
        "",
        f"Error: cannot write {images}: it is a folder with other files in it; name one that is "
        "empty, or not there yet\n",
    )
    assert sorted(images.rglob("*")) == before


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--no-reject"], "reject True, this run has False"),
        (["--audit"], "audit False, this run has True"),
        (["--format", "jsonl"], "format 'parquet', this run has 'jsonl'"),
    ],
)
def test_it_goes_on_as_it_was_begun(command, images, tmp_path, options, told):
    command("infer", images, "-o", f"{tmp_path}/out/")
    ended = command("infer", images, "-o", f"{tmp_path}/out/", "--resume", *options)
    assert ended.code == 2
    assert ended.err == (
        f"Error: cannot write {tmp_path}/out: it was begun with {told}; go on as it was begun, or "
        "write elsewhere\n"
    )


def test_parts_that_are_none_are_told(command, images, tmp_path):
    out = tmp_path / "out"
    command("infer", images, "-o", f"{out}/", *OPTIONS)
    part = sorted(out.glob("part-*"))[0]
    part.write_bytes(part.read_bytes()[:-50])
    ended = command("infer", images, "-o", f"{out}/", "--resume", "--batch-size", 7)
    assert ended.err == (f"Error: cannot write {part}: it is no part of a dataset; take it away\n")


@pytest.mark.parametrize("name", [signal.SIGKILL, signal.SIGTERM])
def test_a_run_that_ends_early_leaves_whole_parts(environment, command, images, tmp_path, name):
    out = tmp_path / "out"
    many = [path for path in [*images.rglob("*_*/*.png")] for _ in range(20)]
    options = ["-m", "edge_mri", "infer", *many, "-o", f"{out}/", "--batch-size", "50"]
    run = subprocess.Popen([sys.executable, *options], env=environment, stderr=subprocess.PIPE)
    until = time.monotonic() + 60
    while len(list(out.glob("part-*"))) < 2:
        assert run.poll() is None
        assert time.monotonic() < until
        time.sleep(0.01)
    run.send_signal(name)
    said = run.communicate(timeout=30)[1].decode()
    assert run.returncode == (-9 if name == signal.SIGKILL else 143)
    assert ("Stopped by SIGTERM; --resume goes on." in said) == (name == signal.SIGTERM)
    before = rows(out)
    assert 100 <= len(before) < len(many)
    assert len(before) % 50 == 0
    half = out / ".part-abc.left-behind.parquet"
    half.write_bytes(b"half")
    ended = command("infer", *many, "-o", f"{out}/", "--batch-size", 50, "--resume")
    assert ended.code == 0
    assert f"{len(before)} files had their records before" in ended.err
    assert Counter(one["path"] for one in rows(out)) == Counter(map(str, many))
    assert not half.exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["-o", "http://h/x"], "--output http://h/x: expected a file, a folder with a "
            "trailing slash, or a URL of s3://, s3a://, gs://, gcs://, az://, abfs://, abfss://"),
        (["-o", "s3://b/x.jsonl"], "--output s3://b/x.jsonl: a URL names a dataset, a folder of "
            "parts, and this looks like a file; end it with a slash for a folder of that name, or "
            "name a local file"),
        (["-o", "out/", "--format", "csv"], "--format csv does not go into a dataset; expected "
            "parquet or jsonl"),
        (["-o", "out/", "--volumes", "v.csv"], "--volumes needs all records in one place: it does "
            "not go with a dataset"),
        (["-o", "out/", "--report", "v.html"], "--report needs all records in one place: it does "
            "not go with a dataset"),
        (["--format", "parquet"], "--format parquet goes into a dataset: --output DIR/, with the "
            "slash, or a URL such as s3://bucket/records"),
    ],
)  # fmt: skip
def test_what_does_not_go_together(command, images, tmp_path, monkeypatch, options, message):
    monkeypatch.chdir(tmp_path)
    ended = command("infer", images, *options)
    assert (ended.code, ended.err) == (2, f"Error: {message}\n")
    assert not (tmp_path / "out").exists()


def test_in_object_storage(command, s3, images, tmp_path):
    s3.store("records", {})
    place = "s3://records/run/1"
    ended = command("infer", images, "-o", place, *OPTIONS)
    assert ended.code == 1
    ended = command("infer", images, "-o", place, *OPTIONS)
    assert "there is a dataset already" in ended.err
    parts = s3.contents("records")
    assert len(parts) == 6
    gone = sorted(parts)[-1]
    s3.client.delete_object(Bucket="records", Key=gone)
    assert command("infer", images, "-o", place, "--resume", *OPTIONS).code in (0, 1)
    parts = s3.contents("records")
    assert gone in parts
    for key, data in parts.items():
        (tmp_path / Path(key).name).write_bytes(data)
    assert texts(rows(tmp_path)) == texts(local(command, images))
    ended = command("infer", images, "-o", "s3://none-such/x")
    assert ended.err == "Error: cannot write s3://none-such/x: there is no such bucket\n"


@pytest.mark.parametrize("place", ["s3://records", "s3://records/", "s3://records/run"])
def test_a_dataset_below_another_in_object_storage_is_none_of_its_parts(command, s3, images, place):
    s3.store("records", {})
    assert command("infer", images, "-o", "s3://records/run/1/", *OPTIONS).code == 1
    below = set(s3.contents("records"))
    ended = command("infer", images, "-o", place, *OPTIONS)
    assert ended.code == 1, ended.err
    own = set(s3.contents("records")) - below
    assert len(own) == len(below)
    gone = sorted(own)[-1]
    s3.client.delete_object(Bucket="records", Key=gone)
    assert command("infer", images, "-o", place, "--resume", *OPTIONS).code in (0, 1)
    assert set(s3.contents("records")) == own | below
