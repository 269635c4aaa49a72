import os
import stat
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from edge_mri.classifier import SHIPPED_MODEL, Classifier
from edge_mri.model import session_cache
from edge_mri.model.session_cache import MAX_FILES, SessionCache

resource = pytest.importorskip("resource", reason="there is none on Windows")
pytestmark = pytest.mark.skipif(os.name != "posix", reason="files are kept on POSIX systems alone")

PIXELS = np.random.default_rng(0).integers(0, 256, (2, 1, 160, 160), np.uint8)
START = onnxruntime.InferenceSession


@pytest.fixture
def folder(monkeypatch, tmp_path) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache/edge-mri/sessions"


@pytest.fixture
def starts(monkeypatch) -> list[bool]:
    """For each session that is made, whether from an already optimised model."""
    seen = []

    def start(data, options, **settings):
        plain = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        seen.append(options.graph_optimization_level == plain)
        return START(data, options, **settings)

    monkeypatch.setattr(onnxruntime, "InferenceSession", start)
    return seen


def logits() -> np.ndarray:
    return Classifier.load(device="cpu").logits(PIXELS)


def test_the_second_start_takes_what_the_first_has_kept(folder, starts):
    first, second = logits(), logits()
    assert starts == [False, True]
    np.testing.assert_array_equal(first, second)
    (kept,) = folder.iterdir()
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def damage(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def keep(cache: SessionCache, optimised: bytes) -> None:
    """Keep some bytes as the optimised form of a model."""
    with cache.scratch() as scratch:
        scratch.path.write_bytes(optimised)
        cache.store(scratch)


def swap(path: Path) -> None:
    """Put what was kept for another model in its place."""
    other = SessionCache("another model", onnxruntime.__version__)
    keep(other, b"something else")
    other.path.replace(path)


@pytest.mark.parametrize(
    "spoil",
    [
        damage,
        swap,
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(path.read_bytes()[:1000]),
        lambda path: path.chmod(0o644),
        lambda path: path.parent.chmod(0o755),
        lambda path: (path.rename(path.with_name("else")), path.symlink_to("else")),
    ],
    ids=["damaged", "of another", "empty", "cut", "readable", "open folder", "a link"],
)
def test_what_cannot_be_trusted_is_not_taken(folder, starts, spoil):
    expected = logits()
    spoil(next(folder.iterdir()))
    np.testing.assert_array_equal(logits(), expected)
    assert starts == [False, False]


def test_a_file_of_somebody_else_is_not_taken(folder, starts, monkeypatch):
    logits()
    monkeypatch.setattr(session_cache.os, "geteuid", lambda: os.getuid() + 1)
    logits()
    assert starts == [False, False]


def test_a_kept_model_that_does_not_load_is_made_again(folder, starts):
    expected = logits()
    (kept,) = folder.iterdir()
    cache = SessionCache(Classifier.load(device="cpu").model_sha256, onnxruntime.__version__)
    keep(cache, b"well sealed, but no model")
    assert cache.path == kept
    starts.clear()
    np.testing.assert_array_equal(logits(), expected)
    assert starts == [True, False]


@pytest.mark.parametrize("base", ["/dev/null", "/proc/nowhere"])
def test_a_start_needs_no_folder_to_keep_things_in(monkeypatch, starts, base):
    monkeypatch.setenv("XDG_CACHE_HOME", base)
    logits()
    assert starts == [False]


def test_nothing_is_kept_where_that_is_switched_off(folder, monkeypatch):
    monkeypatch.setenv("EDGE_MRI_CACHE", "off")
    logits()
    assert not folder.exists()


def test_another_model_and_another_onnxruntime_are_other_files(folder):
    paths = {SessionCache(*key).path for key in (("a", "1.32"), ("b", "1.32"), ("a", "1.33"))}
    assert len(paths) == 3
    assert paths == {path for path in paths if path.parent == folder}


def test_only_the_newest_are_kept(folder):
    for number in range(MAX_FILES + 3):
        cache = SessionCache(str(number), "")
        keep(cache, b"model")
        os.utime(cache.path, (number, number))
    assert len(list(folder.iterdir())) == MAX_FILES
    assert SessionCache(str(number), "").load() == b"model"


def test_the_package_stays_as_it_is(folder):
    before = sorted(SHIPPED_MODEL.parent.iterdir())
    logits()
    assert sorted(SHIPPED_MODEL.parent.iterdir()) == before


def odd(make):
    """Put something else in the place of a kept file."""

    def spoil(path: Path) -> None:
        path.unlink()
        make(path)

    return spoil


def sparse(path: Path) -> None:
    path.touch(0o600)
    os.truncate(path, 3 << 30)


@pytest.mark.parametrize(
    "spoil",
    [odd(lambda path: path.mkdir(0o700)), odd(lambda path: os.mkfifo(path, 0o600)), odd(sparse)],
    ids=["folder", "pipe", "3 GB"],
)
def test_an_odd_entry_means_not_kept(folder, starts, spoil):
    expected = logits()
    spoil(next(folder.iterdir()))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    np.testing.assert_array_equal(logits(), expected)
    assert starts == [False, False]
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 500_000  # KiB
    assert [one.suffix for one in folder.iterdir()] == [".session"]


@pytest.mark.parametrize("above", [0, 1, 2])
@pytest.mark.parametrize("mode", [0o777, 0o770, 0o720, 0o702])
def test_a_folder_that_others_may_change_keeps_nothing_and_is_not_trusted(
    folder, starts, above, mode
):
    logits()
    place = [folder, *folder.parents][above]
    place.chmod(mode)
    before = sorted(folder.iterdir())
    try:
        logits()
        assert starts == [False, False]
        assert sorted(folder.iterdir()) == before
    finally:
        place.chmod(0o700)
    logits()
    assert starts == [False, False, True]


def test_a_sticky_folder_above_is_as_good_as_ones_own(folder, starts, tmp_path):
    tmp_path.chmod(0o1777)
    logits()
    logits()
    assert starts == [False, True]


@pytest.mark.skipif(getattr(os, "geteuid", int)() != 0, reason="gives folders to another user")
@pytest.mark.parametrize("above", [0, 1, 2])
def test_a_folder_of_somebody_else_on_the_way_is_not_trusted(folder, starts, above):
    logits()
    os.chown([folder, *folder.parents][above], 12345, 12345)
    logits()
    assert starts == [False, False]


def test_links_on_the_way_are_followed_before_it_is_walked(folder, starts, tmp_path, monkeypatch):
    logits()
    (tmp_path / "link").symlink_to(tmp_path / "cache")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "link"))
    logits()
    assert starts == [False, True]
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    (tmp_path / "cache").rename(tmp_path / "open/cache")
    (tmp_path / "cache").symlink_to(tmp_path / "open/cache")
    logits()
    assert starts == [False, True, False]


