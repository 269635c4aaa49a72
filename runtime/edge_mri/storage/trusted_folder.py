"""A folder that nobody but this user can change: neither it nor any folder above it.

Every folder on the way from the root belongs to this user or to root, and nobody else may write to
it, but where it is sticky, as `/tmp` is. It is walked by descriptors, each opened inside the one
before, so that nothing on the way can be swapped meanwhile. POSIX alone.
"""

import os
import stat
from contextlib import suppress
from pathlib import Path

_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
_PRIVATE = stat.S_IRWXG | stat.S_IRWXO


def open_trusted(path: Path, *, create: bool = False) -> int | None:
    """Return a descriptor of a folder that is this user's alone; None where it cannot be trusted.

    Args:
        path: The folder; links on the way to it are followed first.
        create: Make what is missing of it, for this user alone.
    """
    inner = os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    passing = inner | getattr(os, "O_PATH", os.O_RDONLY)  # a folder that may not be listed will do
    try:
        parts = Path(os.path.realpath(path)).parts
        descriptor = os.open(parts[0], passing)
    except (OSError, ValueError):
        return None
    for number, name in enumerate(parts[1:], start=2):
        last = number == len(parts)
        try:
            if not _unchanged_by_others(os.fstat(descriptor)):
                return None
            if create:
                _make(name, descriptor)
            below = os.open(name, inner | os.O_RDONLY if last else passing, dir_fd=descriptor)
        except OSError:
            return None
        finally:
            os.close(descriptor)
        descriptor = below
    if is_own(os.fstat(descriptor), stat.S_IFDIR):
        return descriptor
    os.close(descriptor)
    return None


def is_own(status: os.stat_result, kind: int) -> bool:
    """Say whether something is of a kind, belongs to this user and is nobody else's to touch."""
    mode = status.st_mode
    return stat.S_IFMT(mode) == kind and status.st_uid == os.geteuid() and not mode & _PRIVATE


def _unchanged_by_others(status: os.stat_result) -> bool:
    if status.st_uid not in (0, os.geteuid()):
        return False
    return not status.st_mode & _OTHERS_WRITE or bool(status.st_mode & stat.S_ISVTX)


def _make(name: str, descriptor: int) -> None:
    try:
        os.stat(name, dir_fd=descriptor, follow_symlinks=False)
    except FileNotFoundError:
        with suppress(FileExistsError):  # another start was faster
            os.mkdir(name, 0o700, dir_fd=descriptor)
