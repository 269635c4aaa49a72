import numpy as np

from edge_mri_train.augmentation.extraction import Extraction, extract_brain
from edge_mri_train.augmentation.view import View, head


def test_the_rim_of_the_head_goes_black_and_its_middle_stays(free):
    for seed, view in enumerate(free):
        changed = extract_brain(view, np.random.default_rng(seed))
        inside = head(view.image)
        lost = inside * np.clip(view.image - changed.image, 0, 1)
        assert 0.02 < lost.sum() / (inside * view.image).sum() < 0.6
        middle = view.image.shape[0] // 2
        around = np.s_[middle - 5 : middle + 5, middle - 5 : middle + 5]
        assert np.allclose(changed.image[around], view.image[around], atol=1e-3)


def test_it_keeps_a_lesion_at_the_rim_as_tools_do(free):
    rim = np.zeros_like(free[0].image)
    rows, _ = np.nonzero(head(free[0].image))
    rim[rows.min() : rows.min() + 6] = 1
    view = View(free[0].image, rim * head(free[0].image))
    for seed in range(10):
        changed = extract_brain(view, np.random.default_rng(seed))
        assert np.allclose(changed.image[view.mask == 1], view.image[view.mask == 1], atol=1e-3)
        assert not np.array_equal(changed.image, view.image)


def test_it_cuts_along_the_dark_ring_between_scalp_and_brain():
    """A bright scalp, dark bone, a brain: the scalp goes and the brain stays."""
    rows, columns = np.mgrid[:160, :160]
    distance = np.hypot((rows - 80) / 1.15, columns - 80)
    image = np.zeros((160, 160), np.float32)
    image[distance < 60] = 0.9
    image[distance < 54] = 0.05
    image[distance < 49] = 0.5
    nothing = np.zeros_like(image)
    for seed in range(10):
        changed = extract_brain(View(image, nothing), np.random.default_rng(seed)).image
        assert changed[distance > 55].max() < 0.1
        assert np.allclose(changed[distance < 46], 0.5, atol=0.02)


def test_two_chances_for_slices_with_a_lesion_and_without(free):
    rng = np.random.default_rng(0)
    nothing, known = np.zeros_like(free[0].image), np.zeros_like(free[0].image)
    known[80:90, 80:90] = 1
    for extraction, changed in (
        (Extraction(1, 0), (False, True, True)),
        (Extraction(0, 1), (True, False, False)),
    ):
        views = [View(free[0].image, mask) for mask in (nothing, known, None)]
        assert tuple(extraction(view, rng) is not view for view in views) == changed


def test_a_black_image_stays(free):
    black = View(np.zeros_like(free[0].image), None)
    assert extract_brain(black, np.random.default_rng(0)) is black


def test_less_of_the_rim_goes_where_a_lesion_may_lie_there():
    rows, columns = np.mgrid[:160, :160]
    distance = np.hypot(rows - 80, columns - 80)
    image = np.where(distance < 60, np.float32(0.5), np.float32(0))
    image[(distance > 44) & (distance < 46)] = 0.02  # bone, or the border of a lesion

    def lost(mask):
        views = [
            extract_brain(View(image, mask), np.random.default_rng(seed)) for seed in range(27)
        ]
        return max(float((image - view.image)[distance < 47].max()) for view in views)

    assert lost(np.zeros_like(image)) > 0.3
    assert lost(None) < 0.05
