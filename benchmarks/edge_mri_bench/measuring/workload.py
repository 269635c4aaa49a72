"""The images of a benchmark: which are timed, and which have labels to score answers with."""

import hashlib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edge_mri.errors import ImageError, NoImagesError
from edge_mri.images import SUFFIXES, ImageFiles, read_image
from edge_mri.labels import LabelSpace, Vocabulary
from edge_mri.phantoms.phantom import PhantomConfig, write_phantoms
from edge_mri_train.data.folders import Sample, list_folders
from edge_mri_train.data.layout import Layout

PHANTOM_PX = 512


@dataclass(frozen=True)
class Workload:
    """Images.

    Attributes:
        files: The W images that are timed.
        labelled: Those with labels; none where there are none, or where they are drawings.
        source: What the timed ones are, for people.
        phantoms: Whether the timed ones are drawings.
        left_out: What cannot be measured with these images, and why.
    """

    files: tuple[Path, ...]
    labelled: tuple[Sample, ...]
    source: str
    phantoms: bool
    left_out: tuple[str, ...] = ()

    def describe(self) -> dict[str, Any]:
        """Return the timed images as JSON values; decodes each once."""
        sizes = Counter(f"{i.shape[1]} x {i.shape[0]}" for i in map(read_image, self.files))
        contents = [file.read_bytes() for file in self.files]
        return {
            "source": self.source,
            "phantoms": self.phantoms,
            "n": len(self.files),
            "formats": dict(Counter(file.suffix.lower().lstrip(".") for file in self.files)),
            "sizes": dict(sizes.most_common(5)),
            "mean_bytes": round(float(np.mean([len(one) for one in contents]))),
            "sha256": hashlib.sha256(b"".join(contents)).hexdigest(),
            "labelled": len(self.labelled),
        }


def phantom_files(folder: Path, count: int, size_px: int = PHANTOM_PX) -> tuple[Path, ...]:
    """Draw at least `count` phantoms into a folder, as many of each class, and return `count`."""
    per_class = -(-count // len(LabelSpace().classes))
    written = write_phantoms(folder, PhantomConfig(count=per_class, size_px=size_px))
    by_turns = sorted(written, key=lambda path: (path.name, path.parent.name))
    return tuple(by_turns[:count])


def load_workload(
    data: tuple[Path, ...],
    count: int,
    phantom_folder: Path,
    *,
    time_phantoms: bool = False,
    labels: LabelSpace | None = None,
) -> Workload:
    """Choose the images.

    Args:
        data: Folders of images, with class folders where there are labels; none: phantoms.
        count: How many to time, at most.
        phantom_folder: Where phantoms are drawn.
        time_phantoms: Time phantoms even where there is data, which then only scores answers.
        labels: What the names of folders are to mean; None: the default space.

    Raises:
        NoImagesError: No image below the folders can be decoded.
    """
    left_out = []
    labelled: tuple[Sample, ...] = ()
    if data:
        listing = list_folders(data, Layout(vocabulary=Vocabulary(labels or LabelSpace())))
        labelled = tuple(_held_out([one for one in listing.samples if _decodes(one.here)]))
        if not labelled:
            left_out.append("accuracy: no class folders below --data, so speed alone")
    else:
        left_out.append("accuracy: phantoms are drawings that judge no model; give --data DIR")
    if not data or time_phantoms:
        files = phantom_files(phantom_folder, count)
        source = f"phantoms, {PHANTOM_PX} x {PHANTOM_PX} px JPEG"
        return Workload(files, labelled, source, True, tuple(left_out))
    found = [one.here for one in labelled] or list(ImageFiles(data))
    spread = [found[int(i)] for i in np.linspace(0, len(found) - 1, min(count, len(found)))]
    usable = tuple(file for file in dict.fromkeys(spread) if _decodes(file))
    if not usable:
        raise NoImagesError(data, SUFFIXES)
    names = " and ".join(folder.resolve().name for folder in data)
    return Workload(usable, labelled, f"images of {names}", False, tuple(left_out))


def _held_out(samples: list[Sample]) -> list[Sample]:
    """Return the test images where there are test folders among others, else all."""
    held_out = [sample for sample in samples if sample.split == "test"]
    return held_out or samples


def _decodes(file: Path) -> bool:
    try:
        read_image(file)
    except ImageError:
        return False
    return True
