from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from edge_mri.labels import Label, LabelSpace
from edge_mri_train.augmentation.healing import heal
from edge_mri_train.augmentation.pipeline import Augmentation, AugmentConfig, Donors
from edge_mri_train.augmentation.view import View
from edge_mri_train.learning.batches import Batches
from edge_mri_train.learning.ranks import Ranks
from edge_mri_train.learning.slices import Slices


def rng(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def sound(seed: int) -> np.ndarray:
    """A head whose halves mirror each other, with the texture of noise."""
    disc = cv2.circle(np.zeros((160, 160), np.float32), (80, 80), 70, 1.0, cv2.FILLED)
    down, across = np.mgrid[:160, :160] / 160
    tissue = 0.4 + 0.2 * np.cos(9 * np.abs(across - 0.5)) * np.sin(7 * down)
    noise = 0.02 * rng(seed).standard_normal((160, 160))
    return (disc * (tissue + noise)).clip(0, 1).astype(np.float32)


def lesion_at(head: np.ndarray, place: tuple[int, int], radius: int) -> View:
    mask = cv2.circle(np.zeros((160, 160), np.float32), place, radius, 1.0, cv2.FILLED)
    return View(np.where(mask > 0, 0.95, head).astype(np.float32), mask)


@pytest.mark.parametrize("place", [(50, 60), (100, 80), (70, 110)])
def test_a_healed_slice_looks_like_the_same_head_without_a_lesion(place):
    head = sound(0)
    mask = cv2.circle(np.zeros((160, 160), np.float32), place, 9, 1.0, cv2.FILLED)
    view = lesion_at(head, place, 9)
    for seed in range(10):
        changed = heal(view, rng(seed))
        assert changed.is_healed
        assert not changed.mask.any()
        lesion = mask > 0
        before = np.abs(view.image - head)[lesion].mean()
        assert np.abs(changed.image - head)[lesion].mean() < 0.25 * before
        far = cv2.dilate(mask, np.ones((3, 3)), iterations=10) == 0
        assert np.array_equal(changed.image[far], view.image[far])


def test_what_has_no_outlined_lesion_or_is_mixed_stays_as_it_is(free):
    lesion = lesion_at(sound(0), (50, 60), 9)
    assert heal(lesion, rng(0)).is_healed
    for view in (
        free[0],
        View(lesion.image, None),
        View(lesion.image, lesion.mask, donor=3, share=0.5),
    ):
        assert heal(view, rng(0)) is view


@pytest.mark.parametrize(("radius", "is_healed"), [(8, True), (40, False)])
def test_a_lesion_that_leaves_no_tissue_to_copy_stays(radius, is_healed):
    head = cv2.circle(np.zeros((160, 160), np.float32), (80, 80), 70, 0.4, cv2.FILLED)
    mask = cv2.circle(np.zeros((160, 160), np.float32), (60, 80), radius, 1.0, cv2.FILLED)
    view = View(np.where(mask > 0, 0.9, head).astype(np.float32), mask)
    changed = heal(view, rng(0))
    assert changed.is_healed is is_healed
    if is_healed:
        np.testing.assert_allclose(changed.image, head, atol=1e-3)


def test_a_lesion_larger_than_a_share_of_the_head_stays_though_tissue_would_fit():
    flat = np.full((160, 160), 0.4, np.float32)
    assert heal(lesion_at(flat, (40, 80), 26), rng(0)).is_healed  # a tenth
    assert not heal(lesion_at(flat, (40, 80), 31), rng(0)).is_healed


def test_a_lesion_stays_where_no_tissue_is_like_what_surrounds_it():
    island = np.where(np.hypot(*(np.mgrid[:160, :160] - 80)) < 70, 0.15, 0).astype(np.float32)
    cv2.circle(island, (50, 80), 12, 0.9, cv2.FILLED)
    assert not any(heal(lesion_at(island, (50, 80), 8), rng(seed)).is_healed for seed in range(10))


def test_it_is_covered_with_tissue_though_the_background_would_fit_better():
    """Around a small head there is much background, without noise that no exemplar repeats."""
    noise = 0.4 + 0.06 * rng(0).standard_normal((160, 160))
    head = (noise * (np.hypot(*(np.mgrid[:160, :160] - 80)) < 40)).astype(np.float32)
    view = lesion_at(head, (56, 80), 6)
    healed = [one for one in (heal(view, rng(seed)) for seed in range(20)) if one.is_healed]
    assert healed
    assert min(one.image[view.mask > 0].std() for one in healed) > 0.03


def test_tissue_of_the_other_side_is_mirrored():
    """In a head that repeats itself nowhere but mirrored."""
    half = cv2.GaussianBlur(rng(0).standard_normal((160, 80)), (0, 0), 4)
    tissue = 0.5 + 0.25 * np.hstack([half[:, ::-1], half]) / half.std()
    head = (tissue * (np.hypot(*(np.mgrid[:160, :160] - 79.5)) < 70)).clip(0, 1).astype(np.float32)
    view = lesion_at(head, (45, 80), 10)
    healed = [one for one in (heal(view, rng(seed)) for seed in range(20)) if one.is_healed]
    assert len(healed) >= 10
    assert np.median([np.abs(one.image - head)[view.mask > 0].mean() for one in healed]) < 0.1


def test_lesions_are_covered_though_nothing_gives_lesions():
    augmentation = Augmentation(replace(AugmentConfig.none(), heal=1.0))
    assert augmentation(lesion_at(sound(0), (50, 60), 9), rng(0)).is_healed


@pytest.mark.parametrize("paste", [0.0, 1.0])
def test_a_healed_image_trains_as_one_without_a_tumour_until_a_lesion_is_pasted(paste):
    mask = cv2.circle(np.zeros((160, 160), np.uint8), (55, 80), 8, 255, cv2.FILLED)
    pixels = np.round(np.stack([sound(seed) for seed in range(6)]) * 255).astype(np.uint8)
    pixels[:4][:, mask > 0] = 240
    masks = [mask] * 4 + [mask * 0] * 2
    labels = [Label("glioma", "coronal"), Label("meningioma"), Label("glioma"), Label("pituitary")]
    slices = Slices(pixels[:, np.newaxis], [*labels, *[Label("no_tumor", "axial")] * 2], masks)
    config = replace(AugmentConfig.none(), heal=1.0, paste=paste)
    space = LabelSpace()
    batches = Batches(
        slices, space, Augmentation(config, Donors.of(pixels, masks)), torch.ones(6), seed=0
    )
    (batch,) = batches.epoch(1, [np.arange(4)], Ranks())
    for place, label in enumerate(labels):
        allowed = [space.classes[k] for k in np.flatnonzero(batch.allowed[place].numpy())]
        types = {"glioma", "meningioma", "pituitary"} if paste else {"no_tumor"}
        planes = {label.plane} if label.plane else {"axial", "coronal", "sagittal"}
        assert {one.type for one in allowed} == types
        assert {one.plane for one in allowed} == planes
        assert bool(batch.masks[place].any()) is bool(paste)
        assert batch.outlined[place]
