import copy
from dataclasses import replace

import pytest
import torch

from edge_mri.errors import OptionError
from edge_mri_train.learning.batches import Batch
from edge_mri_train.learning.hints import Hints
from edge_mri_train.learning.objective import Objective, Weights, lesion_loss
from edge_mri_train.networks.architectures import build

ONLY_TEACHER = Weights(labels=0.0, lesion=0.0, teacher=1.0)


def batch(count: int = 4, size: int = 64) -> Batch:
    generator = torch.Generator().manual_seed(0)
    masks = torch.zeros(count, 1, size, size)
    masks[0, :, 16:32, 8:24] = 1
    allowed = torch.nn.functional.one_hot(torch.arange(count), 12).bool()
    return Batch(
        torch.rand(count, 1, size, size, generator=generator),
        allowed,
        masks,
        torch.tensor([True, True, *[False] * (count - 2)]),
        torch.ones(count),
        others=allowed,
        shares=torch.ones(count),
    )


def largest_gradient(objective: Objective) -> float:
    objective.zero_grad()
    objective(batch()).backward()
    gradients = [one.grad for one in objective.network.parameters() if one.grad is not None]
    return max(float(one.abs().max()) for one in gradients)


@pytest.mark.parametrize("name", ["edge_net", "resnet18"])
def test_who_answers_as_the_teacher_has_nothing_to_learn_from_it(name):
    network = build(name, 12, 64).eval()
    objective = Objective(network, ONLY_TEACHER, [copy.deepcopy(network)]).eval()
    assert largest_gradient(objective) < 1e-5
    torch.manual_seed(1)
    other = Objective(network, ONLY_TEACHER, [build(name, 12, 64)]).eval()
    assert largest_gradient(other) > 1e-4


def test_several_teachers_are_learned_as_the_mean_of_their_answers():
    torch.manual_seed(0)
    student, one, other = (
        build(name, 12, 64).eval() for name in ("edge_net", "edge_net", "resnet18")
    )
    images = batch().images
    with torch.no_grad():
        told = [(net(images) / 2).softmax(dim=1) for net in (one, other)]
        mine = (student(images) / 2).log_softmax(dim=1)
        cells = student.answer(images).lesion
        seen = one.answer(images).lesion.sigmoid()  # the only teacher with a map
    target = torch.stack(told).mean(dim=0)
    kl = (target * (target.log() - mine)).sum(dim=1).mean()
    maps = torch.nn.functional.binary_cross_entropy_with_logits(cells, seen)
    found = Objective(student, ONLY_TEACHER, [one, other]).eval()(batch())
    assert found.item() == pytest.approx(float(4 * kl + 4 * maps), rel=1e-5)


def test_the_teachers_maps_are_left_out_where_they_have_no_share():
    torch.manual_seed(0)
    student, teacher = build("edge_net", 12, 64).eval(), build("edge_net", 12, 64)
    shares = replace(ONLY_TEACHER, teacher_map=0.0)
    before = Objective(student, shares, [teacher])(batch())
    with torch.no_grad():
        teacher.map.bias += 3.0
        teacher.evidence[1] -= 3.0  # nearly the same classes, another map
    after = Objective(student, shares, [teacher])(batch())
    assert after.item() == pytest.approx(before.item(), abs=1e-4)
    whole = Objective(student, ONLY_TEACHER, [teacher])(batch())
    assert whole.item() > after.item() + 0.1


def test_teachers_are_not_trained_nor_put_into_training_mode():
    network, teacher = build("edge_net", 12, 64), build("edge_net", 12, 64)
    objective = Objective(network, Weights(teacher=1.0), [teacher])
    objective.train()
    assert not teacher.training
    objective(batch()).backward()
    assert all(one.grad is None for one in teacher.parameters())
    assert set(objective.parameters()) == set(network.parameters())


def test_the_label_of_a_mixed_image_is_learned_by_its_share():
    given = batch()
    others = given.allowed.roll(1, dims=0)
    objective = Objective(build("resnet18", 12, 64).eval(), Weights())
    own, other = objective(given), objective(replace(given, allowed=others, others=others))
    mixed = objective(replace(given, others=others, shares=torch.full((4,), 0.75)))
    assert mixed.item() == pytest.approx(0.75 * own.item() + 0.25 * other.item(), rel=1e-5)
    assert own.item() != pytest.approx(other.item(), rel=1e-3)


def test_the_map_is_right_where_it_says_how_much_of_each_cell_the_lesion_covers():
    given = batch()
    given = replace(given, masks=given.masks.roll((3, 2), dims=(2, 3)))
    covered = torch.nn.functional.avg_pool2d(given.masks, 8)
    assert ((covered > 0) & (covered < 1)).any()
    right = covered.logit(1e-4)
    least = lesion_loss(right, given).item()
    for other in (-right, right.roll(1, dims=3), right + 0.5, right - 0.5):
        assert lesion_loss(other, given).item() > least


def test_images_that_nobody_outlined_teach_the_map_nothing():
    given = batch()
    maps = torch.randn(4, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    other = maps.clone()
    other[2:] = 5.0
    assert torch.equal(lesion_loss(maps, given), lesion_loss(other, given))
    nobody = replace(given, outlined=torch.zeros(4, dtype=torch.bool))
    assert lesion_loss(maps, nobody).item() == 0


def of_features(student: str, teacher: str) -> Objective:
    torch.manual_seed(0)
    network, other = build(student, 12, 64), build(teacher, 12, 64)
    hints = Hints((network, student), [(other, teacher)])
    return Objective(network, Weights(labels=0.0, features=1.0), [other], hints)


@pytest.mark.parametrize("teacher", ["mobilenet_v2", "resnet18_lesion"])
def test_hints_teach_the_trunk_what_the_teacher_sees(teacher):
    objective = of_features("edge_net", teacher)
    optimizer = torch.optim.Adam(objective.parameters(), 3e-3)
    losses = []
    for _ in range(12):
        loss = objective(batch())
        optimizer.zero_grad()
        loss.backward()
        assert objective.network.trunk.stem[0][0].weight.grad.any()
        assert not objective.network.types.weight.grad.any()  # features alone
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]


def test_nothing_watches_a_network_after_the_step():
    objective = of_features("edge_net", "mobilenet_v2")
    objective(batch())
    networks = (objective.network, *objective._teachers)
    assert not any(one._forward_hooks for net in networks for one in net.modules())


def test_hints_between_networks_whose_features_are_unknown_are_refused():
    with pytest.raises(OptionError) as caught:
        of_features("edge_net", "squeezenet1_1")
    assert str(caught.value) == (
        "distill_features compares features at strides 8, 16 and 32, and those of squeezenet1_1 "
        "are not known; expected a network with a lesion map or one of mobilenet_v2, "
        "mobilenet_v3_large, resnet18, resnet34, resnet50"
    )
