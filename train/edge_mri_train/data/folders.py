"""Labelled image sets as class folders: which images there are, and what their folders say.

A class folder is named by a type, alone or with a plane, in any spelling that the `Vocabulary` of a
`Layout` knows; it may be any folder above an image, the nearest counts, and a plane may be another.
A folder `masks` holds outlines and no images (`edge_mri_train.data.outlines`). Dividing the images
into training and validation is `edge_mri_train.data.split`.
"""

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath

from edge_mri.errors import DataError, FolderNotFoundError, NoImagesError, OptionError
from edge_mri.images import SUFFIXES, ImageFiles
from edge_mri.labels import Label, LabelSpace
from edge_mri.labels.space import JOINER
from edge_mri.remote.listing import below, kind
from edge_mri.remote.url import Place, Url
from edge_mri.terminal.progress import Progress
from edge_mri_train.data.layout import MASKS, IndexRow, Layout, class_folders, parse_split
from edge_mri_train.data.name_pattern import GROUP, PLANE, SPLIT, TYPE
from edge_mri_train.data.passed_over import PassedOver
from edge_mri_train.errors import IndexFileError, UnknownClassError

_MOST_ROWS = 40


@dataclass(frozen=True)
class Sample:
    """One labelled image file.

    Attributes:
        root: The folder of the set, as it was given, or its URL.
        path: The file, relative to `root`.
        label: What its class folder, its name or the index says.
        split: `train`, `val` or `test` where a folder between the two, or the index, says so.
        group: Patient or other group where the index or its name says so.
        tags: Further columns of the index.
    """

    root: Place
    path: PurePath
    label: Label
    split: str | None = None
    group: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def file(self) -> Place:
        """The file itself."""
        return self.root / self.path

    @property
    def folder(self) -> Path:
        """The folder of the set; raises `OptionError` where that is a URL."""
        if isinstance(self.root, Url):
            raise OptionError(f"expected a folder of this machine, got {self.root}; copy it first")
        return self.root

    @property
    def here(self) -> Path:
        """The file itself, on this machine; raises as `folder`."""
        return self.folder / self.path


@dataclass(frozen=True)
class Listing:
    """The images below some folders.

    Attributes:
        samples: The labelled ones, sorted by folder and name, or in the order of the index.
        unknown: How many images lie in each folder whose name matches no label.
        missing: Files that the index names and that are not there.
        passed_over: Files below the folders that are no pictures.
    """

    samples: list[Sample]
    unknown: dict[Place, int]
    missing: list[PurePath]
    passed_over: PassedOver = field(default_factory=PassedOver)

    def refusal(self, roots: Sequence[Place], layout: Layout) -> DataError:
        """Return the error that says what is wrong with the images of these folders."""
        if self.unknown:
            space, named = layout.vocabulary.space, layout.by_pattern
            return UnknownClassError([*self.unknown], space.types, space.planes, by_pattern=named)
        if self.missing and layout.index:
            return IndexFileError(
                layout.index,
                f"{len(self.missing)} of its files are not below {roots[0]}, "
                f"the first is {self.missing[0]}",
            )
        return NoImagesError(roots, SUFFIXES)


def list_folders(roots: Sequence[Place], layout: Layout | None = None) -> Listing:
    """List the images below some folders, labelled or not.

    Args:
        roots: The sets' folders; one alone with an index.
        layout: Further folder names, or an index.
    """
    layout = layout or Layout()
    _refuse_overlap(roots)
    if layout.index is not None:
        return _list_index(roots, layout)
    samples: list[Sample] = []
    unknown: Counter[Place] = Counter()
    passed_over = PassedOver()
    for root in roots:
        folders = _Folders(root, layout)

        def skipped(file: Place, folders: _Folders = folders) -> None:
            if not folders.leaves_out(file):
                passed_over.consider(file, labelled=folders.label_of(file) is not None)

        for file in ImageFiles([root], on_skipped=skipped):
            if folders.leaves_out(file):
                continue
            if not file.name.lower().endswith(SUFFIXES):
                passed_over.unlisted(file)
                continue
            if passed_over.is_mask(file):
                continue
            label = folders.label_of(file)
            if label is None:
                unknown[file.parent] += 1
                continue
            samples.append(_sample(root, inside(root, file), label, layout))
    return Listing(samples, dict(unknown), [], passed_over)


class _Folders:
    """What the folders of one set say of the files in them; each folder is read once."""

    def __init__(self, root: Place, layout: Layout) -> None:
        self._root = root
        self._named = root.parent if isinstance(root, Path) and not root.is_dir() else root
        self._layout = layout
        self._known: dict[Place, tuple[bool, Label | None]] = {}

    def leaves_out(self, file: Place) -> bool:
        """Whether a file lies among masks, or in a folder that is to be skipped."""
        return self._of(file)[0]

    def label_of(self, file: Place) -> Label | None:
        """Return what a file shows: as its name says where a pattern reads it, else its folder."""
        pattern, vocabulary = self._layout.pattern, self._layout.vocabulary
        label = self._of(file)[1]
        if pattern is None:
            return label
        found = pattern.found(inside(self._root, file))
        if pattern.finds_type:
            word = found.get(TYPE, "")
            label = self._layout.names.get(word.lower()) or vocabulary.type_in_name(word)
        plane = vocabulary.plane_in_name(found[PLANE]) if PLANE in found else None
        return label if label is None or plane is None else Label(label.types, plane)

    def _of(self, file: Place) -> tuple[bool, Label | None]:
        if file.parent not in self._known:
            self._known[file.parent] = self._read(inside(self._root, file).parts[:-1])
        return self._known[file.parent]

    def _read(self, parts: tuple[str, ...]) -> tuple[bool, Label | None]:
        """Return whether the files of a folder are left out, and what they show."""
        layout = self._layout
        if any(part.lower() == MASKS for part in parts):
            return True, None
        for name in class_folders(parts, self._named):
            if layout.skips(name):
                return True, None
            if label := layout.label_of(name):
                planes = (layout.vocabulary.plane_of(part) for part in reversed(parts))
                plane = label.plane or next((one for one in planes if one), None)
                return False, Label(label.types, plane)
        return False, None


