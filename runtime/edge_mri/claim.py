"""A result that a run writes is its own until the run ends: another run that names it is refused.

The claim is a lock of the system on an empty file beside the result, `.NAME.lock`. The system lets
go of it when the process ends, however it ends: what a kill leaves behind is an empty file that
claims nothing, and that the next run takes away. Where the system or the file system has no
locks there is no claim; `edge_mri.record_file` still notices what others write.
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
        lock = target.with_name(_lock_name(target.name))
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
    """Return the lock's handle; None where there are no locks."""
    while True:
        try:
            handle = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
        except OSError:  # a folder that takes no new file may have one that can be written
            return None
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(handle)
            if error.errno in _TAKEN:
                raise OutputError(
                    path,
                    "another run writes to it; wait until that one has ended, or name another file",
                ) from None
            with suppress(OSError):
                lock.unlink()
            return None
        if os.fstat(handle).st_nlink:
            return handle
        os.close(handle)  # the run that had it has just ended and taken it away


def _lock_name(name: str) -> str:
    if len(os.fsencode(name)) > _LONGEST_NAME_BYTES:
        name = hashlib.sha256(os.fsencode(name)).hexdigest()
    return f".{name}.lock"
