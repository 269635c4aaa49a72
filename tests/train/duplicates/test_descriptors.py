import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_mri_train.duplicates.descriptors import (
    CUTS,
    SCALE,
    SIZE,
    SYMMETRIES,
    VIEWS,
    describe,
    describe_views,
    turn,
    turn_descriptors,
    view_cuts,
)
from edge_mri_train.duplicates.fingerprint import fingerprint_pixels


@pytest.fixture(scope="module")
def thumbnails(heads):
    return np.stack([fingerprint_pixels(head).thumbnail for head in heads])


def test_descriptors_are_whole_numbers_of_one_length(thumbnails):
    described = describe_views(thumbnails)
    assert described.shape == (len(thumbnails), VIEWS, SIZE)
    assert (described == np.round(described)).all()
    assert np.linalg.norm(described, axis=2) == pytest.approx(SCALE, rel=0.01)
    assert np.abs(described).max() <= 2048  # exact in float16


def test_the_first_view_is_the_whole(thumbnails):
    assert np.array_equal(describe_views(thumbnails)[:, 0], describe(thumbnails))


@given(seed=st.integers(0, 10_000), symmetry=st.integers(0, SYMMETRIES - 1))
@settings(max_examples=60, deadline=None)
def test_a_turned_descriptor_is_the_descriptor_of_the_turned_image(seed, symmetry):
    image = np.random.default_rng(seed).integers(0, 256, (1, 64, 64), np.uint8)
    turned = turn_descriptors(describe(image), symmetry)
    assert np.abs(turned - describe(turn(image[0], symmetry)[np.newaxis])).max() <= 1


def test_the_symmetries_are_eight_and_bring_every_orientation():
    image = np.arange(12).reshape(3, 4)
    turned = {(made.shape, made.tobytes()) for made in (turn(image, s) for s in range(SYMMETRIES))}
    rotated = [np.rot90(base, k) for base in (image, image[:, ::-1]) for k in range(4)]
    assert turned == {(made.shape, np.ascontiguousarray(made).tobytes()) for made in rotated}


@pytest.mark.parametrize("view", range(0, VIEWS, 7))
def test_a_view_describes_the_crop(thumbnails, view):
    (top, bottom), (left, right) = view_cuts(view)
    big = cv2.resize(thumbnails[0], (640, 640), interpolation=cv2.INTER_NEAREST)
    crop = big[
        round(640 * top) : round(640 * (1 - bottom)), round(640 * left) : round(640 * (1 - right))
    ]
    small = cv2.resize(crop, (64, 64), interpolation=cv2.INTER_AREA)
    likeness = describe_views(thumbnails[:1])[0, view] @ describe(small[np.newaxis])[0] / SCALE**2
    assert likeness > 0.99


def test_views_are_all_pairs_of_cuts():
    assert len({view_cuts(view) for view in range(VIEWS)}) == len(CUTS) ** 2
