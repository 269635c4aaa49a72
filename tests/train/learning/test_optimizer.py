"""The cycle of the learning rate, however short a run is."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_mri_train.learning.optimizer import adamw, one_cycle
from edge_mri_train.networks.architectures import build
from edge_mri_train.settings.config import TrainConfig


def config_with(**changes: float) -> TrainConfig:
    values = {"epochs": 1, "image_size": 160, "learning_rate": 1.0, **changes}
    return TrainConfig(("data",), task="type", arch="edge_net", init_weights="none", **values)


def rates(steps: int, warm_up: float) -> list[float]:
    config = config_with(warm_up=warm_up)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], 1.0)
    scheduler = one_cycle(optimizer, config, steps)
    found = []
    for _ in range(steps):
        found.append(scheduler.get_last_lr()[0])
        optimizer.step()
        scheduler.step()
    return found


@settings(max_examples=200, deadline=None)
@given(st.integers(3, 80), st.floats(0, 0.99))
def test_the_rate_rises_once_and_falls_to_nearly_nothing(steps, warm_up):
    found = rates(steps, warm_up)
    top = found.index(max(found))
    assert found[top] <= 1
    assert found[: top + 1] == sorted(found[: top + 1])
    assert found[top:] == sorted(found[top:], reverse=True)


@pytest.mark.parametrize(
    ("steps", "warm_up"), [(10, 0.1), (20, 0.05), (5, 0.2), (1, 0.1), (2, 0.1)]
)
def test_a_rise_of_a_single_step_is_no_division_by_zero(steps, warm_up):
    assert all(0 < rate <= 1 for rate in rates(steps, warm_up))


def test_a_run_of_some_length_rises_over_the_share_that_it_was_told():
    assert rates(100, 0.1).index(max(rates(100, 0.1))) == 9


def test_weights_decay_and_norms_and_biases_do_not():
    network = build("edge_net", 12, 64)
    decayed, left = adamw(network, config_with(weight_decay=0.3)).param_groups
    assert (decayed["weight_decay"], left["weight_decay"]) == (0.3, 0.0)
    names = {id(one): name for name, one in network.named_parameters()}
    assert {names[id(one)].rsplit(".", 1)[1] for one in decayed["params"]} == {"weight"}
    norms = {
        f"{path}.weight" for path, one in network.named_modules() if "BatchNorm" in str(type(one))
    }
    assert norms <= {names[id(one)] for one in left["params"]}
    silent = {name for name, one in network.named_parameters() if not one.requires_grad}
    assert {names[id(one)] for one in (*decayed["params"], *left["params"])} == (
        set(names.values()) - silent
    )
