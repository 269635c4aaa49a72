from dataclasses import replace

import numpy as np
import pytest
import torch

from edge_mri.labels import Label, LabelSpace
from edge_mri_train.augmentation.mixing import Mixer
from edge_mri_train.augmentation.pipeline import Augmentation, AugmentConfig, Donors
from edge_mri_train.learning.batches import Batches
from edge_mri_train.learning.ranks import Ranks
from edge_mri_train.learning.slices import Slices

SPACE = LabelSpace()


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.fixture
def mixer(donors) -> Mixer:
    return donors.mixer


@pytest.fixture
def sources(free, with_lesion) -> list[np.ndarray]:
    return [np.round(view.image * 255) / 255 for view in [*free, *with_lesion]]


def test_mixup_blends_by_the_share_that_the_label_gets(mixer, free, sources):
    shares = []
    for seed in range(30):
        mixed = mixer.mixup(free[0], rng(seed))
        expected = mixed.share * free[0].image + (1 - mixed.share) * sources[mixed.donor]
        assert np.allclose(mixed.image, expected, atol=1e-6)
        assert mixed.image.dtype == np.float32
        shares.append(mixed.share)
    assert 0.5 <= min(shares) < 0.7
    assert max(shares) > 0.95


def test_cutmix_takes_a_rectangle_and_counts_its_area(mixer, with_lesion, sources):
    shares = []
    for seed in range(30):
        mixed = mixer.cutmix(with_lesion[0], rng(seed))
        own = np.isclose(mixed.image, with_lesion[0].image, atol=1e-6)
        others = np.isclose(mixed.image, sources[mixed.donor], atol=1e-6)
        assert (own | others).all()
        assert 1 - mixed.share <= others.mean()
        assert mixed.share <= own.mean() + 1e-6
        shares.append(mixed.share)
    assert min(shares) < 0.3
    assert max(shares) > 0.7


@pytest.mark.parametrize("name", ["mixup", "cutmix"])
def test_the_lesion_goes_along_with_its_pixels(name, mixer, free, with_lesion):
    masks = [np.zeros_like(free[0].image)] * len(free) + [view.mask for view in with_lesion]
    for seed in range(20):
        mixed = getattr(mixer, name)(free[0], rng(seed))
        there = masks[mixed.donor] > 0
        assert not mixed.mask[~there].any()
        if name == "mixup":
            assert np.allclose(mixed.mask[there], 1 - mixed.share, atol=1e-6)


def test_where_one_is_not_outlined_the_mix_is_not(mixer, free):
    assert mixer.mixup(replace(free[0], mask=None), rng()).mask is None
    blind = Mixer(np.zeros((1, 96, 96), np.uint8), [None])
    assert blind.cutmix(free[0], rng()).mask is None


def test_a_batch_has_both_labels_of_a_mixed_image(free, with_lesion):
    views = [*free, *with_lesion]
    pixels = np.stack([np.round(view.image * 255).astype(np.uint8) for view in views])
    masks = [(view.mask * 255).astype(np.uint8) for view in views]
    labels = [Label("no_tumor", "axial")] * len(free) + [Label("glioma")] * len(with_lesion)
    slices = Slices(pixels[:, np.newaxis], labels, masks)
    config = replace(AugmentConfig.none(), mixup=0.7)
    changes = Augmentation(config, Donors.of(pixels, masks))
    batches = Batches(slices, SPACE, changes, torch.ones(len(views)), seed=0)
    positions = np.arange(len(views))
    (batch,) = batches.epoch(1, [positions], Ranks())
    allowed = slices.allowed(SPACE)
    assert np.array_equal(batch.allowed.numpy(), allowed)
    mixed = 0
    for place in range(len(views)):
        one = changes(slices.view(place), np.random.default_rng((0, 1, 0, place)))
        assert batch.shares[place] == pytest.approx(one.share)
        donor = place if one.donor is None else one.donor
        assert np.array_equal(batch.others[place].numpy(), allowed[donor])
        assert np.allclose(batch.images[place, 0].numpy(), one.image)
        mixed += donor != place
    assert 5 < mixed < len(views)


def test_an_image_is_mixed_once_since_it_has_room_for_two_labels(donors, free):
    both = Augmentation(replace(AugmentConfig.none(), mixup=1.0, cutmix=1.0), donors)
    once = Augmentation(replace(AugmentConfig.none(), mixup=1.0), donors)
    for seed in range(10):
        mixed, expected = both(free[0], rng(seed)), once(free[0], rng(seed))
        assert (mixed.donor, mixed.share) == (expected.donor, expected.share)
        assert np.array_equal(mixed.image, expected.image)
