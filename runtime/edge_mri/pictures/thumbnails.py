"""Small pictures of an image and of its map, as a page shows them."""

from dataclasses import dataclass, fields, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_mri.answers.location import Map, on_image
from edge_mri.answers.prediction import Prediction
from edge_mri.images.preprocess import Placement, PreprocessSpec
from edge_mri.pictures.heatmaps import OPACITY, coloured

THUMBNAIL_PX = 128
_HEAT_PX = 32
_JPEG_QUALITY = 72
_FAINTEST = 0.02  # a map that nobody would see is left out


@dataclass(frozen=True)
class Pictured(Prediction):
    """A record with pictures of its image; records are written without them.

    Attributes:
        size: `(width, height)` of the image in pixels.
        thumbnail: JPEG of the image.
        heat: PNG with transparency of the map over all of the image; None without a map.
    """

    size: tuple[int, int] | None = None
    thumbnail: bytes | None = None
    heat: bytes | None = None


def pictured(
    record: Prediction,
    image: NDArray[np.uint8],
    cells: Map | None,
    spec: PreprocessSpec,
    longest_px: int = THUMBNAIL_PX,
) -> Pictured:
    """Return a record with pictures.

    Args:
        record: Of the image.
        image: `(H, W)` uint8 grey.
        cells: `(h, w)`, 0 to 1, over the network's input; None: no map.
        spec: Of the model.
        longest_px: The longer side of the picture of a larger image.
    """
    height, width = image.shape
    quality = [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY]
    seen = cells is not None and cells.max() >= _FAINTEST
    return Pictured(
        **{one.name: getattr(record, one.name) for one in fields(Prediction)},
        size=(width, height),
        thumbnail=cv2.imencode(".jpg", _shrunk(image, longest_px), quality)[1].tobytes(),
        heat=_heat(cells, Placement.of(image.shape, spec)) if cells is not None and seen else None,
    )


def _shrunk(image: NDArray[np.uint8], longest_px: int) -> NDArray[np.uint8]:
    height, width = image.shape
    scale = min(longest_px / max(height, width), 1)
    size = (max(round(width * scale), 1), max(round(height * scale), 1))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)


def _heat(cells: Map, place: Placement) -> bytes:
    """Return a map over the whole image as PNG, the fainter the more transparent."""
    scale = _HEAT_PX / max(place.width, place.height)
    small = replace(
        place,
        width=max(round(place.width * scale), 1),
        height=max(round(place.height * scale), 1),
    )
    heat = np.clip(on_image(cells, small), 0, 1)
    cover = np.rint(255 * OPACITY * heat).astype(np.uint8)
    return cv2.imencode(".png", np.dstack([coloured(heat), cover]))[1].tobytes()
