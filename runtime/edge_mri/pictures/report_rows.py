"""The rows of a report: records as JSON, waiting in temporary files until their page is written."""

import base64
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from tempfile import TemporaryFile
from typing import IO, Any

from edge_mri.answers.prediction import Prediction
from edge_mri.pictures.thumbnails import Pictured
from edge_mri.storage.json_text import json_text
from edge_mri.storage.spelling import spelled


class Spool:
    """Rows, and the pictures of the first of them, in temporary files; a context manager."""

    def __init__(self, most_rows: int, most_pictures: int) -> None:
        self._most_rows, self._most_pictures = most_rows, most_pictures
        self._count = 0

    def __enter__(self) -> "Spool":
        with ExitStack() as stack:
            self._rows: IO[bytes] = stack.enter_context(TemporaryFile())
            self._pictures: IO[bytes] = stack.enter_context(TemporaryFile())
            self._close = stack.pop_all().close
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):  # a full disk; what was read of them has been read
            self._close()

    def add(self, row: str, pictures: str) -> None:
        """Add a record's JSON, each in one line."""
        if self._count < self._most_rows:
            self._rows.write(f"{row}\n".encode())
        if self._count < self._most_pictures:
            self._pictures.write(f"{pictures}\n".encode())
        self._count += 1

    def rows(self) -> Iterator[tuple[str, str]]:
        """Return the rows in their order, each with its pictures."""
        self._rows.seek(0)
        self._pictures.seek(0)
        for row in self._rows:
            pictures = self._pictures.readline() or b"null"
            yield row.decode().rstrip("\n"), pictures.decode().rstrip("\n")


def row_json(record: Prediction) -> str:
    """Return what the table says of a record."""
    values: dict[str, Any] = {"path": spelled(record.path), "status": record.status}
    if record.frame is not None:
        values["frame"] = record.frame
    if record.status == "error":
        values["why"] = record.error
    else:
        values |= {
            "type": record.type,
            "plane": record.plane,
            "types": [round(p, 4) for p in (record.type_probabilities or {}).values()],
            "planes": [round(p, 4) for p in (record.plane_probabilities or {}).values()],
            "tumor": record.tumor_probability,
            "novelty": record.novelty,
            "why": record.rejected,
            "reason": record.reason,
            "box": record.box,
        }
    return script_json(values)


def pictures_json(record: Prediction) -> str:
    """Return a record's pictures as JSON; `null` where it has none."""
    return json_text(pictures_of(record))


def pictures_of(record: Prediction) -> dict[str, Any] | None:
    """Return a record's pictures as JSON values, in base64; None where it has none."""
    if not isinstance(record, Pictured) or record.thumbnail is None:
        return None
    heat = None if record.heat is None else base64.b64encode(record.heat).decode()
    thumbnail = base64.b64encode(record.thumbnail).decode()
    return {"size": record.size, "thumbnail": thumbnail, "heat": heat}


def script_json(values: dict[str, Any]) -> str:
    """Return JSON that is safe inside a script element: ASCII, and no `<` to end it with."""
    return json_text(values, separators=(",", ":")).replace("<", r"\u003c")
