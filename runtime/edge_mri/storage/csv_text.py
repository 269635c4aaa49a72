"""Cells and lines of CSV that spreadsheets and strict readers take as the text that they are.

A spreadsheet runs a cell that begins with `=`, `+`, `-`, `@`, a tab or a line break as a formula.
Such text gets an apostrophe in front, and one that begins with apostrophes and then such a sign
gets one more, so that `unguarded` always gives back what was there. Numbers stay numbers. What
columns mean is for others to say.
"""

import csv
import math
import re
from collections.abc import Iterable

_FORMULA = re.compile("'*[=+\\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")  # also their wide forms
_NEEDS_QUOTES = re.compile('[,;|"\x00-\x1f\x7f-\x9f\u2028\u2029]')


def csv_line(values: Iterable[object]) -> str:
    """Return a line with its end: text guarded, None and NaN as empty cells.

    Whatever a reader might split at is quoted: a semicolon too, which some take for a comma.
    """
    return ",".join(_quoted(_text(value)) for value in values) + "\n"


def guarded(text: str) -> str:
    """Return text that no spreadsheet runs; a different one for each text."""
    return f"'{text}" if _FORMULA.match(text) else text


def unguarded(cell: str) -> str:
    """Return the text that `guarded` made a cell of."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell


def csv_cells(line: str) -> list[str] | None:
    """Return the cells of one line, which may have line breaks in quotes; None where it is none."""
    try:
        (cells,) = csv.reader([line], strict=True)
    except (csv.Error, ValueError):
        return None
    return cells


def _text(value: object) -> str:
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return ""
    return guarded(value) if isinstance(value, str) else str(value)


def _quoted(text: str) -> str:
    if not _NEEDS_QUOTES.search(text):
        return text
    doubled = text.replace('"', '""')
    return f'"{doubled}"'
