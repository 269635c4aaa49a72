"""Brightness, contrast, and the faults of scanner and storage: none moves a pixel."""

from dataclasses import replace

import cv2
import numpy as np

from edge_mri_train.augmentation.view import View

_LOG_GAMMA = 0.45
_GAIN = 0.2
_BIAS = 0.35
_NOISE = 0.05
_LOWEST_RESOLUTION = 0.35
_BLUR_PX = 1.2
_WORST_QUALITY = 30
_CURVE_KNOTS = 5


def gamma(view: View, rng: np.random.Generator) -> View:
    """Bend intensities by a power."""
    return _clipped(view, np.power(view.image, np.exp(rng.uniform(-_LOG_GAMMA, _LOG_GAMMA))))


def gain(view: View, rng: np.random.Generator) -> View:
    """Make all of it brighter or darker."""
    return _clipped(view, view.image * (1 + rng.uniform(-_GAIN, _GAIN)))


def curve(view: View, rng: np.random.Generator) -> View:
    """Map intensities through a random smooth curve that keeps black black.

    Tissues change their order, as they do from one MR contrast to another.
    """
    knots = np.linspace(0, 1, _CURVE_KNOTS)
    values = np.concatenate([[0.0], rng.uniform(0.1, 1, _CURVE_KNOTS - 1)])
    order = np.sort(values)
    mixed = order + rng.uniform(0, 1) * (values - order)
    return _clipped(view, np.interp(view.image, knots, mixed))


def bias_field(view: View, rng: np.random.Generator) -> View:
    """Multiply by a smooth field, as an uneven receive coil does."""
    coarse = np.exp(rng.uniform(-_BIAS, _BIAS, (3, 3))).astype(np.float32)
    size = view.image.shape[0]
    field = cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC)
    return _clipped(view, view.image * field)


def noise(view: View, rng: np.random.Generator) -> View:
    """Add noise as a magnitude image has it (Rician; Gudbjartsson and Patz 1995)."""
    deviation = rng.uniform(0, _NOISE)
    shape = (2, *view.image.shape)
    real, imaginary = deviation * rng.standard_normal(shape, np.float32)
    return _clipped(view, np.hypot(view.image + real, imaginary))


def blur(view: View, rng: np.random.Generator) -> View:
    """Blur a little."""
    return _clipped(view, cv2.GaussianBlur(view.image, (0, 0), rng.uniform(0.3, _BLUR_PX)))


def resolution(view: View, rng: np.random.Generator) -> View:
    """Shrink and enlarge, as an image that was stored small."""
    size = view.image.shape[0]
    small = max(round(size * rng.uniform(_LOWEST_RESOLUTION, 1)), 16)
    shrunk = cv2.resize(view.image, (small, small), interpolation=cv2.INTER_AREA)
    return _clipped(view, cv2.resize(shrunk, (size, size), interpolation=cv2.INTER_LINEAR))


def jpeg(view: View, rng: np.random.Generator) -> View:
    """Store as JPEG of a random quality and read back."""
    quality = int(rng.integers(_WORST_QUALITY, 95))
    pixels = np.round(view.image * 255).astype(np.uint8)
    _, code = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return _clipped(view, np.asarray(cv2.imdecode(code, cv2.IMREAD_GRAYSCALE)) / 255)


def _clipped(view: View, image: object) -> View:
    return replace(view, image=np.clip(np.asarray(image, np.float32), 0, 1))