def inside(root: Place, file: Place) -> PurePath:
    """Return the way to a file from the folder of its set."""
    if isinstance(file, Url):
        return file.relative_to(root)
    return file.relative_to(str(root))


def _sample(root: Place, path: PurePath, label: Label, layout: Layout) -> Sample:
    found = {} if layout.pattern is None else layout.pattern.found(path)
    split = parse_split(found.get(SPLIT, "")) or _split_of(root, path)
    return Sample(root, path, label, split, found.get(GROUP))


def _refuse_overlap(roots: Sequence[Place]) -> None:
    """An image below two folders would count twice, as its own duplicate."""
    resolved = [root.resolve() for root in roots]
    for position, root in enumerate(resolved):
        for other in resolved[:position]:
            if root.is_relative_to(str(other)) or other.is_relative_to(str(root)):
                raise OptionError(f"{root} and {other} overlap; give each folder once")


def read_folders(
    roots: Sequence[Place], layout: Layout | None = None, progress: Progress | None = None
) -> list[Sample]:
    """List the labelled images below some folders, and accept no others.

    Args:
        roots: The sets' folders; one alone with an index.
        layout: Further folder names, or an index.
        progress: Told what is passed over.

    Raises:
        FolderNotFoundError: A root is not there.
        UnknownClassError: Images lie in folders whose names match no label.
        IndexFileError: The index is wrong or names files that are not there.
        NoImagesError: There is no image at all.
    """
    layout = layout or Layout()
    listing = list_folders(roots, layout)
    if progress is not None and len(listing.passed_over):
        progress.say(f"Warning: {listing.passed_over}.")
    if listing.unknown or listing.missing or not listing.samples:
        raise listing.refusal(roots, layout)
    return listing.samples


def _list_index(roots: Sequence[Place], layout: Layout) -> Listing:
    if len(roots) != 1:
        raise OptionError(f"--index names the images of one folder, got {len(roots)}")
    (root,) = roots
    rows = list(layout.rows())
    there = _remote_files(root, rows) if isinstance(root, Url) else _files(root, rows, layout)
    samples: list[Sample] = []
    missing: list[PurePath] = []
    for row in rows:
        if row.path not in there:
            missing.append(row.path)
            continue
        split = row.split or _split_of(root, row.path)
        samples.append(Sample(root, row.path, row.label, split, row.group, row.tags))
    return Listing(samples, {}, missing)


def _files(root: Path, rows: Sequence[IndexRow], layout: Layout) -> set[PurePath]:
    """Return which files of an index are there; refuse links that leave the folder."""
    if not root.is_dir():
        raise FolderNotFoundError(root)
    real = os.path.realpath(root)
    there: set[PurePath] = set()
    for path in (row.path for row in rows):
        if not os.path.isfile(root / path):  # noqa: PTH113  # a path too long is False to it
            continue
        if not Path(os.path.realpath(root / path)).is_relative_to(real):
            raise IndexFileError(
                layout.index or Path(),
                f"{path} is a link that leaves {root}; put the file itself there, or leave it out",
            )
        there.add(path)
    return there


def _remote_files(root: Url, rows: Sequence[IndexRow]) -> set[PurePath]:
    """Return the same of a URL, by one listing; on the web nobody knows before they are read."""
    named: set[PurePath] = {row.path for row in rows}
    if kind(root) is None:
        raise FolderNotFoundError(root)
    if root.is_web:
        return set(named)
    return named.intersection(file.relative_to(root) for file in below(root))


def _split_of(root: Place, path: PurePath) -> str | None:
    for part in (*reversed(path.parts[:-1]), root.resolve().name):
        if split := parse_split(part):
            return split
    return None


def breakdown(samples: Sequence[Sample], space: LabelSpace | None = None) -> str:
    """Return a table of image counts: types down, planes across.

    Labels that name several types come last; of many types, the first are shown.
    """
    space = space or LabelSpace()
    counts = Counter((sample.label.types, sample.label.plane) for sample in samples)
    known = dict.fromkeys((*space.planes, *(label for _, label in counts if label), None))
    planes = [one for one in known if any(plane == one for _, plane in counts)]
    heads = [plane or "no plane" for plane in planes]
    rows: list[tuple[str, ...]] = [(name,) for name in space.types]
    rows += sorted({types for types, _ in counts if types not in rows})
    titles = [JOINER.join(types) for types in rows[:_MOST_ROWS]]
    width = max(12, *(len(title) + 1 for title in titles))
    lines = [f"{'':<{width}}" + "".join(f"{head:>10}" for head in (*heads, "all"))]
    for title, types in zip(titles, rows, strict=False):
        row = [counts[types, plane] for plane in planes]
        lines.append(f"{title:<{width}}" + "".join(f"{count:>10}" for count in (*row, sum(row))))
    if len(rows) > _MOST_ROWS:
        lines.append(f"and {len(rows) - _MOST_ROWS} more types")
    return "\n".join(lines)
