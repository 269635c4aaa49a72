"""A result that a run writes is its own until the run ends: another run that names it is refused.

The claim is a file beside the result, `.NAME.lock`, with a lock of the system on it. The system
lets go of it when the process ends, however it ends: what a kill leaves behind claims nothing, and
the next run takes it away. Where the file system has no locks, the process that the file names
counts, as long as it runs on this machine. Windows has no claims; there and across machines
`edge_mri.records.record_file` still notices what others write.
"""

import errno
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from edge_mri.errors import OutputError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_LONGEST_NAME_BYTES = 200  # file systems hold 255
_LONGEST_TEXT_BYTES = 1000
_REFUSED = "another run writes to it; wait until that one has ended, or name another file"
_TAKEN = (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES)


@contextmanager
def claimed(path: Path) -> Iterator[None]:
    """Claim a file that is to be written, while this lasts; missing parent folders are made.

    A link is followed. What is no file, such as `/dev/null`, is not claimed.

    Raises:
        OutputError: Another run has claimed it, or it cannot be written.
    """
    handle = None
    try:
        target = Path(os.path.realpath(path))
        lock = target.parent / _lock_name(target.name)
        target.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileNotFoundError):
            target.lstat()  # tells whether it can have this name
        if fcntl is not None and (target.is_file() or not target.exists()):
            handle = _locked(lock, path)
    except OutputError:
        raise
    except OSError as error:
        raise OutputError.of(path, error) from error
    try:
        yield
    finally:
        if handle is not None:
            with suppress(OSError):
                lock.unlink()
            os.close(handle)


def _locked(lock: Path, path: Path) -> int | None:
    """Return the handle of the claim; None where the folder takes no new file.

    Raises:
        OutputError: Another run has claimed it.
    """
    while True:
        try:
            handle = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
        except OSError:  # the result may be there already, and take what is written
            return None
        if _is_taken(handle):
            os.close(handle)
            raise OutputError(path, _REFUSED)
        if os.fstat(handle).st_nlink:
            with suppress(OSError):  # a full disk: the lock is enough
                os.ftruncate(handle, 0)
                os.pwrite(handle, _process(os.getpid()), 0)
            return handle
        os.close(handle)  # the run that had it has just ended and taken it away


def require_own(handle: int, path: Path) -> None:
    """Lock an open file until it is closed: another run may know it by another name, a hard link.

    Raises:
        OutputError: Another run has it.
    """
    if fcntl is None:
        return
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in _TAKEN:
            raise OutputError(path, _REFUSED) from error


def _is_taken(handle: int) -> bool:
    """Lock a file; say whether it cannot be, because another run has it."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno in _TAKEN or _names_a_process(os.pread(handle, _LONGEST_TEXT_BYTES, 0))
    return False


def _names_a_process(text: bytes) -> bool:
    """Say whether the process that a claim names is running on this machine."""
    number = text.partition(b" ")[0]
    if not number.isdigit():
        return False
    with suppress(OSError, OverflowError):
        return text == _process(int(number))
    return False


def _process(number: int) -> bytes:
    """Return what tells a process from any other, also from a later one of its number.

    Raises:
        OSError: It is not running.
    """
    with suppress(PermissionError):  # another user's
        os.kill(number, 0)
    try:
        began = Path(f"/proc/{number}/stat").read_bytes().rpartition(b")")[2].split()[19]
    except (OSError, IndexError):  # no Linux
        began = b"?"
    return b"%d %s %s\n" % (number, os.fsencode(os.uname().nodename), began)


def _lock_name(name: str) -> str:
    if len(os.fsencode(name)) > _LONGEST_NAME_BYTES:
        name = hashlib.sha256(os.fsencode(name)).hexdigest()
    return f".{name}.lock"
