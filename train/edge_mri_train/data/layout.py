"""How a set is laid out where its class folders do not say it: other names, a pattern, an index.

`--map FOLDER=LABEL` says what a folder's name means, `--pattern REGEX` reads file names
(`edge_mri_train.data.name_pattern`), `--index FILE.csv` names the images one by one. Which images
there are is `edge_mri_train.data.folders`, which labels there are `label_source`.
"""

import csv
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from edge_mri.errors import OptionError, listed
from edge_mri.labels import Label, LabelSpace, Vocabulary
from edge_mri.remote.url import Place
from edge_mri_train.data.name_pattern import NamePattern
from edge_mri_train.errors import IndexFileError
from edge_mri_train.settings.csv_file import columns_of, open_csv

SKIP = "skip"
MASKS = "masks"
"""Where masks lie; they are no images, whatever folders they are in."""

_SPLIT_SPELLINGS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}
_CONTAINERS = ("image", "images", "img", "imgs", "slices")
_LABEL_COLUMNS = ("label", "type", "class")
GROUP_COLUMNS = ("group", "patient", "patient_id")
_KNOWN = ("path", "plane", "split", *_LABEL_COLUMNS, *GROUP_COLUMNS)


def parse_split(name: str) -> str | None:
    """Return the split that a folder's name or an index's cell means, or None."""
    return _SPLIT_SPELLINGS.get(name.strip().lower())


def says_nothing(name: str) -> bool:
    """Return whether a folder's name says nothing of what its images show."""
    return name.lower() in _CONTAINERS or parse_split(name) is not None


def class_folders(parts: Sequence[str], root: Place) -> Iterator[str]:
    """Yield the names of folders that may say what a file shows, the one next to it first.

    The set's own folder counts where those below it say nothing.

    Args:
        parts: The folders of the file, below the set's.
        root: The set's folder.
    """
    yield from reversed(parts)
    if all(map(says_nothing, parts)):
        yield root.resolve().name


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
        maps: `FOLDER=LABEL` texts: a label that the vocabulary knows, several joined by `|`, or
            `skip`.
        index: A CSV with the columns path and label (or type, or class), and any of plane, group
            (or patient) and split; further columns become tags.
        pattern: What reads labels out of file names; None: folders alone say them.
        vocabulary: The labels there are, and what names mean.
    """

    maps: tuple[str, ...] = ()
    index: Path | None = None
    pattern: NamePattern | None = None
    vocabulary: Vocabulary = field(default_factory=Vocabulary)

    @classmethod
    def from_options(
        cls,
        maps: tuple[str, ...],
        index: Path | None,
        pattern: str | None = None,
        vocabulary: Vocabulary | None = None,
    ) -> "Layout":
        """Read options; raises `OptionError` on a map or pattern that means nothing."""
        read = None if pattern is None else NamePattern.read(pattern)
        layout = cls(maps, index, read, vocabulary or Vocabulary())
        layout.names  # noqa: B018  # tells what is wrong
        return layout

    @property
    def by_pattern(self) -> bool:
        """Whether names of files say what they show; else their folders do."""
        return self.pattern is not None and self.pattern.finds_type

    def within(self, space: LabelSpace) -> "Layout":
        """Return it for a model's labels; raises `OptionError` on a map that means none of them."""
        layout = replace(self, vocabulary=self.vocabulary.within(space))
        layout.names  # noqa: B018
        return layout

    @cached_property
    def names(self) -> Mapping[str, Label | None]:
        """Label of each further folder name (lower case); None: its images are skipped."""
        names: dict[str, Label | None] = {}
        for text in self.maps:
            folder, equals, meaning = text.partition("=")
            label = self.vocabulary.parse(meaning)
            if not folder or not equals or (label is None and meaning != SKIP):
                types = self.vocabulary.space.types
                raise OptionError(
                    f"--map {text!r}; expected FOLDER=LABEL with a label such as "
                    f"{listed(types, most=8)}, several of them joined by |, or FOLDER={SKIP}"
                )
            names[folder.lower()] = label
        return names

    def label_of(self, name: str) -> Label | None:
        """Return what a folder or index label means; None if that is not known."""
        return self.names.get(name.lower()) or self.vocabulary.parse(name)

    def skips(self, name: str) -> bool:
        """Return whether the images of a folder are to be left out."""
        return self.names.get(name.lower(), name) is None

    def labels(self) -> Iterator[str]:
        """Yield the labels of the index as it spells them; raises `IndexFileError`."""
        if self.index is None:
            return
        with open_csv(self.index, IndexFileError) as reader:
            column = self._label_column(reader)
            for row in reader:
                if row[column]:
                    yield row[column]

    def _label_column(self, reader: "csv.DictReader[str]") -> str:
        columns = reader.fieldnames or []
        column = next((name for name in _LABEL_COLUMNS if name in columns), None)
        if "path" not in columns or column is None:
            raise IndexFileError(
                self.index or Path(), f"columns path and label expected, got {columns_of(reader)}"
            )
        return column

    def rows(self) -> Iterator[IndexRow]:
        """Yield the rows of the index but those of a label that is skipped.

        Of rows that name one file with one label, the first counts.

        Raises:
            IndexFileError: It cannot be read, or a line of it is wrong.
        """
        if self.index is None:
            return
        with open_csv(self.index, IndexFileError) as reader:
            label_column = self._label_column(reader)
            told: dict[Path, tuple[int, Label]] = {}
            for row in reader:
                if not self.skips(row[label_column] or ""):
                    one, line = self._row(row, label_column, reader.line_num), reader.line_num
                    first, label = told.setdefault(one.path, (line, one.label))
                    if label != one.label:
                        raise self._wrong(
                            line, f"it names {one.path} again, with another label than line {first}"
                        )
                    if first == line:
                        yield one

    def _row(self, row: dict[str, str], label_column: str, line: int) -> IndexRow:
        meaning, plane = row[label_column] or "", row.get("plane") or None
        split = row.get("split") or None
        label = self.label_of(meaning)
        if label is None:
            raise self._wrong(
                line,
                f"label {meaning!r}; say what it means with --map {meaning or 'NAME'}=LABEL, or "
                "take the labels as they are with --labels folders",
            )
        if plane is not None:
            known = self.vocabulary.plane_of(plane)
            if known is None:
                planes = listed(self.vocabulary.planes)
                raise self._wrong(line, f"plane {plane!r}; expected one of {planes}")
            label = Label(label.types, known)
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
