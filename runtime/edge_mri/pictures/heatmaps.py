"""Heatmaps as pictures: a model's map over the image, in the image's own geometry.

Where the map comes from is `edge_mri.answers.location`. Every picture says that it explains an
answer and is no evidence for it.
"""

import hashlib
import math
import os
import re
import threading
from dataclasses import replace
from pathlib import Path, PurePath

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_mri.answers.location import Box, Map, on_image
from edge_mri.answers.prediction import PRESENT, Prediction
from edge_mri.errors import OutputError
from edge_mri.images.preprocess import Placement, PreprocessSpec

Colours = NDArray[np.uint8]

NOTE = "Explanation of the answer, not evidence. Not for diagnosis."
SCALES = {
    "lesion": "suspected lesion, 0 to 1",
    "cam": "class activation, relative to its peak",
}
"""What the colours of a map mean, by the graph's output that it comes from."""

OPACITY = 0.6
MOST_PX = 2048
"""The longer side of the largest image that is drawn pixel on pixel: memory has an end."""

_NARROWEST_PX = 224  # a caption needs room
_WIDE_PX = 448  # twice as wide a picture, as people see it, needs letters and lines twice as large
_LINE_PX = 14
_BAR_PX = 8
_MARGIN_PX = 4
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_FONT_SCALE = 0.34
_INK = (225, 225, 225)
_BOX_INK = (255, 255, 255)
_BOX_SHADE = (0, 0, 0)
_LONGEST_NAME = 60


class HeatmapWriter:
    """Writes the heatmap of each image into one folder; several threads may call it.

    It is what `Classifier.stream` takes as `finish`. The image lies in the upper left corner of
    its picture, a caption below it: pixel on pixel, or shrunk to `MOST_PX` where it is larger.
    """

    def __init__(self, folder: Path, spec: PreprocessSpec, scale: str) -> None:
        """Make the folder.

        Args:
            folder: Where the pictures go.
            spec: Of the model.
            scale: What the colours mean, a value of `SCALES`.

        Raises:
            OutputError: The folder cannot be made.
        """
        self.folder = folder
        self._spec = spec
        self._scale = scale
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError.of(folder, error) from error

    def __call__(
        self, record: Prediction, image: NDArray[np.uint8], cells: Map | None
    ) -> Prediction:
        """Write a picture; return the record with its name.

        Args:
            record: Of the image.
            image: `(H, W)` uint8 grey.
            cells: `(h, w)`, 0 to 1, over the network's input; None: nothing is written.

        Raises:
            OutputError: The picture cannot be written.
        """
        if cells is None:
            return record
        captioned = heatmap(record, image, cells, self._spec, self._scale)
        name = heatmap_name(record.path, record.frame)
        data = png_bytes(captioned)
        target = self.folder / name
        temporary = self.folder / f".{name}.{os.getpid()}-{threading.get_ident()}"
        try:
            temporary.write_bytes(data)
            temporary.replace(target)
        except OSError as error:
            temporary.unlink(missing_ok=True)
            raise OutputError.of(target, error) from error
        return replace(record, heatmap=name)


def heatmap(
    record: Prediction, image: NDArray[np.uint8], cells: Map, spec: PreprocessSpec, scale: str
) -> Colours:
    """Draw a map over its image, with the box and a caption that names no file.

    Args:
        record: Of the image.
        image: `(H, W)` uint8 grey.
        cells: `(h, w)`, 0 to 1, over the network's input.
        spec: Of the model.
        scale: What the colours mean, a value of `SCALES`.

    Returns:
        `(H', W', 3)` uint8 BGR; the image lies in its upper left corner.
    """
    place = Placement.of(image.shape, spec)
    shown = _shrunk(image)
    height, width = shown.shape
    picture = overlay(shown, on_image(cells, replace(place, width=width, height=height)))
    if record.box is not None:
        _draw_box(picture, _box_on(picture, record.box, place))
    return _captioned(picture, _lines(record), scale)


def png_bytes(picture: Colours) -> bytes:
    """Return a picture as a PNG file."""
    return cv2.imencode(".png", picture)[1].tobytes()


