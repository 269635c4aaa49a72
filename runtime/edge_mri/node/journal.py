"""What a node must not forget: what is judged, what waits to be written, what waits to be sent.

All that follows from one judgement is committed together, by SQLite: its images count as judged
from the moment in which its lines and answers cannot be lost any more. A kill before that leaves
the images to be judged again; one after it leaves the lines to be written (`result_lines`) and the
answers to be sent (`sender`).
"""

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from edge_mri.errors import OutputError

REMEMBERED = 1_000_000
"""So many judged images are known when they are sent again."""
_WITH_RECORDS = 100_000  # of them; late slices of a series are summed up with these
_VERSION = 1

_SCHEMA = """
CREATE TABLE judged (number INTEGER PRIMARY KEY, key TEXT UNIQUE, series TEXT, part INTEGER,
    along REAL, place INTEGER, records TEXT);
CREATE INDEX by_series ON judged (series);
CREATE TABLE lines (number INTEGER PRIMARY KEY, inode INTEGER, start INTEGER, text TEXT);
CREATE TABLE outgoing (number INTEGER PRIMARY KEY, file TEXT UNIQUE, bytes INTEGER,
    refused INTEGER);
"""


@dataclass(frozen=True)
class Judged:
    """An image that has been judged.

    Attributes:
        key: Which.
        place: Where it lies in its series.
        records: Its records as JSON; None: too long ago.
    """

    key: str
    place: tuple[float, int]
    records: str | None


@dataclass(frozen=True)
class Lines:
    """Lines that belong into the file of results from some byte on.

    Attributes:
        inode: Of the file that it was.
        start: The byte.
        text: The lines.
    """

    inode: int
    start: int
    text: str


@dataclass(frozen=True)
class Outgoing:
    """An object to be sent: its number, its file's name, and how often it was refused."""

    number: int
    file: str
    refused: int


class Journal:
    """The database of a spool; several threads may ask it."""

    def __init__(self, path: Path) -> None:
        """Open it, or make it.

        Raises:
            OutputError: It is none, or cannot be written.
        """
        self._lock = threading.Lock()
        try:
            self._base = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
            self._base.execute("PRAGMA synchronous = EXTRA")
            version = self._base.execute("PRAGMA user_version").fetchone()[0]
            if version == 0:
                self._base.executescript(
                    f"BEGIN; {_SCHEMA} PRAGMA user_version = {_VERSION}; COMMIT;"
                )
            elif version != _VERSION:
                raise OutputError(path, "another version of edge-mri wrote it; name another spool")
        except sqlite3.Error as error:
            raise OutputError(
                path, f"no journal of a node, or damaged ({error}); name another spool"
            ) from error

    def close(self) -> None:
        """Close it."""
        with self._lock:
            self._base.close()

    def is_judged(self, key: str) -> bool:
        """Say whether an image has been judged."""
        with self._lock:
            found = self._base.execute("SELECT 1 FROM judged WHERE key = ?", (key,)).fetchone()
        return found is not None

    def earlier(self, series: str) -> tuple[int, list[Judged]]:
        """Return how many parts of a series are judged, and their images as far as remembered."""
        with self._lock:
            rows = self._base.execute(
                "SELECT part, key, along, place, records FROM judged WHERE series = ?", (series,)
            ).fetchall()
        parts = max((part for part, *_ in rows), default=0)
        return parts, [
            Judged(key, (along, place), records) for _, key, along, place, records in rows
        ]

    def commit(
        self,
        series: str,
        part: int,
        judged: Sequence[Judged],
        lines: Lines,
        files: Sequence[tuple[str, int]],
    ) -> None:
        """Remember a judgement and all that follows from it, or nothing.

        Args:
            series: Of which series.
            part: Its number, from 1.
            judged: Its images.
            lines: What is to be written.
            files: What is to be sent, and its bytes: they are durable already.
        """
        with self._lock, _transaction(self._base):
            for one in judged:
                self._base.execute(
                    "INSERT INTO judged (key, series, part, along, place, records) "
                    "VALUES (?, ?, ?, ?, ?, ?)",
                    (one.key, series, part, *one.place, one.records),
                )
            self._base.execute(
                "INSERT INTO lines (inode, start, text) VALUES (?, ?, ?)",
                (lines.inode, lines.start, lines.text),
            )
            self._base.executemany(
                "INSERT INTO outgoing (file, bytes, refused) VALUES (?, ?, 0)", files
            )
            newest = self._base.execute("SELECT max(number) FROM judged").fetchone()[0] or 0
            self._base.execute("DELETE FROM judged WHERE number <= ?", (newest - REMEMBERED,))
            self._base.execute(
                "UPDATE judged SET records = NULL WHERE number <= ? AND records IS NOT NULL",
                (newest - _WITH_RECORDS,),
            )

    def unwritten(self) -> tuple[int, Lines] | None:
        """Return the first lines that may not be in the file yet, and their number."""
        with self._lock:
            row = self._base.execute(
                "SELECT number, inode, start, text FROM lines ORDER BY number LIMIT 1"
            ).fetchone()
        return None if row is None else (row[0], Lines(*row[1:]))

    def written(self, number: int) -> None:
        """Remember that lines are in the file."""
        self._run("DELETE FROM lines WHERE number = ?", number)

    def outgoing(self) -> list[Outgoing]:
        """Return what is to be sent, the oldest first, at most a hundred."""
        with self._lock:
            rows = self._base.execute(
                "SELECT number, file, refused FROM outgoing ORDER BY refused, number LIMIT 100"
            ).fetchall()
        return [Outgoing(*row) for row in rows]

    def outgoing_files(self) -> dict[str, int]:
        """Return the names of all files to be sent, and their bytes."""
        with self._lock:
            return dict(self._base.execute("SELECT file, bytes FROM outgoing").fetchall())

    def sent(self, number: int) -> None:
        """Forget what has been sent."""
        self._run("DELETE FROM outgoing WHERE number = ?", number)

    def refused(self, number: int) -> None:
        """Count that the destination refused an object."""
        self._run("UPDATE outgoing SET refused = refused + 1 WHERE number = ?", number)

    def _run(self, statement: str, number: int) -> None:
        with self._lock, _transaction(self._base):
            self._base.execute(statement, (number,))


@contextmanager
def _transaction(base: sqlite3.Connection) -> Iterator[None]:
    base.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        base.execute("ROLLBACK")
        raise
    base.execute("COMMIT")
