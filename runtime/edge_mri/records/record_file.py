"""A file of records that grows a record at a time, and is whole whenever the process ends.

Each record is handed to the system at once, by itself: a kill loses none that was written. What a
full disk cut off is taken away again. Nothing is touched before the first record, so that a run
that cannot start leaves an older file alone. A file that another process changes is not written to
any more, and nothing of it cut off. Files that appear whole or not at all are
`edge_mri.storage.atomic`; finding where to go on is `edge_mri.records.resume`.
"""

import errno
import os
from contextlib import suppress
from io import TextIOBase
from pathlib import Path
from stat import S_ISREG
from types import TracebackType

from edge_mri.errors import OutputError
from edge_mri.storage.claim import require_own


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
        try:
            if path.is_dir():
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
            self._before = _state(path)
        except OSError as error:
            raise OutputError.of(path, error) from error

    def __enter__(self) -> "RecordFile":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self.close()
        else:  # which is what there is to tell
            with suppress(OutputError):
                self.close()

    def write(self, text: str) -> int:
        """Append one record, whole; raises `OutputError` after which the file ends before it."""
        data = text.encode("utf-8", errors="backslashreplace")
        try:
            handle = self._opened()
            self._require_untouched()
            left = memoryview(data)
            while left:
                left = left[os.write(handle, left) :]
        except OutputError:
            raise
        except OSError as error:
            self._take_back()
            raise OutputError.of(self.path, error) from error
        self._good_bytes += len(data)
        return len(text)

    def close(self) -> None:
        """Close the file; without a record, one that was to be begun anew is left as it is."""
        if self._handle is not None:
            try:
                self._require_untouched()
            finally:
                handle, self._handle = self._handle, None
                self._close(handle)

    def _close(self, handle: int) -> None:
        try:
            os.close(handle)
        except OSError as error:  # a network file system may tell of a full disk only now
            raise OutputError.of(self.path, error) from error

    def _opened(self) -> int:
        if self._handle is None:
            if _state(self.path) != self._before:
                raise self._changed()
            self.path.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(self.path, os.O_WRONLY | os.O_CREAT | _BINARY, 0o666)
            self._regular = self.path.is_file()
            if self._regular:
                try:
                    require_own(handle, self.path)
                except OutputError:
                    os.close(handle)
                    raise
            self._handle = handle
            if self._regular:
                os.ftruncate(self._handle, self._good_bytes)
                os.lseek(self._handle, self._good_bytes, os.SEEK_SET)
        return self._handle

    def _require_untouched(self) -> None:
        """Raise `OutputError` where the file is gone, or does not end where this run ended it."""
        if self._handle is None or not self._regular:
            return
        status = os.fstat(self._handle)
        if status.st_nlink == 0 or not self.path.exists():
            raise OutputError(
                self.path, "it was taken away while this run wrote to it; write to another file"
            )
        if status.st_size != self._good_bytes:
            raise self._changed()

    def _changed(self) -> OutputError:
        return OutputError(
            self.path,
            "another process has changed it since this run began; write to another file",
        )

    def _take_back(self) -> None:
        if self._handle is not None and self._regular:
            try:
                os.ftruncate(self._handle, self._good_bytes)
            except OSError:  # the first error is the one to tell
                return


def _state(path: Path) -> tuple[int, int] | None:
    """Return what changes when somebody writes to a file; None where there is none."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return (status.st_size, status.st_mtime_ns) if S_ISREG(status.st_mode) else None


_BINARY = getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
