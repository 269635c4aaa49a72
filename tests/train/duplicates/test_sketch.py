import cv2
import numpy as np
import pytest

from edge_mri_train.duplicates.descriptors import CUTS
from edge_mri_train.duplicates.fingerprint import fingerprint_pixels
from edge_mri_train.duplicates.registration import coarse_map, view_warp
from edge_mri_train.duplicates.sketch import COEFFICIENTS, SKETCH_BYTES, Sketches

UPRIGHT = view_warp(0)


@pytest.fixture(scope="module")
def thumbnails(heads):
    return [fingerprint_pixels(head).thumbnail for head in heads]


@pytest.fixture(scope="module")
def maps(thumbnails):
    return np.stack([coarse_map(thumbnail) for thumbnail in thumbnails])


def test_a_sketch_has_at_most_64_bytes(maps):
    sketches = Sketches.of(maps)
    assert SKETCH_BYTES <= 64
    assert sketches.codes.shape == (len(maps), SKETCH_BYTES)
    assert sketches.codes.dtype == np.uint8
    assert sketches.spread.shape == (COEFFICIENTS,)
    assert sketches.maps.shape == maps.shape


def test_a_sketch_agrees_with_its_image_and_less_with_others(thumbnails, maps):
    sketches = Sketches.of(maps)
    own = [sketches.agreement(i, thumbnails[i], UPRIGHT) for i in range(len(maps))]
    others = [sketches.agreement(i, thumbnails[i - 1], UPRIGHT) for i in range(len(maps))]
    assert min(own) > 0.88
    assert max(others) < min(own)


@pytest.mark.parametrize("cut", [(0.1, 0.1), (0.0, 0.1)])
def test_a_sketch_agrees_with_a_crop_of_its_image(thumbnails, maps, cut):
    low, high = (round(64 * part) for part in cut)
    view = CUTS.index(cut) * len(CUTS) + CUTS.index(cut)
    crop = cv2.resize(thumbnails[2][low : 64 - high, low : 64 - high], (64, 64))
    assert Sketches.of(maps).agreement(2, crop, view_warp(view)) > 0.85


def test_one_image_alone_can_be_sketched(thumbnails, maps):
    assert Sketches.of(maps[:1]).agreement(0, thumbnails[0], UPRIGHT) > 0.9


def test_none_can_be_sketched(maps):
    assert len(Sketches.of(maps[:0])) == 0


def test_an_image_without_contrast_agrees_with_nothing(thumbnails, maps):
    blank = np.zeros((64, 64), np.uint8)
    assert Sketches.of(maps).agreement(0, blank, UPRIGHT) == 0
    nothing = coarse_map(blank)[np.newaxis]
    assert Sketches.of(nothing).agreement(0, thumbnails[0], UPRIGHT) == 0


def test_the_start_is_left_as_it_is(thumbnails, maps):
    Sketches.of(maps).agreement(0, thumbnails[1], UPRIGHT)
    assert np.array_equal(UPRIGHT, view_warp(0))
