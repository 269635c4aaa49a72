import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from torch.nn import functional

from edge_mri.labels import PLANES, TYPES, Label, LabelSpace
from edge_mri_train.learning.loss import balanced_weights, class_masks, marginal_loss

SPACE = LabelSpace()
COLUMNS = {label: column for column, label in enumerate(SPACE.classes)}
logit_rows = hnp.arrays(np.float64, (3, 12), elements=st.floats(-20, 20)).map(torch.from_numpy)
type_labels = st.lists(st.sampled_from(TYPES), min_size=3, max_size=3)


@pytest.mark.parametrize("smoothing", [0.0, 0.05, 0.3])
@given(logits=logit_rows, labels=st.lists(st.sampled_from(SPACE.classes), min_size=3, max_size=3))
@settings(max_examples=25, deadline=None)
def test_with_type_and_plane_it_is_the_cross_entropy(smoothing, logits, labels):
    loss = marginal_loss(logits, class_masks(labels, SPACE), smoothing)
    target = torch.tensor([COLUMNS[label] for label in labels])
    expected = functional.cross_entropy(logits, target, label_smoothing=smoothing)
    torch.testing.assert_close(loss, expected)


@given(logits=logit_rows, types=type_labels)
@settings(max_examples=25, deadline=None)
def test_with_the_type_alone_it_is_the_log_of_the_summed_probability(logits, types):
    loss = marginal_loss(logits, class_masks([Label(one) for one in types], SPACE))
    sums = logits.softmax(dim=1).view(3, 4, 3).sum(dim=2)
    expected = -sums[range(3), [TYPES.index(one) for one in types]].log().mean()
    torch.testing.assert_close(loss, expected)


@given(
    logits=logit_rows,
    types=type_labels,
    order=st.sampled_from(list(itertools.permutations(range(3)))),
)
@settings(max_examples=25, deadline=None)
def test_which_plane_is_likely_does_not_matter_to_an_image_without_one(logits, types, order):
    masks = class_masks([Label(one) for one in types], SPACE)
    moved = logits.view(3, 4, 3)[:, :, list(order)].reshape(3, 12)
    torch.testing.assert_close(marginal_loss(moved, masks, 0.1), marginal_loss(logits, masks, 0.1))


def test_a_mixed_batch_is_the_mean_of_its_images():
    logits = torch.linspace(-2, 3, 24, dtype=torch.float64).view(2, 12)
    labels = [Label("meningioma"), Label("pituitary", "sagittal")]
    alone = [
        marginal_loss(logits[row : row + 1], class_masks([label], SPACE))
        for row, label in enumerate(labels)
    ]
    together = marginal_loss(logits, class_masks(labels, SPACE))
    torch.testing.assert_close(together, torch.stack(alone).mean())


def test_the_gradient_leaves_the_planes_of_the_right_type_as_they_are_to_each_other():
    logits = torch.zeros(1, 12, requires_grad=True)
    marginal_loss(logits, class_masks([Label("glioma")], SPACE)).backward()
    torch.testing.assert_close(logits.grad[0, :3], torch.full((3,), 1 / 12 - 1 / 3))
    torch.testing.assert_close(logits.grad[0, 3:], torch.full((9,), 1 / 12))


def test_masks_allow_one_class_or_all_planes_or_without_planes_the_type():
    masks = class_masks([Label("meningioma"), Label("no_tumor", "coronal")], SPACE)
    assert [np.flatnonzero(row).tolist() for row in masks] == [[3, 4, 5], [10]]
    types = LabelSpace.for_task("type")
    masks = class_masks([Label("meningioma"), Label("no_tumor", PLANES[1])], types)
    assert [np.flatnonzero(row).tolist() for row in masks] == [[1], [3]]


def test_balanced_weights_let_each_label_count_the_same():
    labels = [Label("glioma")] * 6 + [Label("pituitary", "axial")] * 3 + [Label("no_tumor")]
    weights = balanced_weights(labels)
    assert weights.tolist() == pytest.approx([10 / 18] * 6 + [10 / 9] * 3 + [10 / 3])
    assert weights.mean() == pytest.approx(1)
    assert balanced_weights(labels[:6]).tolist() == [1] * 6


def test_weights_move_the_mean_of_the_loss():
    logits = torch.tensor([[2.0, 0.0], [0.0, 0.0]])
    masks = torch.tensor([[True, False], [True, False]])
    single = [marginal_loss(logits[row : row + 1], masks[row : row + 1]) for row in range(2)]
    weighted = marginal_loss(logits, masks, weights=torch.tensor([3.0, 1.0]))
    assert weighted.item() == pytest.approx((3 * single[0].item() + single[1].item()) / 4)
    even = marginal_loss(logits, masks, weights=torch.full((2,), 7.0))
    assert even.item() == pytest.approx(marginal_loss(logits, masks).item())


@given(logits=logit_rows, first=type_labels, second=type_labels, share=st.floats(0, 1))
@settings(max_examples=25, deadline=None)
def test_a_second_label_counts_by_the_rest_of_the_share(logits, first, second, share):
    masks, others = (class_masks([Label(one) for one in types], SPACE) for types in (first, second))
    shares = torch.full((3,), share, dtype=torch.float64)
    expected = share * marginal_loss(logits, masks, 0.1)
    expected = expected + (1 - share) * marginal_loss(logits, others, 0.1)
    torch.testing.assert_close(marginal_loss(logits, masks, 0.1, None, (others, shares)), expected)
