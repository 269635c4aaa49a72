"""CSV files: those that a user gives, opened with their faults told as one error; those we write.

What the columns mean is for `edge_mri_train.layout`, `grouping` and `manifest` to say.
"""

import csv
import io
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from edge_mri.errors import EdgeMriError
from edge_mri_train.data_file import read_text

_FORMULA = re.compile(r"'*[=+\-@\t\r]")  # how a spreadsheet tells one; the marks are ours


def write_rows(file: TextIO, rows: Sequence[Sequence[object]]) -> None:
    """Write rows with texts that no spreadsheet takes for a formula, line breaks in quotes."""
    plain = csv.writer(file, lineterminator="\n")
    quoted = csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_ALL)
    for row in rows:
        cells = [neutral(one) if isinstance(one, str) else one for one in row]
        # Before Python 3.13 a carriage return alone is left bare.
        writer = quoted if any(isinstance(one, str) and "\r" in one for one in cells) else plain
        writer.writerow(cells)


def neutral(text: str) -> str:
    """Return a text that a spreadsheet shows as it is: `'` before what would be a formula."""
    return f"'{text}" if _FORMULA.match(text) else text


def original(cell: str) -> str:
    """Return the text that `neutral` was given."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell


@contextmanager
def open_csv(
    path: Path, error: Callable[[Path, str], EdgeMriError], undecoded: str = "strict"
) -> Iterator["csv.DictReader[str]"]:
    """Yield the rows of a CSV in UTF-8, with a byte order mark or without.

    Args:
        path: The file.
        error: Makes what is raised of the path and a reason: the file cannot be opened or read, is
            no UTF-8, or no CSV.
        undecoded: What becomes of bytes that are no UTF-8, as `open` has it.
    """
    text = read_text(path, lambda reason: error(path, reason), undecoded)
    try:
        yield csv.DictReader(io.StringIO(text, newline=""))
    except csv.Error as failure:
        raise error(path, str(failure)) from failure


def columns_of(rows: "csv.DictReader[str]") -> str:
    """Return the columns that a CSV has, as a message names them."""
    return ", ".join(rows.fieldnames or ["none"])
