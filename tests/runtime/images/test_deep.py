"""What is deeper than 8 bits: the same image in every dress, defects that show nowhere."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_mri.images import decode_image, grey_array
from edge_mri.images.pixels.deep import (
    BRIGHTEST_PERCENT,
    DARKEST_PERCENT,
    eight_bits,
    spread_of,
    value_range,
    without_lone_pixels,
)


def head(brightest: int = 255, seed: int = 0, side: int = 96) -> np.ndarray:
    """A smooth bright blob on black with grain in it, in 8 bits."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[-1 : 1 : side * 1j, -1 : 1 : side * 1j]
    blob = np.clip(1.2 - np.hypot(x, y * 0.8) * 1.3, 0, 1) + rng.normal(0, 0.01, (side, side))
    return np.rint(np.clip(blob, 0, 1) * brightest).astype(np.uint8)


def deeper(image: np.ndarray, step: float, dtype: object) -> np.ndarray:
    values = image.astype(np.float64) * step
    return (values if np.dtype(dtype).kind == "f" else np.rint(values)).astype(dtype)


@pytest.mark.parametrize(
    ("step", "dtype"),
    [
        (1, np.uint16),
        (4, np.uint16),
        (1023 / 255, np.uint16),
        (16, np.int16),
        (4095 / 255, ">u2"),
        (257, np.uint16),
        (1234.5, np.int32),
        (1 / 255, np.float32),
        (1.0, np.float64),
        (13.7, ">f4"),
        (1e-9, np.float64),
    ],
)
@given(brightest=st.integers(130, 255), seed=st.integers(0, 50))
@settings(max_examples=10)
def test_eight_bits_are_the_same_in_any_wider_type(step, dtype, brightest, seed):
    image = head(brightest, seed)
    expected = eight_bits(image)
    assert expected is image
    shown = eight_bits(deeper(image, step, dtype))
    assert shown.dtype == np.uint8
    lone = without_lone_pixels(image.astype(np.uint16)) != image
    np.testing.assert_array_equal(shown[~lone], image[~lone])


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize(("step", "hot"), [(16, 65535), (16, 4095), (257, 65535)])
def test_hot_pixels_of_a_file_show_nowhere(suffix, step, hot):
    image = head()
    deep = deeper(image, step, np.uint16)
    places = np.random.default_rng(1).choice(deep.size, 20, replace=False)
    deep.reshape(-1)[places] = hot
    shown = decode_image(bytes(cv2.imencode(suffix, deep)[1])).astype(int)
    assert np.abs(np.delete(shown, places) - np.delete(image, places)).max() <= 1
    assert np.abs(shown - image).max() <= 255 * 0.3 + 20  # no further than a pixel may stand alone


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int16, np.int32])
def test_cold_pixels_show_nowhere_either(dtype):
    deep = deeper(head(), 16, dtype)
    deep[40, 40], deep[50, 45] = -30_000, -2
    shown = eight_bits(deep).astype(int)
    assert np.abs(shown - head()).max() < 40


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_no_number_is_black_and_moves_nothing(bad):
    deep = deeper(head(), 1 / 255, np.float32)
    deep[10:12, 20] = bad
    expected = head()
    expected[10:12, 20] = 0
    np.testing.assert_array_equal(eight_bits(deep), expected)
    assert eight_bits(np.full((8, 8), bad, np.float32)).max() == 0


def test_a_measurement_is_shown_from_its_darkest_to_its_brightest_value():
    values = np.random.default_rng(0).normal(1000, 100, (64, 64))
    smooth = cv2.GaussianBlur(values, None, 5)
    shown = eight_bits(smooth)
    assert (shown.min(), shown.max()) == (0, 255)
    assert shown[np.unravel_index(smooth.argmax(), smooth.shape)] == 255


def test_values_far_from_the_rest_set_no_range():
    values = np.random.default_rng(0).uniform(0, 1000, 100_000)
    values[:20], values[20:40] = 1e6, -1e6
    low, high = value_range(values)
    assert low == pytest.approx(0, abs=1)
    assert high == pytest.approx(1000, abs=1)


def test_texture_keeps_its_peaks():
    noise = np.random.default_rng(0).integers(0, 65536, (64, 64)).astype(np.uint16)
    np.testing.assert_array_equal(without_lone_pixels(noise), noise)


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (2, 5), (3, 3), (7, 3)])
@pytest.mark.parametrize("dtype", [np.uint16, np.float32, np.int64, np.uint32, np.int8])
def test_images_of_any_shape_and_type_are_shown(shape, dtype):
    values = np.arange(np.prod(shape)).reshape(shape).astype(dtype)
    assert eight_bits(values).shape == shape
    assert eight_bits(np.zeros(shape, dtype)).max() == 0
    assert grey_array(eight_bits(values)).dtype == np.uint8


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.integers(0, 1) | st.integers(-32768, 32767), min_size=1, max_size=300),
    st.sampled_from(["<i2", ">i2", "<u2", "i1", "u1"]),
)
def test_the_spread_of_few_bits_is_that_of_numpys_percentiles(values, dtype):
    """They are counted, not sorted; the answer is the same to the bit."""
    pixels = np.array(values).astype(dtype)
    above = pixels[pixels > pixels.min()].astype(np.float64)
    if not above.size:
        assert spread_of(pixels) == 0
        return
    low, high = np.percentile(above, (DARKEST_PERCENT, BRIGHTEST_PERCENT))
    expected = high - (low if high > low else float(pixels.min()))
    assert spread_of(pixels) == expected


@pytest.mark.parametrize("dtype", [np.int16, np.uint16, np.int32, np.float32, np.float64])
@pytest.mark.parametrize("ends", [(0, 30000), (-32768, 32767)])
def test_a_lone_pixel_goes_at_the_ends_of_a_type_too(dtype, ends):
    dark, bright = (max(end, 0) if dtype == np.uint16 else end for end in ends)
    pixels = np.full((40, 40), dark, dtype)
    pixels[:, 20:] = dark + 1000
    pixels[10, 10] = bright
    pixels[30, 30] = dark
    expected = pixels.copy()
    expected[10, 10] = dark
    expected[30, 30] = dark + 1000
    np.testing.assert_array_equal(without_lone_pixels(pixels), expected)
