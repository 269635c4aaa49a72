"""Paths that may be patterns, such as `**/*.png`: whether they are there, and what they match."""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from edge_mri.errors import FolderNotFoundError

_MAGIC = frozenset("*?[")
_NOT_THERE = (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG)


def require(path: Path) -> None:
    """Raise `FolderNotFoundError` unless a path is there, or is a pattern that matches."""
    try:
        path.stat()
    except (OSError, ValueError) as error:
        if next(matches(path), None) is None:
            number = getattr(error, "errno", None)
            reason = "" if number in _NOT_THERE or number is None else os.strerror(number)
            raise FolderNotFoundError(path, reason) from error


def is_dir(path: Path) -> bool:
    """Say whether a path is a folder, or a link to one; no, where it cannot be reached."""
    with suppress(OSError, ValueError):  # ValueError: a name with a null character
        return stat.S_ISDIR(path.stat().st_mode)
    return False


def exists(path: Path) -> bool:
    """Say whether something is there."""
    try:
        path.stat()
    except (OSError, ValueError):
        return False
    return True


def is_pattern(path: Path) -> bool:
    """Say whether a path has a character that stands for others."""
    return has_magic(str(path))


def has_magic(text: str) -> bool:
    """Say the same of a text."""
    return not _MAGIC.isdisjoint(text)


def matches(pattern: Path) -> Iterator[Path]:
    """Give what a pattern matches, as a shell does: hidden files only where it says so.

    Where a folder cannot be searched it, or else the pattern, comes itself: reading it fails.
    """
    if not is_pattern(pattern):
        return
    try:
        for match in Path(pattern.anchor).glob(str(pattern.relative_to(pattern.anchor))):
            if _hidden_parts(match) <= _hidden_parts(pattern):
                yield match
    except (NotImplementedError, ValueError):  # no pattern that pathlib knows, such as **.png
        return
    except OSError as error:
        yield Path(os.fsdecode(error.filename)) if error.filename else pattern
    except RecursionError:  # pathlib's, before Python 3.13
        yield pattern


def _hidden_parts(path: Path) -> int:
    return sum(part.startswith(".") and part != ".." for part in path.parts)