def test_a_folder_swapped_during_a_start_gets_nothing(folder, monkeypatch, tmp_path):
    """What is read and written is what was opened, whatever its name means by then."""
    cache = SessionCache("a model", "")
    with cache.scratch() as scratch:
        scratch.path.write_bytes(b"optimised")
        folder.rename(tmp_path / "moved")
        folder.mkdir(0o700)
        (folder / scratch.path.name).write_bytes(b"planted")
        cache.store(scratch)
    assert cache.load() is None
    (tmp_path / "moved" / cache.path.name).rename(cache.path)
    assert cache.load() == b"optimised"


KILLED = """
import os, signal, onnxruntime
from edge_mri.classifier import Classifier
start = onnxruntime.InferenceSession
def killed(*arguments, **settings):
    start(*arguments, **settings)
    os.kill(os.getpid(), signal.SIGKILL)
onnxruntime.InferenceSession = killed
Classifier.load(device="cpu")
"""


def test_what_a_killed_start_leaves_goes_with_the_next(folder, environment, process):
    ended = process("-c", KILLED, env=environment | {"XDG_CACHE_HOME": str(folder.parents[1])})
    assert ended.code == -9
    (left,) = folder.iterdir()
    assert left.suffix == ".onnx"
    (folder / "older.tmp").touch(0o600)
    (folder / "note.txt").touch(0o600)
    (folder / "odd.onnx").mkdir()
    os.mkfifo(folder / "odd.tmp", 0o600)
    logits()
    names = {one.name for one in folder.iterdir()}
    assert names - {"note.txt", "odd.onnx", "odd.tmp"} == {
        name for name in names if name.endswith(".session")
    }
    assert {"note.txt", "odd.onnx", "odd.tmp"} < names


def test_the_scratch_file_of_a_start_that_runs_is_left(folder):
    first, second = SessionCache("first", ""), SessionCache("second", "")
    with first.scratch() as scratch:
        scratch.path.write_bytes(b"optimised")
        keep(second, b"other")
        first.store(scratch)
    assert (first.load(), second.load()) == (b"optimised", b"other")
    assert sorted(one.suffix for one in folder.iterdir()) == [".session"] * 2


def test_descriptors_are_given_back(folder):
    count = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(3):
        logits()
        next(folder.iterdir()).chmod(0o644)
    folder.chmod(0o755)
    logits()
    assert len(list(Path("/proc/self/fd").iterdir())) == count
