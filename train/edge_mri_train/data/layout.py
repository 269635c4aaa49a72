"""How a set is laid out where its class folders do not say it: other folder names, or an index.

`--map FOLDER=LABEL` says what a folder's name means, `--index FILE.csv` names the images one by
one. Both are read here; which images there are is `edge_mri_train.data.folders`.
"""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from edge_mri.errors import OptionError
from edge_mri.labels import Label, parse_folder_name
from edge_mri_train.data.csv_file import columns_of, open_csv
from edge_mri_train.errors import IndexFileError

SKIP = "skip"
_SPLIT_SPELLINGS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}
_LABEL_COLUMNS = ("label", "type", "class")
GROUP_COLUMNS = ("group", "patient", "patient_id")
_KNOWN = ("path", "plane", "split", *_LABEL_COLUMNS, *GROUP_COLUMNS)


def parse_split(name: str) -> str | None:
    """Return the split that a folder's name or an index's cell means, or None."""
    return _SPLIT_SPELLINGS.get(name.strip().lower())


def path_inside(name: str) -> Path | None:
    """Return the path of a file as a set's CSV names it; None where it leaves the set."""
    path = Path(os.path.normpath(name))
    if not name or "\0" in name or path.is_absolute() or path.parts[:1] in ((), ("..",)):
        return None
    return path


@dataclass(frozen=True)
class IndexRow:
    """One image that an index names.

    Attributes:
        path: The file, relative to the set's folder.
        label: What the index says it shows.
        group: Patient or other group, where the index says it.
        split: `train`, `val` or `test`, where the index says it.
        tags: All further columns.
    """

    path: Path
    label: Label
    group: str | None
    split: str | None
    tags: Mapping[str, str]


@dataclass(frozen=True)
class Layout:
    """What folder names mean beyond the spellings that are known, and an index.

    Attributes:
        names: Label of each further folder name (lower case); None: its images are skipped.
        index: A CSV with the columns path and label (or type, or class), and any of plane, group
            (or patient) and split; further columns become tags.
    """

    names: Mapping[str, Label | None] = field(default_factory=dict)
    index: Path | None = None

    @classmethod
    def from_options(cls, maps: tuple[str, ...], index: Path | None) -> "Layout":
        """Read `FOLDER=LABEL` texts; a label is a folder name that is known, or `skip`."""
        names: dict[str, Label | None] = {}
        for text in maps:
            folder, equals, meaning = text.partition("=")
            label = parse_folder_name(meaning)
            if not folder or not equals or (label is None and meaning != SKIP):
                raise OptionError(
                    f"--map {text!r}; expected FOLDER=LABEL with a label such as glioma or "
                    f"no_tumor_axial, or FOLDER={SKIP}"
                )
            names[folder.lower()] = label
        return cls(names, index)

    def label_of(self, name: str) -> Label | None:
        """Return what a folder or index label means; None if that is not known."""
        return self.names.get(name.lower()) or parse_folder_name(name)

    def skips(self, name: str) -> bool:
        """Return whether the images of a folder are to be left out."""
        return self.names.get(name.lower(), name) is None

    def rows(self) -> Iterator[IndexRow]:
        """Yield the rows of the index but those of a label that is skipped.

        Raises:
            IndexFileError: It cannot be read, or a line of it is wrong.
        """
        if self.index is None:
            return
        with open_csv(self.index, IndexFileError) as reader:
            columns = reader.fieldnames or []
            label_column = next((name for name in _LABEL_COLUMNS if name in columns), None)
            if "path" not in columns or label_column is None:
                raise IndexFileError(
                    self.index, f"columns path and label expected, got {columns_of(reader)}"
                )
            lines: dict[Path, int] = {}
            for row in reader:
                if not self.skips(row[label_column] or ""):
                    one, line = self._row(row, label_column, reader.line_num), reader.line_num
                    if (first := lines.setdefault(one.path, line)) != line:
                        raise self._wrong(line, f"it names {one.path} again, after line {first}")
                    yield one

    def _row(self, row: dict[str, str], label_column: str, line: int) -> IndexRow:
        meaning, plane = row[label_column] or "", row.get("plane") or None
        split = row.get("split") or None
        label = self.label_of(meaning)
        if label is None:
            raise self._wrong(
                line, f"label {meaning!r}; say what it means with --map {meaning or 'NAME'}=LABEL"
            )
        if plane is not None:
            label = parse_folder_name(f"{label.type}_{plane}")
        if label is None:
            raise self._wrong(line, f"plane {plane!r}; expected axial, coronal or sagittal")
        if split is not None and parse_split(split) is None:
            raise self._wrong(line, f"split {split!r}; expected train, val or test")
        if not row["path"]:
            raise self._wrong(line, "it names no file")
        path = path_inside(row["path"])
        if path is None:
            raise self._wrong(
                line, f"path {row['path']!r}; expected that of a file below the set's folder"
            )
        return IndexRow(
            path=path,
            label=label,
            group=next((row[name] for name in GROUP_COLUMNS if row.get(name)), None),
            split=split and parse_split(split),
            tags={key: value or "" for key, value in row.items() if key and key not in _KNOWN},
        )

    def _wrong(self, line: int, reason: str) -> IndexFileError:
        return IndexFileError(self.index or Path(), f"line {line}: {reason}")
