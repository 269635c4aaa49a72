"""Everything deeper than 8 bits as 8 bits of grey: one rule, whatever file it comes in.

16-bit PNG and TIFF, floating point, DICOM and NIfTI. A pixel that stands alone far above or below
all of its neighbours is a defect of the detector: it takes the nearest value among them. What is
an 8-bit image in a wider type is shown as that image. All else is shown between its darkest and
its brightest value, those left out that lie far from the rest. Measured over 90 slices in all
dresses: docs/decisions/0057.
"""

import math
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_mri.images.pixels.grey import Grey, apply_window

Range = tuple[float, float]
Pixels = NDArray[Any]

DARKEST_PERCENT = 0.5
BRIGHTEST_PERCENT = 99.5
MARGIN = 0.5
"""How far beyond these percentiles a value may lie, in their distance, and still set the range."""

ALONE = 0.3
"""How far from all neighbours a pixel stands alone, in the distance of the percentiles."""

_SAMPLE = 250_000  # values that a range is taken from: more add time, not accuracy
_FEW = 0.005  # share of lone pixels up to which they are defects, and no texture
_NEIGHBOURS = np.array([[1, 1, 1], [1, 0, 1], [1, 1, 1]], np.uint8)
_DIMMEST, _DIMMEST_WHOLE = 128, 32  # an 8-bit image with a darker brightest value is stretched
_LEAST_ROUNDED = 4  # the step of 10 bits in place of 8
_DEFECTS = 16  # values between those of an 8-bit image
_OFF_GRID = 0.001  # share of pixels that may have such a value
_OF_OPENCV = ("uint16", "int16", "float32", "float64")


def eight_bits(pixels: Pixels) -> Grey:
    """Show one image of any depth.

    Args:
        pixels: `(H, W)` of any real type.

    Returns:
        `(H, W)` uint8; what is not finite is black. 8 bits stay as they are.
    """
    if pixels.dtype == np.uint8:
        return pixels
    whole = without_lone_pixels(pixels)
    return apply_window(whole, *value_range(whole))


def without_lone_pixels(pixels: Pixels, spread: float | None = None) -> Pixels:
    """Return an image whose lone pixels have the nearest value among their eight neighbours.

    Args:
        pixels: `(H, W)`; what is not finite becomes the darkest value. 8 bits stay as they are.
        spread: Distance of the darkest and the brightest percentile; None: those of `pixels`.
    """
    if pixels.dtype.itemsize == 1 or min(pixels.shape) < 3:
        return pixels
    whole = pixels
    if pixels.dtype.kind == "f":
        finite = np.isfinite(pixels)
        if not finite.any():
            return np.zeros_like(pixels)
        if not finite.all():
            whole = np.where(finite, pixels, pixels[finite].min())
    native = whole.dtype.newbyteorder("=")
    whole = np.ascontiguousarray(whole, native if native.name in _OF_OPENCV else np.float64)
    if spread is None:
        low, high = _percentiles(_sampled(whole))
        spread = high - low
    highest, lowest = cv2.dilate(whole, _NEIGHBOURS), cv2.erode(whole, _NEIGHBOURS)
    above, below = _beyond(whole, highest, ALONE * spread), _beyond(lowest, whole, ALONE * spread)
    if not 0 < np.count_nonzero(above | below) <= _FEW * whole.size:
        return whole
    mended = whole.copy()
    np.copyto(mended, lowest, where=below)
    np.copyto(mended, highest, where=above)
    return mended


def _beyond(larger: Pixels, smaller: Pixels, most: float) -> NDArray[np.bool_]:
    """Say where one image is more than `most` above another."""
    quick = cv2.subtract(larger, smaller)
    if quick.dtype.kind in "iu":  # it stops at the type's ends, which are further than `most`
        return np.asarray(quick > math.floor(most))
    if quick.max() < most * (1 - 1e-6):  # rounded as it is
        return np.zeros(quick.shape, bool)
    with np.errstate(over="ignore"):
        return np.subtract(larger, smaller, dtype=np.float64) > most


def value_range(pixels: Pixels) -> Range:
    """Return the values to show as 0 and as 255; large arrays are sampled evenly.

    Args:
        pixels: An image or a volume, of any shape and real type.
    """
    sample = _sampled(pixels)
    if not sample.size:
        return 0.0, 0.0
    low, high = _percentiles(sample)
    margin = MARGIN * (high - low)
    inside = sample[(sample >= low - margin) & (sample <= high + margin)]
    low, high = float(inside.min()), float(inside.max())
    return _eight_bit_range(inside) or (low, high)


