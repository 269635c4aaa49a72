"""Two workers on this machine; workers are killed while they work."""

import json
import os
import signal
import threading
import time
from collections import Counter
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path

import pytest

from edge_mri.images.pixels.limits import VARIABLES

ray = pytest.importorskip("ray", reason="needs the extra [ray]")
pytestmark = [
    pytest.mark.skipif(not Path("/proc").is_dir(), reason="finds the workers in /proc"),
    pytest.mark.filterwarnings("ignore"),  # those of Ray are not ours to mend
]


@pytest.fixture(autouse=True)
def _limits(monkeypatch):
    """The command sets these for its process; give them back."""
    for name in VARIABLES.values():
        monkeypatch.setenv(name, "")


@pytest.fixture(scope="module", autouse=True)
def cluster(environment, request):
    has_s3 = find_spec("s3fs") and find_spec("flask_cors") and find_spec("moto")
    variables = request.getfixturevalue("s3_server").variables if has_s3 else {}
    ray.init(
        num_cpus=2,
        log_to_driver=False,
        logging_level="ERROR",
        include_dashboard=False,
        runtime_env={"env_vars": {"PYTHONPATH": environment["PYTHONPATH"]} | variables},
    )
    yield
    ray.shutdown()


def workers(doing: bytes = b"ray::MapWorker") -> list[int]:
    """The processes of this cluster's workers that hold a classifier, or do a task."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            try:
                title = (folder / "cmdline").read_bytes()
                ours = parent(parent(int(folder.name))) == os.getpid()
            except OSError:
                continue
            if title.startswith(doing) and ours:
                found.append(int(folder.name))
    return found


def parent(process: int) -> int:
    return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])


@pytest.fixture(scope="module")
def files(phantoms: Path) -> list[Path]:
    return [*sorted(phantoms.rglob("*.png")), Path("missing-\udcff.png")]


def test_records_are_those_of_a_local_run_though_a_worker_is_killed(classifier, files):
    from edge_mri.ray_engine import stream_on_ray

    many = files * 12
    found, killed = [], False
    for record in stream_on_ray(classifier, many, batch_size=8):
        found.append(record)
        if len(found) > 20 and not killed:
            victims = workers()
            os.kill(victims[0], signal.SIGKILL)
            killed = True
    assert killed
    assert found == list(classifier.stream(many))


def test_a_run_goes_on_where_it_ended(command, files, tmp_path):
    whole, output = tmp_path / "whole.jsonl", tmp_path / "records.jsonl"
    assert command("infer", *files[:-1], "--format", "jsonl", "-o", whole).code == 0
    output.write_bytes(b"".join(whole.read_bytes().splitlines(keepends=True)[:20]) + b'{"pa')
    options = ["--format", "jsonl", "-o", output, "--engine", "ray", "--resume"]
    ended = command("infer", *files[:-1], *options)
    assert ended.code == 0
    assert ended.err.startswith("28 images in ")
    assert output.read_bytes() == whole.read_bytes()


def test_limits_reach_the_workers(command, files, tmp_path):
    options = ["--format", "jsonl", "--engine", "ray", "--max-pixels", "100"]
    ended = command("infer", files[0], *options)
    assert ended.code == 1
    assert "the limit is 100 pixels (--max-pixels)" in ended.out


def parts(s3, prefix: str) -> list[str]:
    return [key for key in s3.contents("answers", prefix) if key.endswith(".parquet")]


def rows(s3, prefix: str) -> Counter:
    pq = pytest.importorskip("pyarrow.parquet")
    tables = [pq.read_table(BytesIO(one)) for name, one in s3.contents("answers", prefix).items()
              if name.endswith(".parquet")]  # fmt: skip
    return Counter(json.dumps(row, sort_keys=True) for one in tables for row in one.to_pylist())


@pytest.fixture
def archive(s3, phantoms) -> str:
    """300 objects in a bucket, one of them no image."""
    images = [one.read_bytes() for one in sorted(phantoms.rglob("*.png"))]
    contents = {f"in/{number:03d}.png": images[number % len(images)] for number in range(299)}
    s3.store("archive", contents | {"in/broken.png": b"no image"})
    s3.store("answers", {})
    return "s3://archive/in"


def test_a_dataset_has_the_records_of_a_local_run_though_workers_are_killed(command, s3, archive):
    killed = []

    def kill() -> None:
        until = time.monotonic() + 120
        while len(killed) < 2 and time.monotonic() < until:
            time.sleep(0.05)
            victims = workers(b"ray::_do")
            if victims and len(parts(s3, "run/")) > 2 * len(killed):
                os.kill(victims[0], signal.SIGKILL)
                killed.append(victims[0])

    killer = threading.Thread(target=kill)
    killer.start()
    options = ["-o", "s3://answers/run", "--engine", "ray"]
    ended = command("infer", archive, *options, "--batch-size", 10)
    killer.join()
    assert len(killed) == 2
    assert (ended.code, ended.out) == (1, "")
    assert "edge_net int8, cpu, workers of ray)" in ended.err
    assert len(parts(s3, "run/")) >= 30
    local = json.loads(command("infer", archive, "--format", "json").out)
    assert len(local) == 300
    assert rows(s3, "run/") == Counter(json.dumps(row, sort_keys=True) for row in local)
    before = s3.contents("answers", "run/")
    for key in parts(s3, "run/")[::3]:
        s3.client.delete_object(Bucket="answers", Key=key)
    assert command("infer", archive, *options, "--batch-size", 7, "--resume").code in (0, 1)
    assert rows(s3, "run/") == Counter(json.dumps(row, sort_keys=True) for row in local)
    assert set(before) & set(parts(s3, "run/"))


def test_a_dataset_that_cannot_be_written_is_one_line(command, files, s3, archive, tmp_path):
    target = tmp_path / "file"
    target.write_text("in the way")
    ended = command("infer", files[0], "-o", f"{target}/", "--engine", "ray")
    assert ended.code == 2
    assert ended.err == (
        f"Error: cannot write {target}/_edge_mri.json: File exists; a file lies where a folder "
        "must be: name another folder\n"
    )


def test_a_file_that_ends_its_worker_is_put_on_record_alone():
    from edge_mri.ray_tasks import on_ray
    from edge_mri.records.tasks import Task

    def job(task, reason):
        if reason is None and any(file.name == "5" for file in task.files):
            os._exit(1)
        return [(file.name, reason) for file in task.files]

    tasks = [Task.of([Path(str(4 * task + file)) for file in range(4)]) for task in range(3)]
    answers = dict(one for answer in on_ray(job, tasks, lambda: False) for one in answer)
    assert sorted(map(int, answers)) == list(range(12))
    assert {name for name, reason in answers.items() if reason} == {"5"}


def test_a_stop_leaves_what_is_at_work_undone():
    from edge_mri.ray_tasks import on_ray
    from edge_mri.records.tasks import Task

    def job(task, reason):
        time.sleep(0 if task.files[0].name == "0" else 60)

    begun, stopped = time.monotonic(), []
    for _ in on_ray(job, [Task.of([Path(str(one))]) for one in range(9)], lambda: bool(stopped)):
        stopped.append(True)
    assert time.monotonic() - begun < 50
