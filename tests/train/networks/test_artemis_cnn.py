import math

import pytest
import torch
from torch import nn

from edge_mri_train.networks.artemis_cnn import ArtemisCnn


@pytest.mark.parametrize(("channels", "parameters"), [(3, 82_104), (1, 81_848)])
def test_parameter_count(channels, parameters):
    network = ArtemisCnn(in_channels=channels)
    assert sum(one.numel() for one in network.parameters()) == parameters


def test_five_sigmoid_convolutions_and_three_dense_layers():
    modules = list(ArtemisCnn().modules())
    convolutions = [one for one in modules if isinstance(one, nn.Conv2d)]
    dense = [one for one in modules if isinstance(one, nn.Linear)]
    assert [(one.out_channels, one.kernel_size[0], one.padding) for one in convolutions] == [
        (32, 2, (0, 0)),
        (64, 3, (0, 0)),
        (32, 3, (0, 0)),
        (32, 3, (0, 0)),
        (64, 2, (0, 0)),
    ]
    assert [one.out_features for one in dense] == [44, 32, 12]
    assert sum(isinstance(one, nn.Sigmoid) for one in modules) == 7
    assert sum(isinstance(one, nn.MaxPool2d) for one in modules) == 5


@pytest.mark.parametrize(("classes", "size"), [(12, 150), (4, 150), (12, 77)])
def test_answers_one_row_of_logits_an_image(classes, size):
    network = ArtemisCnn(classes, size=size)
    assert network(torch.rand(2, 1, size, size)).shape == (2, classes)


def test_weights_are_glorot_uniform_for_sigmoids_and_biases_zero():
    torch.manual_seed(0)
    layers = [one for one in ArtemisCnn().modules() if isinstance(one, nn.Conv2d | nn.Linear)]
    for layer in layers:
        gain = 1 if layer is layers[-1] else 4
        fan = nn.init._calculate_fan_in_and_fan_out(layer.weight)
        limit = gain * math.sqrt(6 / sum(fan))
        assert layer.weight.abs().max() <= limit
        # Uniform in +-limit: the deviation is limit / sqrt(3).
        assert layer.weight.std().item() == pytest.approx(limit / math.sqrt(3), rel=0.15)
        assert not layer.bias.any()


def test_images_that_differ_give_logits_that_differ():
    """Seven sigmoids in a row pass on next to nothing of plain Glorot weights' signal."""
    torch.manual_seed(0)
    with torch.no_grad():
        logits = ArtemisCnn()(
            torch.rand(16, 1, 10, 10).repeat_interleave(15, 2).repeat_interleave(15, 3)
        )
    assert logits.std(dim=0).mean() > 1e-4


def test_an_image_too_small_for_five_stages_is_refused():
    with pytest.raises(ValueError, match="its five stages leave no pixel"):
        ArtemisCnn(size=76)
