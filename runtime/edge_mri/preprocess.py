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
    scale = spec.size / longer
    fitted = (max(round(width * scale), 1), max(round(height * scale), 1))
    image = _resize(image, fitted, cv2.INTER_LINEAR_EXACT)
    if fitted == (spec.size, spec.size):
        return image[np.newaxis]
    canvas = np.zeros((1, spec.size, spec.size), np.uint8)
    left, top = (spec.size - fitted[0]) // 2, (spec.size - fitted[1]) // 2
    canvas[0, top : top + fitted[1], left : left + fitted[0]] = image
    return canvas


def preprocess_batch(images: Iterable[Image], spec: PreprocessSpec) -> Image:
    """Turn grey images into one `(N, 1, S, S)` uint8 batch."""
    return np.stack([preprocess(image, spec) for image in images])


def _resize(image: Image, size: tuple[int, int], interpolation: int) -> Image:
    if (image.shape[1], image.shape[0]) == size:
        return image
    resized: Image = np.asarray(cv2.resize(image, size, interpolation=interpolation))
    return resized
