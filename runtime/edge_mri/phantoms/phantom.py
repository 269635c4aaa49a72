"""Labelled head phantoms: drawings to try the toolkit on, never patients.

A phantom looks like a contrast-enhanced T1 slice of one of the 12 classes, and is drawn from
numbers alone: a head (`edge_mri.phantoms.head`), a tumour (`edge_mri.phantoms.tumour`), then the
scanner's part, here. The head depends on seed, index and plane but not on the type, so that
brightness, position and noise say nothing about the type; only the tumour does.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_mri import __version__
from edge_mri.errors import OptionError
from edge_mri.labels import PLANES, TYPES, Label, LabelSpace
from edge_mri.phantoms.atlas import SHEET, SHEET_PX, Sheet, atlas_of
from edge_mri.phantoms.head import draw_head, smooth_noise
from edge_mri.phantoms.tumour import draw_tumour
from edge_mri.storage.atomic import atomic_path

FORMATS = ("jpg", "png", "dcm")

_SIZES_PX = (32, 2048)
_SEEDS = (0, 2**32 - 1)
_COUNTS = (1, 1_000_000)
_SLICES = (1, 1000)
_JPEG_QUALITY = 90

_BEND_PX = np.float32(1.8)
_BEND_PERIOD_PX = 160.0

_README = """\
Head phantoms: drawings made by `edge-mri phantom`, not patients.

For trying the toolkit, its tests and its benchmarks; not for judging a model.

