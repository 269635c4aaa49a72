import copy

import pytest
import torch
import torchvision
from torch import nn

from edge_mri.errors import OptionError
from edge_mri_train.errors import ArchitectureError
from edge_mri_train.networks.architectures import build, grey_stem, names, normalise, set_dropout

# One of each family that treats its stem or its head in its own way, and a size it works at.
FAMILIES = {
    "mobilenet_v2": 32,
    "mobilenet_v3_small": 32,
    "resnet18": 32,
    "squeezenet1_1": 32,
    "shufflenet_v2_x0_5": 32,
    "densenet121": 32,
    "convnext_tiny": 32,
    "vit_b_16": 32,
    "googlenet": 64,
    "inception_v3": 75,
}


@pytest.mark.parametrize(("name", "size"), FAMILIES.items())
def test_builds_with_a_grey_stem_and_answers_in_both_modes(name, size):
    network = build(name, 12, size)
    images = torch.rand(2, 1, size, size)
    assert network.training
    assert network(images).shape == (2, 12)
    assert network.eval()(images).shape == (2, 12)


def test_building_does_not_disturb_batch_statistics():
    network = build("mobilenet_v2", 12, 32)
    norms = [one for one in network.modules() if isinstance(one, nn.BatchNorm2d)]
    assert norms
    assert all(not one.running_mean.any() and not one.num_batches_tracked for one in norms)


@pytest.mark.parametrize("name", ["mobilenet_v2", "resnet18", "squeezenet1_1", "convnext_tiny"])
def test_a_grey_stem_answers_as_the_colour_network_on_three_equal_channels(name, settled):
    torch.manual_seed(0)
    images = torch.rand(4, 1, 64, 64)
    colour = torchvision.models.get_model(name, weights=None, num_classes=12)
    settled(colour, images.expand(-1, 3, -1, -1))
    grey = copy.deepcopy(colour)
    grey_stem(grey)
    assert not any(one.in_channels == 3 for one in grey.modules() if isinstance(one, nn.Conv2d))
    with torch.inference_mode():
        expected = colour(images.expand(-1, 3, -1, -1))
        torch.testing.assert_close(grey(images), expected, rtol=1e-4, atol=1e-5)
        assert expected.std() > 1e-3


def test_all_classifiers_of_torchvision_are_names_and_ours_come_first():
    assert names()[:2] == ["edge_net", "artemis_cnn"]
    assert {"mobilenet_v2", "resnet18", "vit_b_16", "inception_v3"} < set(names())
    assert "mobilenet_v2_lesion" in names()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "mobilnet_v2",
            "unknown architecture 'mobilnet_v2'; did you mean mobilenet_v2 or alexnet?",
        ),
        (
            "zzz",
            "unknown architecture 'zzz'; expected edge_net, artemis_cnn, a torchvision "
            "classifier such as mobilenet_v2, timm:NAME, or package.module:function of your own",
        ),
    ],
)
def test_an_unknown_name_brings_a_suggestion(name, message):
    with pytest.raises(ArchitectureError) as caught:
        build(name, 12, 64)
    assert isinstance(caught.value, LookupError)
    if "did you mean" in message:
        assert str(caught.value).startswith(message.partition(" or ")[0])
    else:
        assert str(caught.value) == message


@pytest.mark.parametrize(
    ("name", "size"),
    [("artemis_cnn", 76), ("alexnet", 32), ("inception_v3", 32), ("vit_b_16", 150)],
)
def test_a_size_that_a_network_cannot_take_is_refused_when_it_is_built(name, size):
    with pytest.raises(OptionError) as caught:
        build(name, 12, size)
    assert str(caught.value).startswith(f"{name} cannot be built for {size} px images: ")
    assert "\n" not in str(caught.value)


def test_normalise_maps_bytes_to_0_and_1():
    pixels = torch.tensor([[[[0, 51], [204, 255]]]], dtype=torch.uint8)
    torch.testing.assert_close(
        normalise(pixels), torch.tensor([[[[0.0, 0.2], [0.8, 1.0]]]]), rtol=0, atol=1e-7
    )


def test_dropout_is_set_where_there_is_one_and_refused_elsewhere():
    network = build("mobilenet_v2", 12, 32)
    set_dropout(network, 0.5)
    assert [one.p for one in network.modules() if isinstance(one, nn.Dropout)] == [0.5]
    with pytest.raises(OptionError) as caught:
        set_dropout(build("artemis_cnn", 12, 150), 0.5)
    assert str(caught.value) == (
        "dropout is set, and the network has no dropout layer; leave it out"
    )


@pytest.mark.parametrize("name", ["mobilenet_v3_small", "mnasnet0_5", "mobilenet_v2"])
def test_what_is_validated_keeps_up_with_what_is_trained(name):
    """Statistics that are fifty steps old and older count for less than a hundredth."""
    torch.manual_seed(0)
    network = build(name, 4, 64)
    norm = next(one for one in network.modules() if isinstance(one, torch.nn.BatchNorm2d))
    norm.running_mean.fill_(1e6)
    for _ in range(50):
        network(torch.rand(2, 1, 64, 64))
    assert norm.running_mean.abs().max() < 1e4
