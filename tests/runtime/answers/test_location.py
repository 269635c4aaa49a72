from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_mri.answers.decision import Answers
from edge_mri.answers.location import lesion_box, maps, on_image, peak
from edge_mri.images.preprocess import Placement, PreprocessSpec, preprocess
from edge_mri.labels import LabelSpace

TYPES = LabelSpace.for_task("type")
sides = st.integers(1, 400)


def place(height: int, width: int, size: int = 64) -> Placement:
    return Placement.of((height, width), PreprocessSpec(size))


def cells_of(image: np.ndarray, size: int = 64) -> np.ndarray:
    """A map as a network would make it: the mean of each 8 x 8 pixels of its input."""
    shown = preprocess(image, PreprocessSpec(size))[0].astype(np.float32) / 255
    return shown.reshape(size // 8, 8, size // 8, 8).mean(axis=(1, 3))


@given(height=sides, width=sides)
@settings(deadline=None)
def test_a_map_on_the_image_has_its_shape_and_stays_between_its_cells(height, width):
    cells = np.random.default_rng(height).random((8, 8), np.float32)
    heat = on_image(cells, place(height, width))
    assert heat.shape == (height, width)
    assert heat.dtype == np.float32
    assert heat.min() >= cells.min() - 1e-5
    assert heat.max() <= cells.max() + 1e-5


@given(height=sides, width=sides)
@settings(deadline=None)
def test_a_map_that_rises_evenly_rises_evenly_on_the_image(height, width):
    where = place(height, width)
    centres = (np.arange(8) + 0.5) * 8
    columns = np.tile(centres.astype(np.float32), (8, 1))
    pixels = np.column_stack([np.arange(width) + 0.5, np.full(width, 0.5)])
    expected = np.clip(where.to_input(pixels)[:, 0], 4, 60)
    np.testing.assert_allclose(on_image(columns, where)[0], expected, atol=1e-3)
    pixels = np.column_stack([np.full(height, 0.5), np.arange(height) + 0.5])
    expected = np.clip(where.to_input(pixels)[:, 1], 4, 60)
    np.testing.assert_allclose(on_image(columns.T, where)[:, 0], expected, atol=1e-3)


def spot(height: int, width: int, x: int, y: int, side: int) -> np.ndarray:
    image = np.zeros((height, width), np.uint8)
    image[y : y + side, x : x + side] = 255
    return image


def test_a_map_of_the_share_that_is_covered_gives_the_box_between_cells():
    errors = []
    for left, top, side in product(range(8, 16), range(8, 16), (16, 20, 24)):
        cells = cells_of(spot(64, 64, left, top, side))
        x, y, wide, high = lesion_box(cells, place(64, 64))
        edges = (x - left, y - top, x + wide - left - side, y + high - top - side)
        errors.append(max(map(abs, edges)))
    assert np.mean(errors) < 1.5
    assert max(errors) <= 4  # half a cell


@pytest.mark.parametrize(
    ("height", "width", "x", "y", "side"),
    [
        (64, 64, 40, 16, 16),
        (512, 512, 100, 300, 90),
        (300, 431, 20, 20, 80),
        (640, 97, 60, 500, 30),
    ],
)
def test_the_box_and_the_peak_lie_on_the_spot(height, width, x, y, side):
    where = place(height, width)
    cells = cells_of(spot(height, width, x, y, side))
    left, top, wide, high = lesion_box(cells, where, 0.5)  # where linear edges cross half
    cell = 8 * max(height, width) / 64
    assert abs(left + wide / 2 - (x + side / 2)) < cell / 2
    assert abs(top + high / 2 - (y + side / 2)) < cell / 2
    assert 0.5 * side <= wide <= side + cell
    assert 0.5 * side <= high <= side + cell
    peak_x, peak_y = peak(cells, where)
    assert x - cell / 2 <= peak_x <= x + side + cell / 2
    assert y - cell / 2 <= peak_y <= y + side + cell / 2


@given(height=sides, width=sides, seed=st.integers(0, 1000), fraction=st.floats(0.01, 1))
@settings(deadline=None)
def test_a_box_is_inside_the_image_and_holds_the_peak(height, width, seed, fraction):
    cells = np.random.default_rng(seed).random((8, 8), np.float32)
    where = place(height, width)
    x, y, wide, high = lesion_box(cells, where, fraction)
    assert x >= 0
    assert y >= 0
    assert wide >= 1
    assert high >= 1
    assert x + wide <= width
    assert y + high <= height
    peak_x, peak_y = peak(cells, where)
    assert x <= peak_x <= x + wide
    assert y <= peak_y <= y + high


def test_of_two_spots_the_box_holds_the_brighter_alone():
    image = spot(64, 64, 8, 8, 16) // 2 + spot(64, 64, 40, 40, 16)
    x, y, wide, high = lesion_box(cells_of(image), place(64, 64))
    assert min(x, y) >= 32
    assert max(x + wide, y + high) <= 64
    whole = lesion_box(np.full((8, 8), 0.3, np.float32), place(64, 64))
    assert whole == (0, 0, 64, 64)


def test_a_map_of_nothing_has_no_box():
    assert lesion_box(np.zeros((8, 8), np.float32), place(64, 64)) is None


def test_what_lies_beside_the_image_is_neither_peak_nor_box():
    cells = np.zeros((8, 8), np.float32)
    cells[0, 0] = 1  # in the black above a wide image
    cells[4, 6] = 0.5
    where = place(100, 200)
    x, y = peak(cells, where)
    assert 100 < x < 200
    assert 40 < y < 80
    left, top, _, _ = lesion_box(cells, where)
    assert left > 100
    assert top > 30


def test_a_lesion_map_is_taken_as_it_is():
    lesion = np.random.default_rng(0).random((2, 1, 8, 8), np.float32)
    answers = Answers(np.full((2, 4), 0.25, np.float32), lesion=lesion)
    np.testing.assert_array_equal(maps(answers, TYPES), lesion[:, 0])
    assert maps(Answers(answers.probabilities), TYPES) is None


def test_class_activation_is_that_of_the_likeliest_tumour_against_none_scaled_by_p():
    cam = np.zeros((1, 4, 2, 2), np.float32)
    cam[0, 1] = [[4, 0], [2, -3]]  # meningioma
    cam[0, 3] = [[0, 0], [0, 0]]  # no tumour
    cam[0, 0] = 100  # glioma, which is not said
    answers = Answers(np.float32([[0.05, 0.15, 0, 0.8]]), cam=cam)
    np.testing.assert_allclose(maps(answers, TYPES), [[[0.2, 0], [0.1, 0]]], atol=1e-6)
    flat = Answers(answers.probabilities, cam=np.zeros_like(cam))
    np.testing.assert_array_equal(maps(flat, TYPES), np.zeros((1, 2, 2)))
