import cv2
import numpy as np
import pytest

from edge_mri_train.augmentation import lesions
from edge_mri_train.augmentation.lesions import LesionBank
from edge_mri_train.augmentation.view import View, depth, head


def rng(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_a_pasted_lesion_is_seen_where_the_mask_says_and_hardly_elsewhere(free, bank):
    pasted = 0
    for seed in range(60):
        view = free[seed % 8]
        changed = bank.paste(view, rng(seed))
        if not changed.is_pasted:
            continue
        pasted += 1
        difference = np.abs(changed.image - view.image)
        inside = changed.mask >= 0.5
        assert inside.any()
        assert difference[inside].mean() > 5 * difference[~inside].mean()
        assert head(view.image)[inside].mean() > 0.9
    assert pasted > 30


def test_nothing_is_pasted_into_a_slice_with_a_lesion(with_lesion, bank):
    for seed, view in enumerate(with_lesion):
        assert bank.paste(view, rng(seed)) is view


def test_pasted_lesions_differ(free, bank):
    areas = {int((bank.paste(free[0], rng(seed)).mask > 0.5).sum()) for seed in range(30)}
    assert len(areas) > 10


def test_a_decoy_leaves_the_lesion_as_it_is_and_the_label_with_it(with_lesion, free, bank):
    for seed in range(40):
        for view in (with_lesion[seed % 8], free[seed % 8]):
            changed = bank.decoy(view, rng(seed))
            assert np.array_equal(changed.mask, view.mask)
            assert not changed.is_pasted
            covered = view.mask > 0
            assert np.array_equal(changed.image[covered], view.image[covered])


def test_no_tissue_is_pasted_where_an_unknown_lesion_may_be(with_lesion, bank):
    spots = 0
    for seed in range(60):
        view = with_lesion[seed % 8]
        unknown = View(view.image, None)
        changed = bank.decoy(unknown, rng(seed))
        if changed is unknown:
            continue
        spots += 1
        moved = np.abs(changed.image - view.image) > 0.02
        assert moved.mean() < 0.03  # a few spots, no patch of a lesion's size
        assert np.array_equal(
            changed.image, bank.decoy(View(view.image, view.mask * 0), rng(seed)).image
        )
    assert 10 < spots < 35


def test_without_outlines_there_is_nothing_to_paste(free):
    images = np.stack([np.round(view.image * 255).astype(np.uint8) for view in free])
    bank = LesionBank(images, [None] * len(images))
    assert not bank.can_paste
    assert bank.paste(free[0], rng(0)) is free[0]


def low_lesion() -> LesionBank:
    """A bank of one bright lesion, low on the left of a disc."""
    disc = cv2.circle(np.zeros((160, 160), np.uint8), (80, 80), 70, 100, cv2.FILLED)
    mask = cv2.circle(np.zeros((160, 160), np.uint8), (50, 110), 9, 255, cv2.FILLED)
    return LesionBank(np.stack([np.where(mask > 0, 220, disc), disc]), [mask, mask * 0])


def discs(level: float, texture: float) -> list[View]:
    """Heads of another size and place than the bank's, each with its own texture."""
    inside = cv2.circle(np.zeros((160, 160), np.float32), (85, 70), 60, 1.0, cv2.FILLED)
    return [
        View(
            (inside * (level + texture * rng(seed).standard_normal((160, 160))))
            .clip(0, 1)
            .astype(np.float32),
            inside * 0,
        )
        for seed in range(60)
    ]


def test_a_lesion_lies_near_the_part_of_the_head_that_it_lay_in_or_opposite():
    bank = low_lesion()
    pasted = [bank.paste(view, rng(seed)) for seed, view in enumerate(discs(0.4, 0.02))]
    centres = np.array(
        [np.argwhere(view.mask > 0.5).mean(axis=0) for view in pasted if view.is_pasted]
    )
    assert len(centres) > 40
    # of the head: (110 - 10) / 140 down and (50 - 10) / 140 across, or as far from the other side
    down, across = (centres[:, 0] - 10) / 120, (centres[:, 1] - 25) / 120
    assert abs(np.median(down) - 100 / 140) < 0.05
    assert abs(np.median(np.minimum(across, 1 - across)) - 40 / 140) < 0.05
    assert 0.3 < (across < 0.5).mean() < 0.7


@pytest.mark.parametrize(("level", "texture"), [(0.05, 0.01), (0.4, 0.15), (0.95, 0.02)])
def test_a_lesion_can_be_told_from_dark_bright_and_uneven_tissue(level, texture):
    bank = low_lesion()
    contrasts = []
    for seed, view in enumerate(discs(level, texture)):
        changed = bank.paste(view, rng(seed))
        rim = cv2.erode(changed.mask, np.ones((3, 3)), iterations=3)
        ring = (changed.mask > 0.5) & (rim < 0.5)
        if changed.is_pasted and ring.any():
            contrasts.append(abs(changed.image - view.image)[ring].mean())
    assert len(contrasts) > 40
    assert np.quantile(contrasts, 0.1) > 0.04


def test_tissue_makes_way_for_some_lesions_and_the_rim_of_the_head_stays(monkeypatch):
    monkeypatch.setattr(lesions, "_OEDEMA", 0)
    bank = low_lesion()
    moved = 0
    for seed, view in enumerate(discs(0.4, 0.1)):
        changed = bank.paste(view, rng(seed))
        if not changed.is_pasted:
            continue
        far = cv2.dilate(changed.mask, np.ones((3, 3)), iterations=6) == 0  # beyond its seam
        rim = far & (depth(head(view.image)) < 1.5)
        assert np.allclose(changed.image[rim], view.image[rim], atol=0.02)
        moved += not np.array_equal(changed.image[far], view.image[far])
    assert 10 < moved < 45


def test_a_pasted_lesion_is_not_scaled_to_a_few_pixels():
    disc = cv2.circle(np.zeros((160, 160), np.uint8), (80, 80), 70, 100, cv2.FILLED)
    mask = cv2.rectangle(np.zeros((160, 160), np.uint8), (76, 76), (82, 82), 255, cv2.FILLED)
    bank = LesionBank(np.stack([np.where(mask > 0, 220, disc), disc]), [mask, mask * 0])
    areas = [bank.paste(view, rng(s)).mask.sum() for s, view in enumerate(discs(0.4, 0.02))]
    assert min(area for area in areas if area) > 35
