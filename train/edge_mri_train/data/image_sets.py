r"""Several image sets, each laid out in its own way, told in one TOML file.

    labels = "labels.toml"        # as --labels; left out: the default labels

    [[set]]
    folder = "mine"               # relative to this file

    [[set]]
    folder = "clinic"
    map = { sick = "stroke", old = "skip" }
    group_pattern = '(P\d+)_'

    [[set]]
    folder = "archive"
    index = "archive/index.csv"

What the keys of a set mean is `edge_mri_train.data.layout` and `grouping`. Without such a file all
sets are laid out alike, as the options say.
"""

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edge_mri.errors import OptionError, listed
from edge_mri.labels import LabelSpace, Vocabulary
from edge_mri.terminal.progress import Progress
from edge_mri_train.data.folders import Sample, read_folders
from edge_mri_train.data.grouping import IdSource
from edge_mri_train.data.label_source import read_label_file, read_layout
from edge_mri_train.data.layout import Layout
from edge_mri_train.settings.data_file import read_text

_SUFFIX = ".toml"
_KEYS = ("folder", "map", "index", "pattern", "group_pattern")


@dataclass(frozen=True)
class ImageSet:
    """Folders that are laid out alike.

    Attributes:
        roots: The folders.
        layout: What their names mean.
        ids: Where patients are known from.
    """

    roots: tuple[Path, ...]
    layout: Layout
    ids: IdSource


@dataclass(frozen=True)
class ImageSets:
    """The sets that a command was given.

    Attributes:
        sets: Each with its layout.
        space: Of their labels.
    """

    sets: tuple[ImageSet, ...]
    space: LabelSpace

    @classmethod
    def of(
        cls,
        data: Sequence[Path],
        labels: str | None,
        maps: tuple[str, ...],
        index: Path | None,
        pattern: str | None,
        progress: Progress,
        ids: IdSource | None = None,
    ) -> "ImageSets":
        """Read what a command's options say, or the one TOML file among them.

        Args:
            data: Folders, or one file of sets.
            labels: As `read_layout` takes it, and what follows.
            maps: Further folder names.
            index: A CSV that names the images.
            pattern: Reads file names.
            progress: Told what was read off the folders.
            ids: Where patients are known from.

        Raises:
            OptionError: The file or an option cannot be used.
        """
        files = [one for one in data if one.suffix.lower() == _SUFFIX and not one.is_dir()]
        ids = ids or IdSource()
        if not files:
            layout = read_layout(labels, data, maps, index, pattern, progress)
            return cls((ImageSet(tuple(data), layout, ids),), layout.vocabulary.space)
        if len(data) > 1 or labels or maps or index or pattern or ids != IdSource():
            raise OptionError(
                f"{files[0]} tells the sets and how they are laid out; give it alone, without "
                "folders, --labels, --map, --index, --pattern and groups"
            )
        return _read(files[0])

    def samples(self, progress: Progress) -> list[Sample]:
        """Return the labelled images of all sets, each with its group where one is known.

        Raises:
            DataError: As `read_folders` has it.
        """
        found = []
        for one in self.sets:
            samples = read_folders(one.roots, one.layout, progress)
            ids = one.ids.ids(samples)
            found += [replace(sample, group=id) for sample, id in zip(samples, ids, strict=True)]
        return found


def _read(path: Path) -> ImageSets:
    def wrong(reason: str) -> OptionError:
        return OptionError(f"{path}: {reason}")

    text = read_text(path, lambda reason: wrong(f"{reason}; expected a file of image sets"))
    try:
        values = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise wrong(f"it is no TOML ({error})") from error
    tables, labels = values.pop("set", None), values.pop("labels", None)
    if values or not isinstance(tables, list) or not tables:
        raise wrong(f"it has {listed(sorted(values)) or 'no set'}; expected tables [[set]]")
    if labels is not None and not isinstance(labels, str):
        raise wrong(f"labels is {labels!r}; expected a file")
    vocabulary = Vocabulary() if labels is None else read_label_file(path.parent / labels)
    sets = tuple(_set(path, table, vocabulary) for table in tables)
    roots = [root for one in sets for root in one.roots]
    if again := [root for root in roots if roots.count(root) > 1]:
        raise wrong(f"it names {again[0]} again; each set once")
    return ImageSets(sets, vocabulary.space)


def _set(path: Path, table: Any, vocabulary: Vocabulary) -> ImageSet:
    def text(name: str) -> str | None:
        value = table.get(name)
        if value is not None and (not isinstance(value, str) or not value):
            raise OptionError(f"{path}: {name} is {value!r}; expected a text")
        return value

    if not isinstance(table, dict) or set(table) - set(_KEYS) or "folder" not in table:
        keys = sorted(table) if isinstance(table, dict) else [repr(table)]
        raise OptionError(
            f"{path}: a set has {listed(keys) or 'nothing'}; expected folder, and any of "
            f"{', '.join(_KEYS[1:])}"
        )
    maps = table.get("map", {})
    if not isinstance(maps, dict) or not all(isinstance(one, str) for one in maps.values()):
        raise OptionError(f"{path}: map is {maps!r}; expected a table of folder = label")
    told = tuple(f"{folder}={label}" for folder, label in maps.items())
    index = text("index")
    layout = Layout.from_options(
        told, None if index is None else path.parent / index, text("pattern"), vocabulary
    )
    folder = path.parent / (text("folder") or "")
    return ImageSet((folder,), layout, IdSource(None, text("group_pattern")))
