"""Which images belong together: patients where ids exist, near-duplicate groups where not.

Two images are in one group when an id, a duplicate or a chain of both connects them.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

import numpy as np
from numpy.typing import NDArray

from edge_mri.errors import OptionError
from edge_mri_train.data.folders import Sample
from edge_mri_train.data.layout import GROUP_COLUMNS
from edge_mri_train.duplicates.components import connected_groups
from edge_mri_train.duplicates.search import Duplicates
from edge_mri_train.errors import IndexFileError
from edge_mri_train.settings.csv_file import columns_of, open_csv


def id_pairs(ids: Sequence[str | None]) -> NDArray[np.int64]:
    """Return `(M, 2)` pairs that connect the positions with equal ids; None is no id."""
    first: dict[str, int] = {}
    pairs = [
        (first.setdefault(one, position), position)
        for position, one in enumerate(ids)
        if one is not None
    ]
    return np.array(pairs, np.int64).reshape(-1, 2)


@dataclass(frozen=True)
class IdSource:
    """Where patients or other groups are known from, beside an index's own column.

    Attributes:
        file: A CSV with the columns path and group (or patient).
        pattern: A regular expression for the path; its first group, or all of it, is the id.
    """

    file: Path | None = None
    pattern: str | None = None

    def ids(self, samples: Sequence[Sample]) -> list[str | None]:
        """Return the id of each image, None where it has none."""
        if self.file is not None:
            return _ids_from_file(samples, self.file)
        if self.pattern is not None:
            return _ids_from_pattern(samples, self.pattern)
        return [sample.group for sample in samples]


def group_numbers(
    samples: Sequence[Sample], duplicates: Duplicates, source: IdSource
) -> NDArray[np.int64]:
    """Return `(N,)` group numbers: connected by a duplicate of any kind, or by an id."""
    ids = id_pairs(source.ids(samples))
    return connected_groups(len(samples), np.concatenate([duplicates.pairs(), ids]))


def _ids_from_pattern(samples: Sequence[Sample], pattern: str) -> list[str | None]:
    """Return what a regular expression finds in each path: its first group, or all of it."""
    try:
        expression = re.compile(pattern)
    except re.error as error:
        raise OptionError(
            f"--group-pattern {pattern!r} is no regular expression: {error}"
        ) from error
    found = [expression.search(sample.path.as_posix()) for sample in samples]
    if not any(found):
        raise OptionError(f"--group-pattern {pattern!r} matches no path")
    return [one.group(1 if expression.groups else 0) or None if one else None for one in found]


def _ids_from_file(samples: Sequence[Sample], path: Path) -> list[str | None]:
    """Read ids from a CSV with the columns path and group (or patient)."""
    with open_csv(path, IndexFileError) as reader:
        columns = reader.fieldnames or []
        column = next((name for name in GROUP_COLUMNS if name in columns), None)
        if "path" not in columns or column is None:
            raise IndexFileError(path, f"columns path and group expected, got {columns_of(reader)}")
        ids: dict[PurePath, str | None] = {
            Path(row["path"]): row[column] or None for row in reader if row["path"]
        }
    if not any(sample.path in ids for sample in samples):
        raise IndexFileError(path, "none of its paths is an image of the sets")
    return [ids.get(sample.path) for sample in samples]
