"""Images that nobody took, and brain images as no scanner gives them: neither is brain MR.

Real images that are none come from folders (`edge_mri_export.gate.images`). Of those drawn here,
objects on black do most for kinds that were not shown: docs/decisions/0070.
"""

from collections.abc import Callable, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_mri.images.preprocess import PreprocessSpec, preprocess

Image = NDArray[np.uint8]

SPOILED_IMAGES = 300
"""Brain images per kind of change."""

_DRAWN = 100
_SIDE_PX = 224
_SMALLEST_CUT_PX = 60


def made_up(brains: Sequence[Image], spec: PreprocessSpec) -> dict[str, Image]:
    """Return drawn and spoiled images as network input `(M, 1, S, S)` uint8, the same each time."""
    rng = np.random.default_rng(0)
    groups = drawn(rng) | spoiled(brains, rng)
    return {
        name: np.stack([preprocess(image, spec) for image in images])
        for name, images in groups.items()
    }


def drawn(rng: np.random.Generator) -> dict[str, list[Image]]:
    """Return noise, even grey, text, photographs and objects, `(H, W)` uint8, by kind."""
    shape = (_SIDE_PX, _SIDE_PX)
    photographs = _photographs(2 * _DRAWN, rng)
    return {
        "uniform noise": [rng.integers(0, 256, shape, np.uint8) for _ in range(_DRAWN)],
        "normal noise": [_normal_noise(rng) for _ in range(_DRAWN)],
        "smooth noise": [_smooth_noise(rng) for _ in range(_DRAWN)],
        "blank": [np.full(shape, level, np.uint8) for level in range(0, 256, 5)],
        "text": [_text(rng) for _ in range(_DRAWN)],
        "photographs": photographs[:_DRAWN],
        "objects": [_object(image, rng) for image in photographs[_DRAWN:]],
    }


def spoiled(brains: Sequence[Image], rng: np.random.Generator) -> dict[str, list[Image]]:
    """Return some of N brain images `(H, W)` uint8 in which no brain is left, by kind."""
    chosen = [brains[row] for row in rng.permutation(len(brains))[:SPOILED_IMAGES]]
    changes: dict[str, Callable[[Image], Image]] = {
        "cut to a quarter": lambda image: _quarter(image, rng),
        "inverted": lambda image: np.asarray(255 - image, np.uint8),
        "torn into tiles": lambda image: _tiles(image, rng),
    }
    return {name: [change(image) for image in chosen] for name, change in changes.items()}


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


def _photographs(count: int, rng: np.random.Generator) -> list[Image]:
    """Cut from the two photographs that scikit-learn brings, some mirrored, some negative."""
    from sklearn.datasets import load_sample_images

    whole = [cv2.cvtColor(one, cv2.COLOR_RGB2GRAY) for one in load_sample_images().images]
    cut = []
    for _ in range(count):
        image = np.asarray(whole[rng.integers(len(whole))], np.uint8)
        height = width = int(rng.integers(_SMALLEST_CUT_PX, min(image.shape) + 1))
        if rng.random() < 0.3:
            width = int(rng.integers(_SMALLEST_CUT_PX, min(image.shape) + 1))
        y = int(rng.integers(0, image.shape[0] - height + 1))
        x = int(rng.integers(0, image.shape[1] - width + 1))
        part = image[y : y + height, x : x + width]
        part = part[:, ::-1] if rng.random() < 0.5 else part
        cut.append(np.ascontiguousarray(255 - part if rng.random() < 0.3 else part))
    return cut


def _object(texture: Image, rng: np.random.Generator) -> Image:
    """Cut an ellipse out of a picture and lay it on black, half of them with a bright rim.

    As a body part lies in the air of its image, bone around it in CT.
    """
    height, width = texture.shape
    inside = np.zeros((height, width), np.uint8)
    middle = (width // 2, height // 2)
    axes = (int(width * rng.uniform(0.25, 0.48)), int(height * rng.uniform(0.3, 0.48)))
    cv2.ellipse(inside, middle, axes, float(rng.uniform(0, 180)), 0, 360, 1, cv2.FILLED)
    image = np.asarray(texture * inside, np.uint8)
    if rng.random() < 0.5:
        thick = int(rng.integers(3, max(4, height // 15)))
        rim = cv2.morphologyEx(inside, cv2.MORPH_GRADIENT, np.ones((thick, thick), np.uint8))
        image[rim > 0] = rng.integers(150, 256)
    return image


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
