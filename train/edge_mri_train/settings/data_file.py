"""A file of values that a user gives: read whole, regular and of bounded size, or refused.

Devices would never end and pipes may never begin. What the bytes mean is the caller's to say;
images are read by `edge_mri.images`, tensors by `edge_mri_train.networks.tensor_file`.
"""

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path

from edge_mri.errors import EdgeMriError

MOST_BYTES = 256 * 2**20
_NO_WAITING = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)  # POSIX; Windows


def read_data(
    path: Path, error: Callable[[str], EdgeMriError], most_bytes: int = MOST_BYTES
) -> bytes:
    """Return a file's bytes.

    Args:
        path: The file.
        error: Makes what is raised of a reason: the file cannot be read, is no regular file, or
            is larger.
        most_bytes: How large it may be.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode) and not path.is_dir():  # some devices act on open
            raise error("it is not a regular file")
        descriptor = os.open(path, os.O_RDONLY | _NO_WAITING)
        with os.fdopen(descriptor, "rb") as file:
            status = os.fstat(descriptor)
            if stat.S_ISDIR(status.st_mode):
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
            if not stat.S_ISREG(status.st_mode):
                raise error("it is not a regular file")
            data = file.read(most_bytes + 1)
    except EdgeMriError:
        raise
    except OSError as failure:
        raise error(failure.strerror or str(failure)) from failure
    except ValueError as failure:  # a name with a null character
        raise error(str(failure)) from failure
    if len(data) > most_bytes:
        raise error(f"it is larger than {most_bytes:,} bytes, which is the most that is read")
    return data


def read_text(
    path: Path,
    error: Callable[[str], EdgeMriError],
    undecoded: str = "strict",
    most_bytes: int = MOST_BYTES,
) -> str:
    """Return a file's text, UTF-8 with a byte order mark or without.

    Args:
        path: The file.
        error: Makes what is raised of a reason, as in `read_data`, or where it is no UTF-8.
        undecoded: What becomes of bytes that are no UTF-8, as `bytes.decode` has it.
        most_bytes: How large it may be.
    """
    try:
        return read_data(path, error, most_bytes).decode("utf-8-sig", undecoded)
    except UnicodeDecodeError as failure:
        raise error(str(failure)) from failure
