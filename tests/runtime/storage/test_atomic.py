import errno
import json
import os
import stat
import threading
from pathlib import Path

import pytest

from edge_mri.errors import EdgeMriError, OptionError, OutputError
from edge_mri.storage.atomic import atomic_path, require_writable, write_json


def put(path: Path, text: str) -> None:
    with atomic_path(path) as temporary:
        temporary.write_text(text)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_appears_when_it_is_whole(tmp_path):
    path = tmp_path / "out.json"
    with atomic_path(path) as temporary:
        temporary.write_text("half")
        assert not path.exists()
        assert temporary.parent == tmp_path
        assert temporary.suffix == ".json"
        assert temporary.name.startswith(".")
        temporary.write_text("whole")
    assert path.read_text() == "whole"
    assert names(tmp_path) == ["out.json"]


@pytest.mark.parametrize("failure", [KeyboardInterrupt, ValueError, OptionError, SystemExit])
def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path, failure):
    path = tmp_path / "out.json"
    put(path, "old")

    def fail() -> None:
        with atomic_path(path) as temporary:
            temporary.write_text("half")
            raise failure

    with pytest.raises(failure):
        fail()
    assert path.read_text() == "old"
    assert names(tmp_path) == ["out.json"]


def test_missing_folders_are_made(tmp_path):
    put(tmp_path / "a/b/out.json", "whole")
    assert (tmp_path / "a/b/out.json").read_text() == "whole"


def test_a_name_alone_is_a_file_in_this_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    put(Path("out.json"), "whole")
    assert names(tmp_path) == ["out.json"]


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600)])
def test_a_file_has_the_rights_that_a_new_file_gets(tmp_path, umask, mode):
    before = os.umask(umask)
    try:
        put(tmp_path / "out.json", "whole")
        assert os.umask(umask) == umask
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "out.json").stat().st_mode) == mode


def test_a_folder_is_not_written_to_before_the_work_is_done(tmp_path):
    def begin() -> None:
        with atomic_path(tmp_path):
            pytest.fail("the work began")

    with pytest.raises(OutputError) as refusal:
        begin()
    assert str(refusal.value) == (
        f"cannot write {tmp_path}: Is a directory; expected the name of a file"
    )


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("file/out.json", "File exists; a file lies where a folder must be: name another folder"),
        ("a" * 300, "File name too long; give it a shorter one"),
    ],
)
def test_a_place_that_cannot_be_is_refused(tmp_path, name, reason):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError) as refusal:
        put(tmp_path / name, "whole")
    assert str(refusal.value) == f"cannot write {tmp_path / name}: {reason}"
    assert names(tmp_path) == ["file"]


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_rights_is_refused(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(OutputError, match="Permission denied"):
        put(tmp_path / "out.json", "whole")


def test_a_full_disk_is_an_output_error(tmp_path):
    def fill() -> None:
        with atomic_path(tmp_path / "out.json"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(OutputError) as refusal:
        fill()
    assert str(refusal.value) == f"cannot write {tmp_path / 'out.json'}: No space left on device"
    assert names(tmp_path) == []


def test_an_error_of_our_own_stays_what_it_is(tmp_path):
    class ReadError(EdgeMriError, OSError):
        pass

    def fail() -> None:
        with atomic_path(tmp_path / "out.json"):
            raise ReadError("another file")

    with pytest.raises(ReadError, match="another file"):
        fail()


@pytest.mark.parametrize("exists", [True, False])
def test_a_link_stays_and_what_it_leads_to_is_written(tmp_path, exists):
    (tmp_path / "far").mkdir()
    target, link = tmp_path / "far/target.json", tmp_path / "link.json"
    link.symlink_to(target)
    if exists:
        target.write_text("old")
    put(link, "whole")
    assert link.is_symlink()
    assert target.read_text() == "whole"
    assert names(tmp_path / "far") == ["target.json"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_pipe_is_written_to_and_stays_a_pipe(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_text()))
    reader.start()
    put(pipe, "whole")
    reader.join(timeout=10)
    assert read == ["whole"]
    assert pipe.is_fifo()
    assert names(tmp_path) == ["pipe"]


@pytest.mark.parametrize("is_told", [True, False])
def test_the_mask_is_never_opened_for_other_threads(tmp_path, monkeypatch, is_told):
    before = os.umask(0o027)
    asked = []
    change = os.umask
    monkeypatch.setattr(os, "umask", lambda mask: asked.append(mask) or change(mask))
    read = Path.read_bytes

    def told(path: Path) -> bytes:
        if path == Path("/proc/self/status") and not is_told:
            raise FileNotFoundError
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", told)
    try:
        put(tmp_path / "out.json", "whole")
    finally:
        change(before)
    assert stat.S_IMODE((tmp_path / "out.json").stat().st_mode) == 0o640
    assert all(mask & 0o027 == 0o027 for mask in asked)
    assert not asked or not is_told or not Path("/proc/self/status").exists()


def test_what_cannot_be_written_is_said_before_and_nothing_is_left(tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    require_writable(tmp_path / "out.json")
    require_writable(Path(os.devnull))
    for path in (tmp_path / "folder", tmp_path / "file" / "out.json"):
        with pytest.raises(OutputError, match=rf"^cannot write {path}: "):
            require_writable(path)
    assert names(tmp_path) == ["file", "folder"]


def test_json_is_valid_for_any_reader(tmp_path):
    values = {"loss": float("nan"), "best": [float("-inf"), 0.5], "data": "set-\udcff", "é": 1}
    write_json(values, tmp_path / "new/out.json")
    text = (tmp_path / "new/out.json").read_text(encoding="ascii")
    read = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} in JSON"))
    assert read == {"loss": None, "best": [None, 0.5], "data": r"set-\xff", "é": 1}
