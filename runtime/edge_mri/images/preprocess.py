"""The one preprocessing: from a grey image to what a network sees.

Training, calibration, evaluation, benchmarks and inference all call `preprocess`, so that a model
meets on the device what it met in training. Decoding files is `edge_mri.images`; normalisation
is the first node of the ONNX graph.
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_mri.errors import ContractError, OptionError

Image = NDArray[np.uint8]

DECODES = ("full", "reduced")

_MIN_SIZE_PX = 16
_MAX_SIZE_PX = 1024


@dataclass(frozen=True)
class PreprocessSpec:
    """What turns an image into network input; a model carries the spec it was trained with.

    Attributes:
        size: Side S of the square network input, in pixels.
        fit: `letterbox`: the longer side becomes S, the rest is black, the image centred.
        resize: `halve-bilinear`: box averages by the largest power of two that leaves the longer
            side at S or more, then bilinear interpolation (OpenCV's bit-exact variant, so that
            every CPU gives the same pixels).
        decode: `full`, or `reduced`: a JPEG that `resize` would halve, and whose sides are both
            even, is decoded at half its size, which is within rounding of decoding and halving
            it and takes two thirds of the time.
    """

    size: int
    fit: str = "letterbox"
    resize: str = "halve-bilinear"
    decode: str = "full"

    def __post_init__(self) -> None:
        if not isinstance(self.size, int) or not _MIN_SIZE_PX <= self.size <= _MAX_SIZE_PX:
            raise OptionError(
                f"image size {self.size} px; "
                f"expected a whole number from {_MIN_SIZE_PX} to {_MAX_SIZE_PX}"
            )
        if self.fit != "letterbox" or self.resize != "halve-bilinear":
            raise OptionError(
                f"unknown preprocessing fit={self.fit!r}, resize={self.resize!r}; "
                "this version knows fit='letterbox', resize='halve-bilinear'"
            )
        if self.decode not in DECODES:
            raise OptionError(
                f"unknown preprocessing decode={self.decode!r}; "
                f"this version knows {', '.join(DECODES)}"
            )

    @property
    def reduce_to(self) -> int | None:
        """The side that a decoder may reduce an image towards; None: it must decode all of it."""
        return self.size if self.decode == "reduced" else None

    def to_dict(self) -> dict[str, Any]:
        """Return the spec as JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "PreprocessSpec":
        """Read a spec back; raises `ContractError` on keys or values it does not know."""
        try:
            return cls(**values)
        except (TypeError, OptionError) as error:
            raise ContractError(f"preprocessing: {error}") from error


@dataclass(frozen=True)
class Placement:
    """Where an image lies in the square network input, and the way from one to the other.

    Coordinates are `(x, y)` and continuous: pixel i covers i to i + 1. `preprocess` resizes with
    aligned edges, so that the way is a scale and a shift on each axis.

    Attributes:
        width: Of the image, in pixels.
        height: Of the image.
        size: Side S of the input.
        fitted_width: Pixels of the input that the image covers, side by side.
        fitted_height: The same, one above the other.
    """

    width: int
    height: int
    size: int
    fitted_width: int
    fitted_height: int

    @classmethod
    def of(cls, shape: tuple[int, ...], spec: PreprocessSpec) -> "Placement":
        """Return where an image of shape `(H, W)` comes to lie."""
        height, width = shape[:2]
        scale = spec.size / max(height, width)
        return cls(
            width,
            height,
            spec.size,
            max(round(width * scale), 1),
            max(round(height * scale), 1),
        )

    @property
    def left(self) -> int:
        """First column of the input that the image covers."""
        return (self.size - self.fitted_width) // 2

    @property
    def top(self) -> int:
        """First row of the input that the image covers."""
        return (self.size - self.fitted_height) // 2

    def to_input(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Map `(N, 2)` points of the image to the input."""
        return points * self._scale + (self.left, self.top)

    def to_image(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Map `(N, 2)` points of the input to the image; what lies beside it maps beside it."""
        return (points - (self.left, self.top)) / self._scale

    @property
    def _scale(self) -> NDArray[np.float64]:
        return np.array([self.fitted_width / self.width, self.fitted_height / self.height])


def preprocess(image: Image, spec: PreprocessSpec) -> Image:
    """Turn one grey image into network input.

    Args:
        image: `(H, W)` uint8, 0 black.
        spec: What to do.

    Returns:
        `(1, S, S)` uint8.
    """
    height, width = image.shape
    longer = max(height, width)
    shrink = 1
    while longer // (2 * shrink) >= spec.size:
        shrink *= 2
    if shrink > 1:
        halved = (max(width // shrink, 1), max(height // shrink, 1))
        image = _resize(image, halved, cv2.INTER_AREA)
    place = Placement.of((height, width), spec)
    fitted = (place.fitted_width, place.fitted_height)
    image = _resize(image, fitted, cv2.INTER_LINEAR_EXACT)
    if fitted == (spec.size, spec.size):
        return image[np.newaxis]
    canvas = np.zeros((1, spec.size, spec.size), np.uint8)
    rows = slice(place.top, place.top + place.fitted_height)
    canvas[0, rows, place.left : place.left + place.fitted_width] = image
    return canvas


def preprocess_batch(images: Iterable[Image], spec: PreprocessSpec) -> Image:
    """Turn grey images into one `(N, 1, S, S)` uint8 batch."""
    return np.stack([preprocess(image, spec) for image in images])


def _resize(image: Image, size: tuple[int, int], interpolation: int) -> Image:
    if (image.shape[1], image.shape[0]) == size:
        return image
    resized: Image = np.asarray(cv2.resize(image, size, interpolation=interpolation))
    return resized
