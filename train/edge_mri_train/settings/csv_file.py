"""CSV files that a user gives, opened with their faults told as one error.

What the columns mean is for `edge_mri_train.data.layout`, `grouping` and `manifest` to say.
"""

import csv
import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from edge_mri.errors import EdgeMriError
from edge_mri_train.settings.data_file import read_text


@contextmanager
def open_csv(
    path: Path,
    error: Callable[[Path, str], EdgeMriError],
    undecoded: str = "strict",
    comment: str | None = None,
) -> Iterator["csv.DictReader[str]"]:
    """Yield the rows of a CSV in UTF-8, with a byte order mark or without.

    Args:
        path: The file.
        error: Makes what is raised of the path and a reason: the file cannot be opened or read, is
            no UTF-8, or no CSV.
        undecoded: What becomes of bytes that are no UTF-8, as `open` has it.
        comment: What a first line begins with that is no row; None: there is none.
    """
    text = read_text(path, lambda reason: error(path, reason), undecoded)
    try:
        lines = io.StringIO(text, newline="")
        if comment is not None and text.startswith(comment):
            lines.readline()
        yield csv.DictReader(lines)
    except csv.Error as failure:
        raise error(path, str(failure)) from failure


def columns_of(rows: "csv.DictReader[str]") -> str:
    """Return the columns that a CSV has, as a message names them."""
    return ", ".join(rows.fieldnames or ["none"])
