"""The ways in which copies of an image differ, as edits whose result must lead back to it.

What `measure_duplicates.py` makes of them: how often an edited image is found.
"""

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_mri_train.duplicates.descriptors import turn
from edge_mri_train.duplicates.fingerprint import content_box

Image = NDArray[np.uint8]
Edit = Callable[[Image, np.random.Generator], Image]


def _jpeg(quality: int) -> Edit:
    def edit(image: Image, rng: np.random.Generator) -> Image:
        data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        return np.asarray(cv2.imdecode(data, cv2.IMREAD_GRAYSCALE), np.uint8)

    return edit


def _resized(width: int, height: int) -> Edit:
    return lambda image, rng: np.asarray(
        cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA), np.uint8
    )


def _cut(image: Image, top: float, bottom: float, left: float, right: float) -> Image:
    height, width = image.shape
    rows = slice(int(top * height), height - int(bottom * height))
    return np.ascontiguousarray(image[rows, int(left * width) : width - int(right * width)])


def _frame(*sides: float) -> Edit:
    return lambda image, rng: _cut(image, *sides)


def _head(*sides: float) -> Edit:
    return lambda image, rng: _cut(content_box(image).cut(image), *sides)


def _head_at_random(most: float) -> Edit:
    return lambda image, rng: _cut(content_box(image).cut(image), *rng.uniform(0, most, 4))


def _padded(share: float) -> Edit:
    def edit(image: Image, rng: np.random.Generator) -> Image:
        y, x = (int(share * side) for side in image.shape)
        return np.asarray(cv2.copyMakeBorder(image, y, y, x, x, cv2.BORDER_CONSTANT), np.uint8)

    return edit


def _levels(change: Callable[[NDArray[np.float64]], NDArray[np.float64]]) -> Edit:
    return lambda image, rng: np.clip(change(image.astype(np.float64)), 0, 255).astype(np.uint8)


def _gamma(power: float) -> Edit:
    return _levels(lambda image: 255 * (image / 255) ** power + 0.5)


def _noisy(image: Image, rng: np.random.Generator) -> Image:
    return np.clip(image + rng.normal(0, 8, image.shape), 0, 255).astype(np.uint8)


def _blurred(image: Image, rng: np.random.Generator) -> Image:
    return np.asarray(cv2.GaussianBlur(image, (0, 0), image.shape[1] / 224), np.uint8)


def _sharpened(image: Image, rng: np.random.Generator) -> Image:
    blurred = cv2.GaussianBlur(image, (0, 0), 2 * image.shape[1] / 224)
    return np.asarray(cv2.addWeighted(image, 2.5, blurred, -1.5, 0), np.uint8)


def _rotated(degrees: float) -> Edit:
    def edit(image: Image, rng: np.random.Generator) -> Image:
        height, width = image.shape
        warp = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1)
        return np.asarray(cv2.warpAffine(image, warp, (width, height)), np.uint8)

    return edit


def _turned(symmetry: int) -> Edit:
    return lambda image, rng: turn(image, symmetry)


def _chain(*edits: Edit) -> Edit:
    def edit(image: Image, rng: np.random.Generator) -> Image:
        for one in edits:
            image = one(image, rng)
        return image

    return edit


def _at_random(image: Image, rng: np.random.Generator) -> Image:
    return _chain(
        _turned(int(rng.integers(8))),
        _head_at_random(0.1),
        _gamma(float(np.exp(rng.uniform(-0.5, 0.5)))),
        _resized(224, 224),
        _jpeg(int(rng.integers(40, 95))),
    )(image, rng)


EDITS: dict[str, Edit] = {
    "JPEG 90": _jpeg(90),
    "JPEG 50": _jpeg(50),
    "JPEG 15": _jpeg(15),
    "to 224 x 224": _resized(224, 224),
    "to 64 x 64": _resized(64, 64),
    "to 224 x 150": _resized(224, 150),
    "mirrored": _turned(2),
    "upside down": _turned(1),
    "rotated by 90 degrees": _turned(5),
    "rotated by 180 degrees": _turned(3),
    "transposed": _turned(4),
    "padded by 10 %": _padded(0.1),
    "padded by 25 %": _padded(0.25),
    "frame cut by 5 % a side": _frame(0.05, 0.05, 0.05, 0.05),
    "frame cut by 10 % a side": _frame(0.1, 0.1, 0.1, 0.1),
    "frame cut by 15 % a side": _frame(0.15, 0.15, 0.15, 0.15),
    "head cut by 3 % a side": _head(0.03, 0.03, 0.03, 0.03),
    "head cut by 5 % a side": _head(0.05, 0.05, 0.05, 0.05),
    "head cut by 10 % a side": _head(0.1, 0.1, 0.1, 0.1),
    "head cut by 15 % a side": _head(0.15, 0.15, 0.15, 0.15),
    "head cut by 15 % below": _head(0, 0.15, 0, 0),
    "head cut by 12 % in a corner": _head(0.12, 0, 0.12, 0),
    "head cut by 0-10 % each side": _head_at_random(0.1),
    "head cut by 0-15 % each side": _head_at_random(0.15),
    "brightness + 30": _levels(lambda image: image + 30),
    "contrast x 0.5": _levels(lambda image: image * 0.5),
    "contrast x 1.6, clipped": _levels(lambda image: image * 1.6),
    "gamma 0.5": _gamma(0.5),
    "gamma 0.7": _gamma(0.7),
    "gamma 1.5": _gamma(1.5),
    "gamma 2.0": _gamma(2.0),
    "CLAHE": lambda image, rng: np.asarray(cv2.createCLAHE(2.0, (8, 8)).apply(image), np.uint8),
    "histogram equalised": lambda image, rng: np.asarray(cv2.equalizeHist(image), np.uint8),
    "noise of 8 levels": _noisy,
    "blurred": _blurred,
    "strongly sharpened": _sharpened,
    "rotated by 3 degrees": _rotated(3),
    "rotated by 6 degrees": _rotated(6),
    "rotated by 10 degrees": _rotated(10),
    "mirrored, to 128 x 128, JPEG 50": _chain(_turned(2), _resized(128, 128), _jpeg(50)),
    "head - 10 %, by 90 degrees, gamma 1.5": _chain(
        _head(0.1, 0.1, 0.1, 0.1), _turned(5), _gamma(1.5), _jpeg(70)
    ),
    "turn, head - 0-10 %, gamma, 224, JPEG": _at_random,
}
