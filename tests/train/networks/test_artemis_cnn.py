import numpy as np
import pytest
import torch
from torch import nn

from edge_mri.labels import LabelSpace
from edge_mri.phantoms.phantom import draw_phantom
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


def test_new_weights_tell_images_apart():
    """Glorot's alone do not: there the logits of images differ by a millionth."""
    classes = LabelSpace().classes
    drawn = [draw_phantom(label, size_px=150, seed=1, index=0) for label in classes]
    images = torch.from_numpy(np.stack(drawn)[:, np.newaxis]).float() / 255
    for seed in range(4):
        torch.manual_seed(seed)
        logits = ArtemisCnn()(images)
        assert logits.std(dim=0).mean() > 0.03
        assert logits.abs().max() < 10


def test_an_image_too_small_for_five_stages_is_refused():
    with pytest.raises(ValueError, match="its five stages leave no pixel"):
        ArtemisCnn(size=76)
