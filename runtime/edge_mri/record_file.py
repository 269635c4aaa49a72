"""A file of records that grows a record at a time, and is whole whenever the process ends.

Each record is handed to the system at once, by itself: a kill loses none that was written. What a
full disk cut off is taken away again. Nothing is touched before the first record, so that a run
that cannot start leaves an older file alone. Files that appear whole or not at all are
`edge_mri.atomic`; finding where to go on is `edge_mri.resume`.
"""

import errno
import os
from io import TextIOBase
from pathlib import Path
from types import TracebackType

from edge_mri.errors import OutputError


class RecordFile(TextIOBase):
    """A text stream whose every `write` is a record.

    Attributes:
        path: The file; missing parent folders are made.
    """

    def __init__(self, path: Path, keep_bytes: int = 0) -> None:
        """Say what to write to.

        Args:
            path: The file.
            keep_bytes: How much of what it holds stays; the records follow.
        """
        self.path = path
        self._good_bytes = keep_bytes
        self._handle: int | None = None
        self._regular = True
        if path.is_dir():
            raise OutputError.of(path, IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR)))

    def __enter__(self) -> "RecordFile":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def write(self, text: str) -> int:
        """Append one record, whole; raises `OutputError` after which the file ends before it."""
        data = text.encode("utf-8", errors="backslashreplace")
        try:
            handle = self._opened()
            left = memoryview(data)
            while left:
                left = left[os.write(handle, left) :]
        except OSError as error:
            self._take_back()
            raise OutputError.of(self.path, error) from error
        self._good_bytes += len(data)
        return len(text)

    def close(self) -> None:
        """Close the file; without a record, one that was to be begun anew is left as it is."""
        if self._handle is not None:
            handle, self._handle = self._handle, None
            try:
                os.close(handle)
            except OSError as error:  # a network file system may tell of a full disk only now
                raise OutputError.of(self.path, error) from error

    def _opened(self) -> int:
        if self._handle is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._handle = os.open(self.path, os.O_WRONLY | os.O_CREAT | _BINARY, 0o666)
            self._regular = self.path.is_file()
            if self._regular:
                os.ftruncate(self._handle, self._good_bytes)
                os.lseek(self._handle, self._good_bytes, os.SEEK_SET)
        return self._handle

    def _take_back(self) -> None:
        if self._handle is not None and self._regular:
            try:
                os.ftruncate(self._handle, self._good_bytes)
            except OSError:  # the first error is the one to tell
                return


_BINARY = getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
