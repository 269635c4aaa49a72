"""Where a run that ended early goes on: which files its records already cover.

Records of a file are written one after another, files in turn. So whatever ended the run, only the
last line may be broken, and only the last file with several frames may have records missing: both
are cut off and made again. A file is known by its path as it was given. In memory it takes 12
bytes a record, as a hash of the path.
"""

import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edge_mri.errors import OutputError
from edge_mri.storage.csv_text import csv_cells, unguarded
from edge_mri.storage.spelling import meant

FORMATS = ("jsonl", "csv")


class _Line(NamedTuple):
    """One whole record, where it is in the file, and the name of its image."""

    start: int
    end: int
    values: dict[str, Any]
    path: str


class Done:
    """The files that a file of records covers.

    Attributes:
        keep_bytes: How much of the file stays.
        records: How many records that is.
        errors: How many of them tell of a file that failed.
        first: The values of the first record; None where there is none.
    """

    def __init__(self) -> None:
        self.keep_bytes = 0
        self.records = 0
        self.errors = 0
        self.first: dict[str, Any] | None = None
        self._hashes = np.empty(0, np.uint64)
        self._left = np.empty(0, np.int32)

    @classmethod
    def read(cls, path: Path, format_: str, columns: list[str]) -> "Done":
        """Read what a file of records covers; a missing or empty one covers nothing.

        Args:
            path: The file.
            format_: One of `FORMATS`.
            columns: What each of its records must have, in this order.

        Raises:
            OutputError: The file cannot be read, or holds something else than such records.
        """
        done = cls()
        try:
            done._read(path, format_, columns)
        except FileNotFoundError:
            return cls()
        except OSError as error:
            if isinstance(error, OutputError):
                raise
            raise OutputError(path, error.strerror or str(error)) from error
        return done

    @classmethod
    def of(cls, hashes: NDArray[np.uint64]) -> "Done":
        """Return what covers files of which these are the hashes, each as often as it was read."""
        done = cls()
        done._hashes, counts = np.unique(hashes, return_counts=True)
        done._left = counts.astype(np.int32)
        return done

    def take(self, path: str) -> bool:
        """Tell whether a file has its records; asked once for each time it is listed."""
        if not len(self._hashes):
            return False
        key = path_hash(path)
        place = int(np.searchsorted(self._hashes, key))
        if place == len(self._hashes) or self._hashes[place] != key or not self._left[place]:
            return False
        self._left[place] -= 1
        return True

    def _read(self, path: Path, format_: str, columns: list[str]) -> None:
        lines = _READERS[format_](path, columns)
        hashes = bytearray()
        group = _Group()
        for line in lines:
            if self.first is None:
                self.first = line.values
            if group.begins_with(line):
                hashes += group.hashes()
                group = _Group(line)
            else:
                group.add(line)
            self.keep_bytes = line.end
            self.records += 1
            self.errors += _is_error(line)
        if group.open:  # perhaps not all of its frames
            self.keep_bytes = group.start
            self.records -= group.records
            self.errors -= group.errors
        else:
            hashes += group.hashes()
        if not self.records and format_ == "csv":
            self.keep_bytes = 0  # the header comes again
        covered = Done.of(np.frombuffer(hashes, np.uint64))
        self._hashes, self._left = covered._hashes, covered._left


class _Group:
    """The records of one path that follow one another: its frames, perhaps several times over."""

    def __init__(self, first: _Line | None = None) -> None:
        self.records = 0
        self.errors = 0
        self.open = False
        self._times = 0
        if first is not None:
            self.start = first.start
            self._path = first.path
            self._key = self._frame(first)
            self.add(first)

    def begins_with(self, line: _Line) -> bool:
        """Tell whether a record is the first of another group."""
        return not self.records or line.path != self._path

    def add(self, line: _Line) -> None:
        """Count a record."""
        frame = self._frame(line)
        follows = self.open and frame[0] is None  # the error that ended a file with frames
        if frame == self._key and not follows:
            self._times += 1
        self.open = frame[0] is not None
        self.records += 1
        self.errors += _is_error(line)

    def hashes(self) -> bytes:
        """Return the hash of the path, as often as the file was read."""
        return path_hash(self._path).tobytes() * self._times if self.records else b""

    @staticmethod
    def _frame(line: _Line) -> tuple[object, object]:
        frame = line.values.get("frame") or None
        return frame, line.values.get("plane") if frame else None


def _is_error(line: _Line) -> bool:
    return bool(line.values["status"] == "error")


def path_hash(path: str) -> np.uint64:
    """Return what a file is known by, made of its path."""
    name = path.encode("utf-8", errors="surrogatepass")
    return np.uint64(int.from_bytes(hashlib.blake2b(name, digest_size=8).digest()))


def _json_lines(path: Path, columns: list[str]) -> Iterator[_Line]:
    start = 0
    with path.open("rb") as file:
        for number, data in enumerate(file, 1):
            if not data.endswith(b"\n"):
                return
            try:
                values = json.loads(data)
            except (ValueError, RecursionError):
                values = None
            name = values.get("path") if isinstance(values, dict) else None
            if not isinstance(name, str) or list(values) != columns:
                if not file.peek(1):
                    return
                raise _foreign(path, number)
            yield _Line(start, start + len(data), values, meant(name))
            start += len(data)


def _csv_lines(path: Path, columns: list[str]) -> Iterator[_Line]:
    start, pending, number = 0, b"", 0
    with path.open("rb") as file:
        for data in file:
            pending += data
            if not data.endswith(b"\n"):
                return
            if pending.count(b'"') % 2:  # a line break inside a quoted name
                continue
            number += 1
            cells = csv_cells(pending.decode("utf-8", "backslashreplace")) or []
            if (number == 1 and cells != columns) or len(cells) != len(columns):
                if number > 1 and not file.peek(1):
                    return
                raise _foreign(path, number)
            if number > 1:
                values = dict(zip(columns, cells, strict=True))
                name = meant(unguarded(values["path"]))
                yield _Line(start, start + len(pending), values, name)
            start, pending = start + len(pending), b""


def _foreign(path: Path, number: int) -> OutputError:
    return OutputError(
        path,
        f"line {number} is no record such as this run would write; continue with the options that "
        "the file was begun with, or write to another file",
    )


_READERS: dict[str, Callable[[Path, list[str]], Iterator[_Line]]] = {
    "jsonl": _json_lines,
    "csv": _csv_lines,
}