def spread_of(pixels: Pixels) -> float:
    """Return the distance of the darkest and the brightest percentile of an image or a volume."""
    low, high = _percentiles(_sampled(pixels))
    return high - low


def _sampled(pixels: Pixels) -> Pixels:
    flat = pixels.ravel(order="K")  # as it lies in memory: a view where it can be one
    flat = flat[:: max(flat.size // _SAMPLE, 1)]
    return flat[np.isfinite(flat)] if flat.dtype.kind == "f" else flat


def _percentiles(sample: Pixels) -> Range:
    """Return two percentiles of what is above the darkest value.

    That value is left out because air, masks and padding share it and may fill most of an image.
    """
    if not sample.size:
        return 0.0, 0.0
    if sample.dtype.kind in "iu" and sample.dtype.itemsize <= 2:
        return _percentiles_of_counts(*_values_and_counts(sample))
    darkest = sample.min()
    above = sample[sample > darkest]
    if not above.size:
        return float(darkest), float(darkest)
    low, high = np.percentile(above, (DARKEST_PERCENT, BRIGHTEST_PERCENT))
    return float(low if high > low else darkest), float(high)


def _percentiles_of_counts(values: Pixels, counts: NDArray[np.intp]) -> Range:
    """Return the same from ascending values and how often each is there: no sorting."""
    darkest = float(values[0])
    behind = counts[1:].cumsum()  # how many are no larger than each value above the darkest
    if not behind.size:
        return darkest, darkest

    def at(percent: float) -> float:
        place = float(behind[-1] - 1) * (percent / 100)
        near = int(place)
        places = (near, min(near + 1, int(behind[-1]) - 1))
        low, high = values[1 + np.searchsorted(behind, places, side="right")].astype(np.float64)
        weight = place - near  # as `np.percentile` interpolates, to the bit
        if weight < 0.5:
            return float(low + (high - low) * weight)
        return float(high - (high - low) * (1 - weight))

    low, high = at(DARKEST_PERCENT), at(BRIGHTEST_PERCENT)
    return low if high > low else darkest, high


def _values_and_counts(sample: Pixels) -> tuple[Pixels, NDArray[np.intp]]:
    """Return what `np.unique` does; of few bits faster."""
    if sample.dtype.kind not in "iu" or sample.dtype.itemsize > 2 or not sample.size:
        return np.unique(sample, return_counts=True)
    lowest = int(sample.min()) if sample.dtype.kind == "i" else 0
    above = sample.reshape(-1).astype(np.intp)
    if lowest:
        above -= lowest
    counts = np.bincount(above)
    values = np.flatnonzero(counts)
    return (values + lowest).astype(sample.dtype), counts[values]


def _eight_bit_range(sample: Pixels) -> Range | None:
    """Return black and white of an 8-bit image in a wider type; None where it is none.

    Its values are at most 256, evenly spaced from 0, or from the darkest where that is negative;
    in whole numbers they may be rounded.
    """
    values, counts = _values_and_counts(sample)
    if not 1 < values.size <= 256 + _DEFECTS:
        return None
    base = min(float(values[0]), 0.0)
    above = values.astype(np.float64) - base
    step, off = _grid(above, is_whole=sample.dtype.kind in "iu")
    if counts[off].sum() > _OFF_GRID * sample.size:
        return None
    brightest = np.rint(above[~off] / step).max(initial=0)
    # Where steps are wider than one, every second value of the image may be missing.
    dimmest = _DIMMEST_WHOLE if step == 1 else _DIMMEST
    return (base, base + 255 * step) if dimmest <= brightest <= 255 else None


def _grid(values: NDArray[np.float64], *, is_whole: bool) -> tuple[float, NDArray[np.bool_]]:
    """Return the step of a grid through 0 that ascending values lie on, and which lie beside it.

    Whole numbers may be rounded, unless the step is so small that all would be near a grid.
    """
    between = np.diff(values)
    step = float(np.quantile(between, 0.25))
    off = np.zeros(values.size, bool)
    slack = 0.5 if is_whole and step >= _LEAST_ROUNDED else 0.002 * step
    if slack == 0.5:
        step = float(between[np.abs(between - step) <= 1].mean())
    lowest, highest = step - slack, step + slack
    for place, value in enumerate(values):  # each bounds the step, the higher the closer
        number = np.rint(value / step)
        if number == 0:
            off[place] = value > slack
            continue
        least, most = (value - slack) / number, (value + slack) / number
        if least > highest or most < lowest:
            off[place] = True
            continue
        lowest, highest = max(lowest, least), min(highest, most)
        step = (lowest + highest) / 2
    return step, off
