import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from edge_mri.labels import Label
from edge_mri_train.learning.last_layers import refit_last_layers
from edge_mri_train.learning.slices import Slices
from edge_mri_train.networks.architectures import build, normalise
from edge_mri_train.networks.lesion_network import LesionNetwork

CPU = torch.device("cpu")
NO_TUMOR = "no_tumor"
TYPES = ("glioma", "meningioma", "pituitary", NO_TUMOR)


@pytest.fixture(scope="module")
def spots() -> Slices:
    """Noise, and in it a spot whose brightness is the tumour type; none without tumour."""
    random = np.random.default_rng(0)
    pixels = random.integers(0, 60, (160, 1, 64, 64), np.uint8)
    for position in range(len(pixels)):
        if (kind := position % 4) < 3:
            y, x = random.integers(0, 44, 2)
            pixels[position, 0, y : y + 20, x : x + 20] = 110 + 65 * kind
    labels = [Label(TYPES[position % 4], None) for position in range(len(pixels))]
    return Slices(pixels, labels, [None] * len(pixels))


@pytest.fixture
def network(spots) -> LesionNetwork:
    """An untrained network; BatchNorm knows the images."""
    torch.manual_seed(0)
    made = build("edge_net", 12, 64)
    assert isinstance(made, LesionNetwork)
    for module in made.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None
    with torch.no_grad():
        made.train()(normalise(torch.from_numpy(spots.pixels)))
    return made.eval()


@torch.inference_mode()
def told(network: LesionNetwork, slices: Slices):
    return network.answer(normalise(torch.from_numpy(slices.pixels)))


def test_the_features_that_are_there_are_used(network, spots):
    tumor = np.array([label.type != NO_TUMOR for label in spots.labels])
    types = np.array([TYPES.index(label.type) for label in spots.labels])
    before = told(network, spots)
    refit_last_layers(network, spots, CPU)
    after = told(network, spots)
    assert roc_auc_score(tumor, after.tumor) > 0.95
    assert roc_auc_score(tumor, after.tumor) > roc_auc_score(tumor, before.tumor)
    assert (after.types.argmax(dim=1).numpy()[tumor] == types[tumor]).mean() > 0.9
    assert ((after.tumor > 0).numpy() == tumor).mean() > 0.9, "0.5 is the middle"


def test_trunk_map_and_planes_stay(network, spots):
    before = told(network, spots)
    refit_last_layers(network, spots, CPU)
    after = told(network, spots)
    for kept in ("lesion", "peak", "planes", "embedding"):
        assert torch.equal(getattr(after, kept), getattr(before, kept))


def test_a_second_fit_finds_the_same(network, spots):
    refit_last_layers(network, spots, CPU)
    first = {name: value.clone() for name, value in network.state_dict().items()}
    refit_last_layers(network, spots, CPU)
    torch.testing.assert_close(network.state_dict(), first, rtol=0, atol=0)
