import numpy as np

from edge_mri_train.augmentation.lesions import LesionBank
from edge_mri_train.augmentation.view import View, head


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
