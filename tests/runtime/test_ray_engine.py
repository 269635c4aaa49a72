"""Two workers on this machine; a worker is killed while it works."""

import os
import signal
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
def cluster(environment):
    ray.init(
        num_cpus=2,
        log_to_driver=False,
        logging_level="ERROR",
        include_dashboard=False,
        runtime_env={"env_vars": {"PYTHONPATH": environment["PYTHONPATH"]}},
    )
    yield
    ray.shutdown()


def workers() -> list[int]:
    """The processes of this cluster's workers that hold a classifier."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            try:
                title = (folder / "cmdline").read_bytes()
            except OSError:
                continue
            if title.startswith(b"ray::MapWorker"):
                found.append(int(folder.name))
    return found


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
