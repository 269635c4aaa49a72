import cv2
import pytest

from edge_mri.process import workers
from edge_mri.process.workers import available_threads, one_core_each


@pytest.fixture
def cores(monkeypatch):
    monkeypatch.setattr(workers.os, "sched_getaffinity", lambda _: set(range(6)), raising=False)


@pytest.mark.parametrize(
    ("quota", "threads"),
    [
        ("max 100000", 6),
        ("400000 100000", 4),
        ("150000 100000", 1),
        ("50000 100000", 1),
        ("800000 100000", 6),
        ("nonsense", 6),
    ],
)
def test_threads_are_the_cores_that_the_process_may_use(cores, tmp_path, quota, threads):
    (tmp_path / "cpu.max").write_text(quota)
    assert available_threads(tmp_path, tmp_path / "missing") == threads


def test_the_tightest_of_the_groups_above_a_process_counts(cores, tmp_path):
    own = tmp_path / "own"
    own.write_text("0::/outer/inner\n")
    (tmp_path / "outer/inner").mkdir(parents=True)
    (tmp_path / "outer/cpu.max").write_text("300000 100000\n")
    (tmp_path / "outer/inner/cpu.max").write_text("max 100000\n")
    assert available_threads(tmp_path, own) == 3
    (tmp_path / "outer/inner/cpu.max").write_text("200000 100000\n")
    assert available_threads(tmp_path, own) == 2


@pytest.mark.parametrize(("quota", "threads"), [("-1", 6), ("200000", 2)])
def test_control_groups_of_version_1_count(cores, tmp_path, quota, threads):
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu/cpu.cfs_quota_us").write_text(quota)
    (tmp_path / "cpu/cpu.cfs_period_us").write_text("100000")
    assert available_threads(tmp_path, tmp_path / "missing") == threads


def test_threads_are_counted_where_there_are_no_control_groups(monkeypatch, tmp_path):
    monkeypatch.delattr(workers.os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(workers.os, "cpu_count", lambda: 3)
    assert available_threads(tmp_path, tmp_path / "missing") == 3
    monkeypatch.setattr(workers.os, "cpu_count", lambda: None)
    assert available_threads(tmp_path, tmp_path / "missing") == 1


def test_opencv_keeps_to_the_calling_thread_for_a_while():
    before = cv2.getNumThreads()
    with one_core_each():
        assert cv2.getNumThreads() == 1
    assert cv2.getNumThreads() == before


def test_of_overlapping_streams_the_last_gives_opencv_its_threads_back():
    cv2.setNumThreads(3)
    try:
        first, second = one_core_each(), one_core_each()
        first.__enter__()
        second.__enter__()
        first.__exit__(None, None, None)
        assert cv2.getNumThreads() == 1
        second.__exit__(None, None, None)
        assert cv2.getNumThreads() == 3
    finally:
        cv2.setNumThreads(-1)
