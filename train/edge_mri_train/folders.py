"""Labelled image sets as class folders: which images there are, and what their folders say.

A class folder is named by a type, alone or with a plane, in any spelling that
`edge_mri.labels.parse_folder_name` knows; split folders (`Training`, `Testing`, `val`, …) may lie
above it. Dividing the images into training and validation is `edge_mri_train.split`.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edge_mri.errors import NoImagesError, UnknownClassError
from edge_mri.images import SUFFIXES, ImageFiles
from edge_mri.labels import PLANES, TYPES, Label, parse_folder_name

_SPLIT_SPELLINGS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}


@dataclass(frozen=True)
class Sample:
    """One labelled image file.

    Attributes:
        root: The folder of the set, as it was given.
        path: The file, relative to `root`.
        label: What its class folder says.
        split: `train`, `val` or `test` where a folder between the two says so.
    """

    root: Path
    path: Path
    label: Label
    split: str | None = None

    @property
    def file(self) -> Path:
        """The file itself."""
        return self.root / self.path


def read_folders(roots: Sequence[Path]) -> list[Sample]:
    """List the labelled images below some folders, sorted by folder and name.

    Raises:
        FolderNotFoundError: A root is not there.
        UnknownClassError: Images lie in folders whose names match no label.
        NoImagesError: There is no image at all.
    """
    samples: list[Sample] = []
    unknown: dict[Path, None] = {}
    for root in roots:
        for file in ImageFiles([root]):
            folder = file.parent
            label = parse_folder_name(folder.name or folder.resolve().name)
            if label is None:
                unknown[folder] = None
                continue
            path = file.relative_to(root)
            samples.append(Sample(root, path, label, _split_of(root, path)))
    if unknown:
        raise UnknownClassError(list(unknown))
    if not samples:
        raise NoImagesError(roots, SUFFIXES)
    return samples


def _split_of(root: Path, path: Path) -> str | None:
    for part in (*reversed(path.parts[:-1]), root.resolve().name):
        if part.lower() in _SPLIT_SPELLINGS:
            return _SPLIT_SPELLINGS[part.lower()]
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
