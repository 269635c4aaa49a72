import pytest
import torch

from edge_mri_train.learning.loss import marginal_loss
from edge_mri_train.training.temperature import fit_temperature


def drawn(count: int = 4000) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits, and labels drawn from the probabilities they mean: calibrated at temperature 1."""
    generator = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(count, 4, generator=generator)
    labels = torch.multinomial(logits.softmax(dim=1), 1, generator=generator)
    return logits, torch.nn.functional.one_hot(labels[:, 0], 4).bool()


@pytest.mark.parametrize("factor", [0.5, 1.0, 2.5])
def test_it_undoes_what_made_the_logits_too_sure_or_too_shy(factor):
    logits, allowed = drawn()
    assert fit_temperature(factor * logits, allowed) == pytest.approx(factor, rel=0.06)


def test_labels_of_several_classes_count_by_their_sum():
    logits, allowed = drawn()
    pairs = allowed | allowed.roll(1, dims=1)
    fitted = fit_temperature(logits, pairs)
    losses = {one: marginal_loss(logits / one, pairs).item() for one in (fitted, 0.9, 1.1)}
    assert losses[fitted] <= min(losses.values()) + 1e-6


def test_never_beyond_its_bounds():
    logits, allowed = drawn(50)
    assert fit_temperature(1e4 * logits, ~allowed) == pytest.approx(5.0, rel=1e-3)
    assert fit_temperature(torch.where(allowed, 1.0, 0.0), allowed) == pytest.approx(0.2, rel=1e-3)
