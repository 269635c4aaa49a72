"""Labelled image sets as class folders: which images there are, and what their folders say.

A class folder is named by a type, alone or with a plane, in any spelling that
`edge_mri.labels.parse_folder_name` knows or a `Layout` explains; split folders (`Training`,
`Testing`, `val`, …) may lie above it. A set's own `masks/` holds outlines and no images
(`edge_mri_train.data.outlines`). Dividing the images into training and validation is
`edge_mri_train.data.split`.
"""

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from edge_mri.errors import (
    DataError,
    FolderNotFoundError,
    NoImagesError,
    OptionError,
    UnknownClassError,
)
from edge_mri.images import SUFFIXES, ImageFiles
from edge_mri.labels import PLANES, TYPES, Label
from edge_mri.terminal.progress import Progress
from edge_mri_train.data.layout import Layout, parse_split
from edge_mri_train.data.passed_over import PassedOver
from edge_mri_train.errors import IndexFileError

MASKS = "masks"
"""Where a set's masks lie; they are no images, whatever folders they are in."""


@dataclass(frozen=True)
class Sample:
    """One labelled image file.

    Attributes:
        root: The folder of the set, as it was given.
        path: The file, relative to `root`.
        label: What its class folder or the index says.
        split: `train`, `val` or `test` where a folder between the two, or the index, says so.
        group: Patient or other group where the index says so.
        tags: Further columns of the index.
    """

    root: Path
    path: Path
    label: Label
    split: str | None = None
    group: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def file(self) -> Path:
        """The file itself."""
        return self.root / self.path


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
    unknown: dict[Path, int]
    missing: list[Path]
    passed_over: PassedOver = field(default_factory=PassedOver)

    def refusal(self, roots: Sequence[Path], layout: Layout) -> DataError:
        """Return the error that says what is wrong with the images of these folders."""
        if self.unknown:
            return UnknownClassError(list(self.unknown))
        if self.missing and layout.index:
            return IndexFileError(
                layout.index,
                f"{len(self.missing)} of its files are not below {roots[0]}, "
                f"the first is {self.missing[0]}",
            )
        return NoImagesError(roots, SUFFIXES)


def list_folders(roots: Sequence[Path], layout: Layout | None = None) -> Listing:
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
    unknown: Counter[Path] = Counter()
    passed_over = PassedOver()
    for root in roots:

        def skipped(file: Path, root: Path = root) -> None:
            name = _class_of(root, file)
            if name is not None and not layout.skips(name):
                passed_over.consider(file, labelled=layout.label_of(name) is not None)

        for file in ImageFiles([root], on_skipped=skipped):
            name = _class_of(root, file)
            if name is None or layout.skips(name):
                continue
            if not file.name.lower().endswith(SUFFIXES):
                passed_over.unlisted(file)
                continue
            label = layout.label_of(name)
            if label is None:
                unknown[file.parent] += 1
                continue
            path = file.relative_to(root)
            samples.append(Sample(root, path, label, _split_of(root, path)))
    return Listing(samples, dict(unknown), [], passed_over)


def _class_of(root: Path, file: Path) -> str | None:
    """Return the name of the folder that a file lies in; None below the set's own masks."""
    parts = file.relative_to(root).parts
    if parts[:-1] and parts[0] == MASKS:
        return None
    return file.parent.name or file.parent.resolve().name


def _refuse_overlap(roots: Sequence[Path]) -> None:
    """An image below two folders would count twice, as its own duplicate."""
    resolved = [root.resolve() for root in roots]
    for position, root in enumerate(resolved):
        for other in resolved[:position]:
            if root.is_relative_to(other) or other.is_relative_to(root):
                raise OptionError(f"{root} and {other} overlap; give each folder once")


def read_folders(
    roots: Sequence[Path], layout: Layout | None = None, progress: Progress | None = None
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


def _list_index(roots: Sequence[Path], layout: Layout) -> Listing:
    if len(roots) != 1:
        raise OptionError(f"--index names the images of one folder, got {len(roots)}")
    (root,) = roots
    if not root.is_dir():
        raise FolderNotFoundError(root)
    samples, missing = [], []
    real = os.path.realpath(root)
    for row in layout.rows():
        if not os.path.isfile(root / row.path):  # noqa: PTH113  # a path too long is False to it
            missing.append(row.path)
            continue
        if not Path(os.path.realpath(root / row.path)).is_relative_to(real):
            raise IndexFileError(
                layout.index or Path(),
                f"{row.path} is a link that leaves {root}; put the file itself there, or leave "
                "it out",
            )
        split = row.split or _split_of(root, row.path)
        samples.append(Sample(root, row.path, row.label, split, row.group, row.tags))
    return Listing(samples, {}, missing)


def _split_of(root: Path, path: Path) -> str | None:
    for part in (*reversed(path.parts[:-1]), root.resolve().name):
        if split := parse_split(part):
            return split
    return None


def breakdown(samples: Sequence[Sample]) -> str:
    """Return a table of image counts: types down, planes across."""
    counts = Counter((sample.label.type, sample.label.plane) for sample in samples)
    planes = [plane for plane in (*PLANES, None) if any((t, plane) in counts for t in TYPES)]
    heads = [plane or "no plane" for plane in planes]
    lines = [f"{'':<12}" + "".join(f"{head:>10}" for head in (*heads, "all"))]
    for type_ in TYPES:
        row = [counts[type_, plane] for plane in planes]
        lines.append(f"{type_:<12}" + "".join(f"{count:>10}" for count in (*row, sum(row))))
    return "\n".join(lines)
