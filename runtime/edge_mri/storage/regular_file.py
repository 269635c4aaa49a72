"""Reading whole files that are no images, such as models: only regular ones, within a limit.

Nobody waits for a pipe, and no device is read without end. Images are `edge_mri.images.opening`.
"""

import errno
import os
import stat
from pathlib import Path

_FLAGS = os.O_RDONLY | getattr(os, "O_CLOEXEC", 0)
_FLAGS |= getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)  # POSIX; Windows


def read_regular(path: Path, limit_bytes: int) -> bytes:
    """Read a file.

    Raises:
        OSError: It cannot be read, is no regular file, has more bytes than the limit or than there
            is memory for, or changes while it is read; `strerror` says which.
    """
    try:
        _refuse(path.stat(), limit_bytes)  # some devices act when they are opened
        descriptor = os.open(path, _FLAGS)
    except ValueError as error:  # a name with a null character
        raise OSError(errno.EINVAL, str(error)) from error
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        _refuse(status, limit_bytes)
        try:
            data = file.read(status.st_size + 1)  # not the limit: as much memory would be taken
        except MemoryError as error:
            raise OSError(errno.ENOMEM, "there is not enough memory for it") from error
    if len(data) != status.st_size:
        raise OSError(errno.EBUSY, "it changed while it was read")
    return data


def _refuse(status: os.stat_result, limit_bytes: int) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise OSError(errno.EISDIR, "it is a folder")
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "it is a device or a pipe, no regular file")
    if status.st_size > limit_bytes:
        reason = f"it has {status.st_size:,} bytes, the limit is {limit_bytes:,}"
        raise OSError(errno.EFBIG, reason)
