"""Between trained weights and starting ones."""

import json

import pytest
import torch
from torch import nn

from edge_mri.errors import OptionError
from edge_mri.terminal.progress import NoProgress
from edge_mri_train.errors import RunFolderError
from edge_mri_train.learning.starting_share import go_back
from edge_mri_train.networks.architectures import normalise
from edge_mri_train.networks.checkpoint import Checkpoint
from edge_mri_train.training import trainer
from edge_mri_train.training.run import resume, train


def small() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3))


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_weights_lie_between_and_norms_know_what_they_see(share):
    torch.manual_seed(0)
    trained, start = small(), small().state_dict()
    before = {name: value.clone() for name, value in trained.state_dict().items()}
    pixels = torch.randint(0, 256, (200, 1, 16, 16), dtype=torch.uint8)
    go_back(trained, start, share, pixels)
    for name in ("0.weight", "0.bias", "1.weight", "1.bias"):
        between = (1 - share) * before[name] + share * start[name]
        torch.testing.assert_close(trained.state_dict()[name], between)
    assert not any(module.training for module in trained.modules())
    seen = trained[0](normalise(pixels))
    torch.testing.assert_close(
        trained[1].running_mean, seen.mean(dim=(0, 2, 3)), rtol=0.05, atol=1e-3
    )


def test_the_order_of_the_images_and_a_small_rest_change_no_statistics():
    """Sorted by brightness, as folders sort by class, and one image more than a part holds."""
    torch.manual_seed(0)
    pixels = torch.arange(257).clamp(max=255).to(torch.uint8).view(-1, 1, 1, 1)
    pixels = pixels.expand(-1, 1, 3, 3).contiguous()
    network = small()
    start = network.state_dict()
    go_back(network, start, 0.5, pixels)
    seen = network[0](normalise(pixels))
    assert seen.shape[2:] == (1, 1)
    variance = seen.var(dim=(0, 2, 3))
    torch.testing.assert_close(network[1].running_var, variance, rtol=0.1, atol=0)


def test_only_norms_see_images_as_in_training():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(1, 3, 3), nn.Dropout(0.5), nn.BatchNorm2d(3))
    pixels = torch.randint(0, 256, (40, 1, 8, 8), dtype=torch.uint8)
    states = []
    for _ in range(2):
        go_back(network, network.state_dict(), 0.5, pixels)
        states.append({name: value.clone() for name, value in network.state_dict().items()})
        assert network[2].momentum == 0.1
    torch.testing.assert_close(*states, rtol=0, atol=0)


@pytest.fixture
def first(tiny, tmp_path):
    train(tiny(epochs=1), tmp_path / "first", NoProgress())
    return tmp_path / "first" / "checkpoint.pt"


class Told(NoProgress):
    def __init__(self):
        self.lines = []

    def say(self, text):
        self.lines.append(text)


@pytest.mark.parametrize("better", [True, False])
def test_a_run_keeps_what_lies_between_where_it_scores_better(
    tiny, tmp_path, first, monkeypatch, better
):
    validate, told, out = trainer.validate, Told(), tmp_path / "run"

    def scored(network, *rest):
        measured = validate(network, *rest)
        last = len(calls) == 2
        calls.append(network)
        return {**measured, "score": 0.9 if better and last else 0.5}

    calls = []
    monkeypatch.setattr(trainer, "validate", scored)
    options = {"epochs": 2, "init_weights": str(first)}
    train(tiny(**options, start_share=0.5), out, told)
    assert len(calls) == 3
    assert told.lines[-1].startswith("50 % of the starting weights: val ")
    assert told.lines[-1].endswith("no better than what is kept: left as it was") is not better
    kept = Checkpoint.load(out / "checkpoint.pt")
    assert kept.training["validation"].get("start") == (0.5 if better else None)
    if better:
        name = "classifier.1.weight"
        ends = [Checkpoint.load(first).network, calls[1]]
        between = sum(end.state_dict()[name] for end in ends) / 2
        torch.testing.assert_close(kept.network.state_dict()[name], between)
    resume(out, NoProgress())
    again = Checkpoint.load(out / "checkpoint.pt").network.state_dict()
    torch.testing.assert_close(again, kept.network.state_dict(), rtol=0, atol=0)
    assert len(json.loads((out / "history.json").read_text())) == 2


def test_what_was_random_at_the_start_stays_as_it_was_trained():
    trained, start = small(), small().state_dict()
    bias = trained[0].bias.clone()
    del start["0.bias"]
    go_back(trained, start, 0.5, torch.zeros(8, 1, 8, 8, dtype=torch.uint8))
    assert torch.equal(trained[0].bias, bias)


def test_a_run_killed_at_the_end_goes_back_to_where_it_began(tiny, tmp_path, first, monkeypatch):
    """Though the file it began with is gone."""
    validate, calls = trainer.validate, []

    def scored(network, *rest):
        calls.append(network)
        if len(calls) == 2 and killed:
            raise KeyboardInterrupt
        return {**validate(network, *rest), "score": len(calls) / 10}

    monkeypatch.setattr(trainer, "validate", scored)
    config = tiny(epochs=1, init_weights=str(first), start_share=0.5)
    killed = False
    train(config, tmp_path / "whole", NoProgress())
    calls.clear()
    killed = True
    with pytest.raises(KeyboardInterrupt):
        train(config, tmp_path / "half", NoProgress())
    first.unlink()
    killed = False
    resume(tmp_path / "half", NoProgress())
    one, other = (Checkpoint.load(tmp_path / name / "checkpoint.pt") for name in ("whole", "half"))
    assert one.training["validation"]["start"] == other.training["validation"]["start"] == 0.5
    torch.testing.assert_close(one.network.state_dict(), other.network.state_dict(), rtol=0, atol=0)


def test_a_head_of_another_size_is_no_place_to_go_back_to(
    tiny, tmp_path, first, monkeypatch, type_only
):
    """It began with random weights; half of those would be half of what it learned."""
    validate, calls = trainer.validate, []

    def scored(network, *rest):
        calls.append({name: value.clone() for name, value in network.state_dict().items()})
        return {**validate(network, *rest), "score": len(calls) / 10}

    config = tiny(data=(str(type_only),), epochs=1, init_weights=str(first), start_share=0.5)
    monkeypatch.setattr(trainer, "validate", scored)
    train(config, tmp_path / "run", NoProgress())
    last, kept = calls
    assert torch.equal(kept["classifier.1.weight"], last["classifier.1.weight"])
    assert not torch.equal(kept["features.0.0.weight"], last["features.0.0.weight"])


def test_a_run_that_kept_no_starting_weights_says_so_when_it_is_resumed(tiny, tmp_path, first):
    train(tiny(epochs=1, init_weights=str(first), start_share=0.5), tmp_path / "run", NoProgress())
    last = tmp_path / "run" / "last.pt"
    state = torch.load(last)
    del state["beginning"], state["sha256"]  # nor did it keep a hash
    torch.save(state, last)
    with pytest.raises(RunFolderError) as caught:
        resume(tmp_path / "run", NoProgress())
    assert str(caught.value) == (
        f"{tmp_path / 'run'} was begun by an earlier version, which kept no starting weights to go "
        "back to; start a new run"
    )


def test_without_weights_to_start_from_there_is_nothing_to_keep(tiny):
    with pytest.raises(OptionError) as caught:
        tiny(start_share=0.5)
    assert str(caught.value) == (
        "start_share keeps a share of the starting weights, and init_weights is none; "
        "give weights to start from"
    )
