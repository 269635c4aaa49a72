"""A run's folder claimed by one process: another that would write into it is refused.

The lock is the system's on the folder itself: it ends with the process, however that ends, and
leaves no file. Where there is none to be had (Windows, some network file systems), nothing is
claimed.
"""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from edge_mri.errors import OutputError
from edge_mri_train.errors import RunFolderError

try:
    import fcntl
except ModuleNotFoundError:  # Windows
    fcntl = None  # type: ignore[assignment]

_TAKEN = (errno.EAGAIN, errno.EACCES)


@contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """Hold a folder for this process, made where it is not there.

    Left empty, it goes again, as do the folders above it that were made for it.

    Raises:
        RunFolderError: Another process holds it.
        OutputError: It cannot be made.
    """
    try:
        missing = [one for one in folder.parents if not one.exists()]
        descriptor = _open(folder)
    except OSError as error:
        raise OutputError.of(folder, error) from error
    try:
        yield
    finally:
        with suppress(OSError):  # there is a run in it
            for one in (folder, *missing):
                one.rmdir()
        if descriptor is not None:
            os.close(descriptor)


def _open(folder: Path) -> int | None:
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        if fcntl is None:
            return None
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(descriptor), folder.stat()):
                return descriptor
        except FileNotFoundError:  # who held it took it away just now
            pass
        except OSError as error:
            if error.errno in _TAKEN:
                os.close(descriptor)
                raise RunFolderError(
                    f"another training writes into {folder}; wait for its end, or choose another "
                    "--out"
                ) from error
            return descriptor  # a file system without locks
        os.close(descriptor)
