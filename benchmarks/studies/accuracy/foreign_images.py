"""Images that are no brain MR slice, and brain MR slices as no scanner gives them.

Real ones come from folders and from the packages scikit-image, scikit-learn and pydicom, as far as
they are installed; test files of pydicom that say MR are left out. Others are drawn, as an export
draws them (`edge_mri_export.gate.drawn`).
"""

import importlib.util
import warnings
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import click
import numpy as np

from edge_mri.errors import ImageError
from edge_mri.images import ImageFiles, read_image
from edge_mri_export.gate.drawn import SPOILED_IMAGES, Image, spoiled

Groups = Iterator[tuple[str, list[Image]]]

PACKAGES = {"scikit-image": ("skimage", "data"), "scikit-learn": ("sklearn", "datasets/images")}

_SMALLEST_PX = 32  # of pydicom's files


def folder(path: Path) -> list[Image]:
    """Read the usable images below a folder."""
    return read_all(ImageFiles([path]))


def read_all(files: Iterable[Path]) -> list[Image]:
    """Read the usable images of some files, and say which are not."""
    images = []
    for file in files:
        try:
            images.append(read_image(file))
        except ImageError as error:
            click.echo(f"left out {file}: {error}")
    return images


def packaged() -> Groups:
    """Yield the photographs and textures that installed packages bring."""
    for name, (module, below) in PACKAGES.items():
        found = importlib.util.find_spec(module)
        if found is None or found.origin is None:
            click.echo(f"left out {name}: it is not installed")
            continue
        yield name, folder(Path(found.origin).parent / below)


def dicom() -> Groups:
    """Yield the frames of pydicom's own test files, by modality; none that says MR."""
    if importlib.util.find_spec("pydicom") is None:
        click.echo("left out pydicom: it is not installed")
        return
    import pydicom

    groups: dict[str, list[Image]] = {}
    known: set[bytes] = set()
    files = sorted((Path(pydicom.__file__).parent / "data/test_files").rglob("*.dcm"))
    for file in files:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # these files are odd on purpose
                dataset = pydicom.dcmread(file)
                pixels = np.asarray(dataset.pixel_array, np.float32)
        except Exception:  # whatever pydicom's decoders raise of files made to fail
            continue
        modality = str(dataset.get("Modality", "")) or "none"
        if pixels.ndim > 2 and pixels.shape[-1] == 3:
            pixels = pixels.mean(axis=-1)
        for frame in pixels.reshape(-1, *pixels.shape[-2:]):
            if min(frame.shape) < _SMALLEST_PX or np.ptp(frame) == 0 or modality == "MR":
                continue
            grey = (255 * (frame - frame.min()) / np.ptp(frame)).astype(np.uint8)
            if grey.tobytes() not in known:
                known.add(grey.tobytes())
                groups.setdefault(modality, []).append(grey)
    yield from ((f"pydicom {name}", images) for name, images in sorted(groups.items()))


def altered(brains: Sequence[Image], rng: np.random.Generator) -> Groups:
    """Yield brain images as no scanner gives them."""
    chosen = [brains[row] for row in rng.permutation(len(brains))[:SPOILED_IMAGES]]
    yield "upside down", [np.ascontiguousarray(image[::-1]) for image in chosen]
    yield from spoiled(chosen, rng).items()
