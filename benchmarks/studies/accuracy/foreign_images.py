"""Images that are no brain MR slice, and brain MR slices as no scanner gives them.

Real ones come from folders and from the packages scikit-image, scikit-learn and pydicom, as far as
they are installed; test files of pydicom that say MR are left out. Others are drawn.
"""

import importlib.util
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import click
import cv2
import numpy as np
from numpy.typing import NDArray

from edge_mri.errors import ImageError
from edge_mri.images import ImageFiles, read_image

Image = NDArray[np.uint8]
Groups = Iterator[tuple[str, list[Image]]]

PACKAGES = {"scikit-image": ("skimage", "data"), "scikit-learn": ("sklearn", "datasets/images")}

_DRAWN = 100
_SIDE_PX = 224
_ALTERED = 300  # brain images per kind of change
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


def drawn(rng: np.random.Generator) -> Groups:
    """Yield images that nobody took."""
    shape = (_SIDE_PX, _SIDE_PX)
    yield "uniform noise", [rng.integers(0, 256, shape, np.uint8) for _ in range(_DRAWN)]
    yield "normal noise", [_normal_noise(rng) for _ in range(_DRAWN)]
    yield "smooth noise", [_smooth_noise(rng) for _ in range(_DRAWN)]
    yield "blank", [np.full(shape, level, np.uint8) for level in range(0, 256, 5)]
    yield "text", [_text(rng) for _ in range(_DRAWN)]


def altered(brains: Sequence[Image], rng: np.random.Generator) -> Groups:
    """Yield brain images as no scanner gives them."""
    chosen = [brains[row] for row in rng.permutation(len(brains))[:_ALTERED]]
    changes: dict[str, Callable[[Image], Image]] = {
        "upside down": lambda image: np.ascontiguousarray(image[::-1]),
        "cut to a quarter": lambda image: _quarter(image, rng),
        "inverted": lambda image: np.asarray(255 - image, np.uint8),
        "torn into tiles": lambda image: _tiles(image, rng),
    }
    for name, change in changes.items():
        yield name, [change(image) for image in chosen]


def _normal_noise(rng: np.random.Generator) -> Image:
    noise = rng.normal(rng.uniform(30, 200), rng.uniform(5, 60), (_SIDE_PX, _SIDE_PX))
    return np.clip(noise, 0, 255).astype(np.uint8)


def _smooth_noise(rng: np.random.Generator) -> Image:
    coarse = rng.integers(0, 256, (int(rng.integers(3, 30)),) * 2, np.uint8)
    smooth = cv2.resize(coarse, (_SIDE_PX, _SIDE_PX), interpolation=cv2.INTER_CUBIC)
    return np.asarray(smooth, np.uint8)


def _text(rng: np.random.Generator) -> Image:
    """Draw lines of letters, dark on light or light on dark."""
    paper, ink = (20, 230) if rng.random() < 0.5 else (230, 20)
    page = np.full((_SIDE_PX, _SIDE_PX), paper, np.uint8)
    scale = float(rng.uniform(0.3, 0.8))
    for y in range(15, _SIDE_PX, round(40 * scale)):
        line = "".join(chr(code) for code in rng.integers(32, 123, 40))
        cv2.putText(page, line, (5, y), cv2.FONT_HERSHEY_SIMPLEX, scale, ink, 1, cv2.LINE_AA)
    return page


def _quarter(image: Image, rng: np.random.Generator) -> Image:
    height, width = (max(side // 2, 1) for side in image.shape)
    y = int(rng.integers(0, image.shape[0] - height + 1))
    x = int(rng.integers(0, image.shape[1] - width + 1))
    return np.ascontiguousarray(image[y : y + height, x : x + width])


def _tiles(image: Image, rng: np.random.Generator) -> Image:
    """Shuffle sixteen tiles."""
    height, width = (max(side // 4, 1) for side in image.shape)
    whole = np.asarray(cv2.resize(image, (4 * width, 4 * height)), np.uint8)
    tiles = whole.reshape(4, height, 4, width).swapaxes(1, 2).reshape(16, height, width)
    mixed = tiles[rng.permutation(16)].reshape(4, 4, height, width).swapaxes(1, 2)
    return mixed.reshape(4 * height, 4 * width)
