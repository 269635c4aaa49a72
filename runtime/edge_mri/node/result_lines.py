"""The file of JSON lines: each judgement is in it once, whenever the node was killed.

The journal says from which byte on lines belong there. What a kill left of them is a beginning of
them, and is written over; where the file holds anything else there, somebody else writes to it.
A file that was taken away, or cut short, as rotation does, is gone on with at its end.
"""

import os
from pathlib import Path
from stat import S_ISREG

from edge_mri.errors import OutputError
from edge_mri.node.journal import Journal, Lines

_FLAGS = os.O_RDWR | os.O_CREAT | os.O_NONBLOCK | os.O_CLOEXEC  # POSIX, as all of a node is


class ResultLines:
    """The file.

    Args:
        path: It; missing parent folders are made.
        journal: Where its lines wait.
    """

    def __init__(self, path: Path, journal: Journal) -> None:
        self.path = path
        self._journal = journal

    def planned(self, text: str) -> Lines:
        """Say where lines will belong, for the journal; raises `OutputError`."""
        handle = self._opened()
        try:
            status = os.fstat(handle)
        finally:
            os.close(handle)
        return Lines(status.st_ino, status.st_size, text)

    def catch_up(self) -> None:
        """Write what waits, durably.

        Raises:
            OutputError: It cannot be written.
        """
        while (waiting := self._journal.unwritten()) is not None:
            number, lines = waiting
            handle = self._opened()
            try:
                self._write(handle, lines)
            except OutputError:
                raise
            except OSError as error:
                raise OutputError.of(self.path, error) from error
            finally:
                os.close(handle)
            self._journal.written(number)

    def _write(self, handle: int, lines: Lines) -> None:
        status, data = os.fstat(handle), lines.text.encode("ascii")
        start = lines.start
        if status.st_ino != lines.inode or status.st_size < start:
            start = status.st_size  # rotated
        elif not data.startswith(_all_from(handle, start, len(data) + 1)):
            raise OutputError(
                self.path,
                "another process has changed it since this node wrote to it; write to another file",
            )
        left = memoryview(data)
        while left:
            count = os.pwrite(handle, left, start)
            left, start = left[count:], start + count
        os.fsync(handle)

    def _opened(self) -> int:
        try:
            is_new = not self.path.exists()
            self.path.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(self.path, _FLAGS, 0o666)
            if not S_ISREG(os.fstat(handle).st_mode):
                os.close(handle)
                raise OutputError(self.path, "expected a file, no device and no pipe")
            if is_new:
                sync_folder(self.path.parent)
        except OutputError:
            raise
        except OSError as error:
            raise OutputError.of(self.path, error) from error
        return handle


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _all_from(handle: int, start: int, most: int) -> bytes:
    parts, count = [], 0
    while count < most and (part := os.pread(handle, most - count, start + count)):
        parts.append(part)
        count += len(part)
    return b"".join(parts)
