"""Files of a set that no command here reads: counted and named, not passed over in silence.

In a class folder that is every file which is no picture: DICOM and NIfTI, MAT, a spreadsheet. In
other folders it is what is an image by its name or its first bytes; and anywhere a mask named after
the picture beside it. Hidden files, what operating systems leave behind, a set's `masks/` and
folders that are to be skipped do not count.
"""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any

from edge_mri.errors import ImageReadError
from edge_mri.images import SUFFIXES, VOLUME_SUFFIXES
from edge_mri.images.formats.headers import FIRST_BYTES, format_of
from edge_mri.images.opening import first_bytes
from edge_mri.remote.url import Place

_LEFT_BEHIND = ("desktop.ini", "thumbs.db")
_KINDS = ("jpeg", "png", "tiff", "webp", "dicom", "nifti")  # two bytes make a BMP: too few here
_UNLISTED = "folders that cannot be listed"
_MASKS = "masks beside their pictures"
_MASK = re.compile(r"(.+)_mask(_[0-9]+)?", re.IGNORECASE)


@dataclass
class PassedOver:
    """What was passed over, by suffix.

    Attributes:
        counts: How many files have each suffix, lower case; "" for none.
        first: The first file of each.
    """

    counts: Counter[str] = field(default_factory=Counter)
    first: dict[str, Place] = field(default_factory=dict)
    _pictures: set[tuple[str, str]] = field(default_factory=set, repr=False)

    def __len__(self) -> int:
        return self.counts.total()

    def consider(self, file: Place, *, labelled: bool) -> None:
        """Count a file that is not read, unless it is of no concern.

        Args:
            file: The file.
            labelled: Whether it lies in a class folder.
        """
        name = file.name.lower()
        if name in _LEFT_BEHIND:
            return
        if labelled or name.endswith(VOLUME_SUFFIXES) or _begins_as_image(file):
            self._count(".nii.gz" if name.endswith(".nii.gz") else file.suffix.lower(), file)

    def unlisted(self, folder: Place) -> None:
        """Count a folder that cannot be listed."""
        self._count(_UNLISTED, folder)

    def is_mask(self, picture: Place) -> bool:
        """Count a picture that is named as the mask of an earlier one, and return whether it is.

        As `x_mask.png` beside `x.jpg`, or `x_mask_1.png`.

        Args:
            picture: The file; those of a folder come in the order of their names.
        """
        folder, stem = str(picture.parent), PurePath(picture.name).stem
        found = _MASK.fullmatch(stem)
        if found is not None and (folder, found[1].lower()) in self._pictures:
            self._count(_MASKS, picture)
            return True
        self._pictures.add((folder, stem.lower()))
        return False

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {
            kind: {"files": count, "first": str(self.first[kind])}
            for kind, count in self.counts.most_common()
        }

    def __str__(self) -> str:
        return (
            f"passed over {len(self)} files that are no pictures: {', '.join(self._told())}; only "
            f"{' '.join(SUFFIXES)} are read here"
        )

    def _told(self) -> Iterator[str]:
        for kind, count in self.counts.most_common():
            yield f"{count} {kind or 'without suffix'} (the first is {self.first[kind]})"

    def _count(self, kind: str, file: Place) -> None:
        self.counts[kind] += 1
        self.first.setdefault(kind, file)


def _begins_as_image(file: Place) -> bool:
    try:
        return format_of(first_bytes(file, FIRST_BYTES)) in _KINDS
    except (ImageReadError, OSError):
        return False
