from dataclasses import asdict, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_mri.errors import OptionError
from edge_mri_train.augmentation.pipeline import Augmentation, AugmentConfig
from edge_mri_train.augmentation.view import View

SIZE = 96  # of the phantoms in conftest.py
NAMES = list(asdict(AugmentConfig()))
EVERYTHING = AugmentConfig(**dict.fromkeys(NAMES, 1.0))
INTENSITY = ["curve", "gamma", "gain", "bias_field", "blur", "resolution", "noise", "jpeg", "decoy"]


def alone(name: str) -> AugmentConfig:
    return replace(AugmentConfig.none(), **{name: 1.0})


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "heal"])
def test_each_change_can_be_made_alone_and_changes_the_image(name, free, donors):
    changed = [Augmentation(alone(name), donors)(view, rng(n)) for n, view in enumerate(free)]
    moved = [
        float(np.abs(one.image - view.image).max()) for one, view in zip(changed, free, strict=True)
    ]
    assert max(moved) > 0.02


def test_a_change_that_is_switched_off_is_never_made(free, donors):
    nothing = Augmentation(AugmentConfig.none(), donors)
    for view in free:
        assert nothing(view, rng()) is view


@pytest.mark.parametrize("share", [0.2, 0.7])
def test_a_change_is_made_as_often_as_it_says(share, free):
    often = Augmentation(replace(AugmentConfig.none(), noise=share))
    made = sum(often(free[0], rng(seed)) is not free[0] for seed in range(400))
    assert abs(made / 400 - share) < 0.08


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32), size=st.sampled_from([32, 64, 96]), level=st.floats(0, 1))
def test_values_stay_in_0_to_1_whatever_the_image(donors, seed, size, level):
    noise = rng(seed).random((size, size)).astype(np.float32)
    for image in (noise, np.full((size, size), level, np.float32)):
        givers = donors if size == SIZE else None  # whole images mix with those of their size
        view = Augmentation(EVERYTHING, givers)(View(image, np.zeros_like(image)), rng(seed))
        for plane in (view.image, view.mask):
            assert plane.dtype == np.float32
            assert plane.shape == (size, size)
            assert np.isfinite(plane).all()
            assert plane.min() >= 0
            assert plane.max() <= 1


def test_the_generator_decides(with_lesion, donors):
    changes = Augmentation(EVERYTHING, donors)
    one, again, other = (changes(with_lesion[0], rng(seed)) for seed in (5, 5, 6))
    assert np.array_equal(one.image, again.image)
    assert not np.array_equal(one.image, other.image)


def test_the_original_is_left_alone(free, donors):
    before = free[0].image.copy(), free[0].mask.copy()
    Augmentation(EVERYTHING, donors)(free[0], rng())
    assert np.array_equal(free[0].image, before[0])
    assert np.array_equal(free[0].mask, before[1])


@pytest.mark.parametrize("name", INTENSITY)
def test_what_changes_intensity_moves_no_lesion(name, with_lesion, donors):
    view = Augmentation(alone(name), donors)(with_lesion[0], rng())
    assert np.array_equal(view.mask, with_lesion[0].mask)
    assert not view.is_pasted


@pytest.mark.parametrize("name", ["flip", "rotate", "scale", "shift", "frame"])
def test_the_lesion_moves_with_the_image(name, with_lesion):
    marked = [View(view.mask, view.mask) for view in with_lesion]
    for seed, view in enumerate(marked):
        moved = Augmentation(alone(name))(view, rng(seed))
        assert np.allclose(moved.image, moved.mask, atol=1e-6)


@pytest.mark.parametrize(("name", "stays"), [("rotate", 2e-2), ("scale", 0.6), ("shift", 1e-6)])
def test_a_pose_changes_what_its_name_says_and_nothing_else(name, stays):
    """An off-centre square: its area changes by the scale alone, its middle by the shift."""
    square = np.zeros((96, 96), np.float32)
    square[38:58, 38:58] = 1
    for seed in range(20):
        moved = Augmentation(alone(name))(View(square, square), rng(seed)).image
        assert abs(moved.sum() / square.sum() - 1) <= stays
        rows, columns = np.nonzero(moved > 0.5)
        middle = np.array([rows.mean(), columns.mean()])
        assert np.allclose(middle, 47.5, atol=0.6) == (name != "shift")
        assert np.abs(middle - 47.5).max() <= 0.06 * 96 + 0.6


def test_parts_of_a_pose_are_drawn_apart(free):
    half = replace(AugmentConfig.none(), rotate=0.5, shift=0.5)
    unchanged = sum(Augmentation(half)(free[0], rng(seed)) is free[0] for seed in range(400))
    assert abs(unchanged / 400 - 0.25) < 0.08


def test_an_image_nobody_outlined_stays_without_outline(free, donors):
    view = Augmentation(EVERYTHING, donors)(View(free[0].image, None), rng())
    assert view.mask is None
    assert not view.is_pasted


@pytest.mark.parametrize("value", [-0.1, 1.5, "often", float("nan")])
def test_a_share_out_of_range_is_refused(value):
    with pytest.raises(OptionError, match=f"^augmentation jpeg is {value!r}; expected 0 to 1$"):
        AugmentConfig(jpeg=value)
