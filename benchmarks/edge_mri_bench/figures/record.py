"""The record of a benchmark: one JSON document, complete or marked as partial."""

import json
from pathlib import Path
from typing import Any

from edge_mri.errors import FolderNotFoundError
from edge_mri.storage.atomic import write_json
from edge_mri_bench.errors import BaselineError

FORMAT = "edge-mri benchmark"
FORMAT_VERSION = 1
COMPLETE, PARTIAL = "complete", "partial"

Record = dict[str, Any]


def write_record(record: Record, path: Path) -> None:
    """Write a record, whole or not at all."""
    write_json(record, path, indent=1)


def read_record(path: Path) -> Record:
    """Read a record.

    Raises:
        FolderNotFoundError: There is no such file.
        BaselineError: It is no record, or one of another format.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise FolderNotFoundError(path) from error
    except OSError as error:
        raise BaselineError(path, error.strerror or str(error)) from error
    except ValueError as error:
        raise BaselineError(path, f"it is no JSON ({error})") from error
    if not isinstance(values, dict) or values.get("format") != FORMAT:
        raise BaselineError(path, f"its format is not {FORMAT!r}")
    if values.get("format_version") != FORMAT_VERSION:
        raise BaselineError(
            path,
            f"its format_version is {values.get('format_version')!r}, this version reads "
            f"{FORMAT_VERSION}",
        )
    missing = [key for key in ("machine", "rows", "ratios", "settings") if key not in values]
    if missing:
        raise BaselineError(path, f"it lacks {', '.join(missing)}")
    return values