def heatmap_name(path: str, frame: int | None = None) -> str:
    """Return the file name of a heatmap: one for each path and frame, never outside its folder.

    What people recognise comes first, then a hash of the whole path.
    """
    stem = (
        re.sub(r"[^A-Za-z0-9_-]+", "_", PurePath(path).stem)[:_LONGEST_NAME].strip("_") or "image"
    )
    digest = hashlib.sha256(path.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    part = "" if frame is None else f"-{frame:04}"
    return f"{stem}{part}-{digest}.png"


def overlay(image: NDArray[np.uint8], heat: Map) -> Colours:
    """Lay heat over an image.

    Args:
        image: `(H, W)` uint8 grey.
        heat: `(H, W)`, 0 to 1: at 0 the image stays as it is, at 1 it is covered most.

    Returns:
        `(H, W, 3)` uint8 BGR.
    """
    grey = image[..., np.newaxis]
    mixed = coloured(heat).astype(np.float32)  # in place from here: 12 bytes a pixel
    mixed -= grey
    mixed *= (OPACITY * np.clip(heat, 0, 1))[..., np.newaxis]
    mixed += grey
    return np.rint(mixed, out=mixed).astype(np.uint8)


def coloured(heat: Map) -> Colours:
    """Return `(H, W, 3)` uint8 BGR colours of heat from 0 to 1."""
    levels = np.rint(np.clip(heat, 0, 1) * 255).astype(np.uint8)
    return np.asarray(cv2.applyColorMap(levels, cv2.COLORMAP_TURBO), np.uint8)


def _shrunk(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    height, width = image.shape
    scale = MOST_PX / max(height, width)
    if scale >= 1:
        return image
    size = (max(round(width * scale), 1), max(round(height * scale), 1))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)


def _box_on(picture: Colours, box: Box, place: Placement) -> Box:
    """Return a box of the image, in the pixels of its picture, of which it covers any part."""
    x, y, width, height = box
    across, down = picture.shape[1] / place.width, picture.shape[0] / place.height
    left, top = int(x * across), int(y * down)
    right, bottom = math.ceil((x + width) * across), math.ceil((y + height) * down)
    return left, top, right - left, bottom - top


def _draw_box(picture: Colours, box: Box) -> None:
    """Draw a box, light with a dark line inside, so that it is seen on any grey."""
    x, y, width, height = box
    times = _enlargement(picture.shape[1])
    inks = [_BOX_INK] * times + [_BOX_SHADE] * times
    for inset, ink in enumerate(inks[: max(min(width, height) // 4, 1)]):
        corner = (x + width - 1 - inset, y + height - 1 - inset)
        cv2.rectangle(picture, (x + inset, y + inset), corner, ink, 1)


def _enlargement(width: int) -> int:
    """Return how many times its plain size writing and lines have in a picture of a width."""
    return max(round(width / _WIDE_PX), 1)


def _present(record: Prediction) -> str:
    word = (record.present_key or "").removesuffix("_probability")
    return "tumour" if record.present_key == PRESENT else word


def _lines(record: Prediction) -> list[str]:
    """Return the caption, in ASCII: OpenCV's font has no more."""
    said = record.type or ""
    if record.tumor_probability is not None:
        said += f", P({_present(record)}) {record.tumor_probability:.2f}"
    if record.rejected:
        said = f"rejected ({record.rejected}): {said}"
    return [said, *NOTE.replace(". ", ".\n").splitlines()]


def _captioned(picture: Colours, lines: list[str], scale: str) -> Colours:
    """Put a strip with a colour scale and lines of text below a picture."""
    height, width = picture.shape[:2]
    wide = max(width, _NARROWEST_PX)
    times = _enlargement(wide)
    margin, bar, line = times * _MARGIN_PX, times * _BAR_PX, times * _LINE_PX
    canvas = np.zeros((height + 3 * margin + bar + line * (len(lines) + 1), wide, 3), np.uint8)
    canvas[:height, :width] = picture
    top = height + margin
    ramp = np.linspace(0, 1, times * _NARROWEST_PX - 2 * margin, dtype=np.float32)
    colours = coloured(np.repeat(ramp[np.newaxis], bar, axis=0))
    canvas[top : top + bar, margin : margin + len(ramp)] = colours
    for number, text in enumerate([scale, *lines], start=1):
        place = (margin, top + bar + number * line)
        size = times * _FONT_SCALE
        cv2.putText(canvas, text, place, _FONT, size, _INK, times, cv2.LINE_AA)
    return canvas