edge-mri {version}: {count} per class, {size_px} x {size_px} px, {format}, seed {seed}
"""


@dataclass(frozen=True)
class PhantomConfig:
    """A folder of phantoms.

    Attributes:
        count: Images per class.
        size_px: Side of the images.
        seed: What the drawings grow from: the same seed, the same images.
        format: `jpg`, `png`, or `dcm`: a series of DICOM files for each image.
        slices: Of a series.
    """

    count: int
    size_px: int = 512
    seed: int = 0
    format: str = "jpg"
    slices: int = 8

    def __post_init__(self) -> None:
        _check_range("count", self.count, _COUNTS)
        _check_range("size_px", self.size_px, _SIZES_PX)
        _check_range("seed", self.seed, _SEEDS)
        _position("format", self.format, FORMATS)
        _check_range("slices", self.slices, _SLICES)


def write_phantoms(
    folder: Path, config: PhantomConfig, on_image: Callable[[Path], None] | None = None
) -> list[Path]:
    """Write `FOLDER/{type}_{plane}/phantom-0001.jpg` … for the 12 classes, and a README.txt.

    As DICOM `phantom-0001` is a folder with the slices of a series, `slice-0001.dcm` ….
    Files of these names are replaced, others left alone.

    Args:
        folder: Made where missing.
        config: What to draw.
        on_image: Called with the path of each image written.

    Returns:
        The paths of the images, class by class.

    Raises:
        OutputError: A file or folder cannot be written.
    """
    notice = _README.format(version=__version__, **vars(config))
    _write(folder / "README.txt", notice.encode())
    written = []
    for label in LabelSpace().classes:
        for index in range(1, config.count + 1):
            image = draw_phantom(label, size_px=config.size_px, seed=config.seed, index=index)
            stem = folder / str(label) / f"phantom-{index:04d}"
            for path, content in _files(stem, image, label, index, config):
                _write(path, content)
                written.append(path)
                if on_image:
                    on_image(path)
    return written


def _files(
    stem: Path, image: NDArray[np.uint8], label: Label, index: int, config: PhantomConfig
) -> Iterator[tuple[Path, bytes]]:
    """Give the files of one phantom, and what is in them."""
    if config.format == "dcm":
        from edge_mri.phantoms.dicom import series_files

        slices = series_files(image, label, slices=config.slices, seed=config.seed, index=index)
        for number, content in enumerate(slices, start=1):
            yield stem / f"slice-{number:04d}.dcm", content
        return
    options = [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY] if config.format == "jpg" else []
    path = stem.with_name(f"{stem.name}.{config.format}")
    yield path, cv2.imencode(path.suffix, image, options)[1].tobytes()


def draw_phantom(
    label: Label, *, size_px: int = 512, seed: int = 0, index: int = 0
) -> NDArray[np.uint8]:
    """Draw one phantom; the same arguments give the same pixels, in any order of calls.

    Args:
        label: Type and plane; both must be given.
        size_px: Side of the image, 32 to 2048.
        seed: Of the set of phantoms.
        index: Of the phantom in its set. The four types share a head under the same index.

    Returns:
        `(size_px, size_px)` uint8, 0 black.

    Raises:
        OptionError: An argument is unknown, missing or out of range.
    """
    type_number = _position("type", label.type, TYPES)
    plane_number = _position("plane", label.plane, PLANES)
    _check_range("size_px", size_px, _SIZES_PX)
    _check_range("seed", seed, _SEEDS)
    _check_range("index", index, _SEEDS)
    head_rng = np.random.default_rng([seed, index, plane_number, 0])
    tumour_rng = np.random.default_rng([seed, index, plane_number, 1 + type_number])
    atlas = atlas_of(PLANES[plane_number])
    sheet = draw_head(atlas, head_rng)
    draw_tumour(sheet, atlas, TYPES[type_number], tumour_rng)
    return _scan(sheet, size_px, head_rng)


def _scan(sheet: Sheet, size_px: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Scan a `(256, 256)` head: pose, the coil's uneven light, Rician noise, then the pixels."""
    soft = cv2.GaussianBlur(sheet, (0, 0), 0.6)
    posed = cv2.remap(soft, *_pose(rng), cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    x, y = _grid()
    tilt = rng.normal(0, 0.08, 3).astype(np.float32)
    posed *= rng.uniform(0.75, 1.15) * (1 + tilt[0] * x + tilt[1] * y + tilt[2] * x * y)
    noise = rng.standard_normal((2, *SHEET), np.float32) * np.float32(rng.uniform(2, 6))
    pixels = cv2.convertScaleAbs(cv2.magnitude(posed + noise[0], noise[1]))
    interpolation = cv2.INTER_CUBIC if size_px > SHEET_PX else cv2.INTER_AREA
    resized = cv2.resize(pixels, (size_px, size_px), interpolation=interpolation)
    return np.asarray(resized, np.uint8)


def _pose(rng: np.random.Generator) -> tuple[Sheet, Sheet]:
    """Return where each pixel looks: turned, scaled, shifted and bent a little."""
    x, y = _grid()
    half = SHEET_PX / 2
    angle = rng.normal(0, np.radians(3.5))
    scale_x, scale_y = (half * rng.uniform(0.96, 1.08, 2)).astype(np.float32)
    shift_x, shift_y = (half - 0.5 + rng.uniform([-6, -7], [6, 4])).astype(np.float32)
    cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    map_x = scale_x * (cos * x - sin * y) + shift_x + _BEND_PX * smooth_noise(rng, _BEND_PERIOD_PX)
    map_y = scale_y * (sin * x + cos * y) + shift_y + _BEND_PX * smooth_noise(rng, _BEND_PERIOD_PX)
    return map_x, map_y


@cache
def _grid() -> tuple[Sheet, Sheet]:
    """Return the x and y of each pixel of the sheet, -1 to 1."""
    axis = np.linspace(-1, 1, SHEET_PX, dtype=np.float32)
    x, y = np.meshgrid(axis, axis)
    return x, y


def _write(path: Path, content: bytes) -> None:
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def _check_range(name: str, value: int, limits: tuple[int, int]) -> None:
    if not limits[0] <= value <= limits[1]:
        raise OptionError(f"{name} {value}; expected {limits[0]} to {limits[1]}")


def _position(name: str, value: str | None, known: tuple[str, ...]) -> int:
    if value not in known:
        raise OptionError(f"unknown {name} {value!r}; expected one of {', '.join(known)}")
    return known.index(value)
