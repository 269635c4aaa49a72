"""A CSV file that a user gives: opened, and what goes wrong with it told as one error.

What its columns mean is for `edge_mri_train.layout`, `grouping` and `manifest` to say.
"""

import csv
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from edge_mri.errors import EdgeMriError


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
    try:
        with path.open(newline="", encoding="utf-8-sig", errors=undecoded) as file:
            yield csv.DictReader(file)
    except OSError as failure:
        raise error(path, failure.strerror or str(failure)) from failure
    except (UnicodeDecodeError, csv.Error) as failure:
        raise error(path, str(failure)) from failure


def columns_of(rows: "csv.DictReader[str]") -> str:
    """Return the columns that a CSV has, as a message names them."""
    return ", ".join(rows.fieldnames or ["none"])
