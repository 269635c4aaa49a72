"""The cycle of the learning rate, however short a run is."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_mri_train.config import TrainConfig
from edge_mri_train.optimizer import one_cycle


def rates(steps: int, warm_up: float) -> list[float]:
    config = TrainConfig(
        ("data",),
        task="type",
        arch="edge_net",
        init_weights="none",
        epochs=1,
        image_size=160,
        learning_rate=1.0,
        warm_up=warm_up,
    )
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
