import numpy as np

from edge_mri_train.augmentation.extraction import extract_brain
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


def test_it_does_not_cut_into_a_lesion(free):
    rim = np.zeros_like(free[0].image)
    rows, _ = np.nonzero(head(free[0].image))
    rim[rows.min() : rows.min() + 6] = 1
    view = View(free[0].image, rim * head(free[0].image))
    for seed in range(10):
        assert extract_brain(view, np.random.default_rng(seed)) is view


def test_a_black_image_stays(free):
    black = View(np.zeros_like(free[0].image), None)
    assert extract_brain(black, np.random.default_rng(0)) is black


def test_less_of_the_rim_goes_where_a_lesion_may_lie_there(free):
    def lost(mask):
        pixels = [
            (view.image - extract_brain(View(view.image, mask), np.random.default_rng(seed)).image)
            for seed in range(20)
            for view in free
        ]
        return float(np.sum(pixels))

    nothing = np.zeros_like(free[0].image)
    assert lost(None) < 0.85 * lost(nothing)
