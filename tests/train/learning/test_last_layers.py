import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from edge_mri.labels import Label, LabelSpace
from edge_mri_train.learning.last_layers import fit_last_layers
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
    fit_last_layers(network, spots, CPU)
    after = told(network, spots)
    assert roc_auc_score(tumor, after.tumor) > 0.95
    assert roc_auc_score(tumor, after.tumor) > roc_auc_score(tumor, before.tumor)
    assert (after.types.argmax(dim=1).numpy()[tumor] == types[tumor]).mean() > 0.9
    assert ((after.tumor > 0).numpy() == tumor).mean() > 0.9, "0.5 is the middle"


def test_trunk_map_and_planes_stay(network, spots):
    before = told(network, spots)
    fit_last_layers(network, spots, CPU)
    after = told(network, spots)
    for kept in ("lesion", "peak", "planes", "embedding"):
        assert torch.equal(getattr(after, kept), getattr(before, kept))


def test_a_second_fit_finds_the_same(network, spots):
    fit_last_layers(network, spots, CPU)
    first = {name: value.clone() for name, value in network.state_dict().items()}
    fit_last_layers(network, spots, CPU)
    torch.testing.assert_close(network.state_dict(), first, rtol=0, atol=0)


@pytest.mark.parametrize("names", [TYPES, ("spot", "none")])
@pytest.mark.parametrize("arch", ["resnet18", "edge_net"])
def test_a_network_without_a_lesion_map_is_fitted_where_it_ends(spots, names, arch):
    kinds = [str(one.type) for one in spots.labels]
    if len(names) == 2:
        kinds = ["none" if one == NO_TUMOR else "spot" for one in kinds]
    space = LabelSpace(names, (), None)
    slices = Slices(spots.pixels, [Label(one, None) for one in kinds], spots.masks)
    torch.manual_seed(0)
    made = build(arch, len(space.types), 64, space)
    for module in made.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None
    images = normalise(torch.from_numpy(spots.pixels))
    with torch.inference_mode():
        made.train()(images)
        before = {name: one.clone() for name, one in made.state_dict().items()}
        fit_last_layers(made, slices, CPU, space)
        said = made(images).argmax(dim=1).numpy()
    truth = np.array([space.types.index(one) for one in kinds])
    assert (said == truth).mean() > 0.9
    after = made.state_dict()
    changed = {
        name.partition(".")[0] for name in after if not torch.equal(after[name], before[name])
    }
    assert changed == {"fc" if arch == "resnet18" else "classes"}


def test_a_head_of_which_a_class_has_no_image_stays(spots, network):
    known = [at for at, one in enumerate(spots.labels) if one.type != TYPES[0]]
    some = Slices(spots.pixels[known], [spots.labels[at] for at in known], [None] * len(known))
    before = network.types.weight.clone()
    fit_last_layers(network, some, CPU)
    assert torch.equal(network.types.weight, before)


def test_planes_are_fitted_where_they_are_asked_for(network, spots):
    planes = LabelSpace().planes
    labels = [Label(one.type, planes[at % 4 % 3]) for at, one in enumerate(spots.labels)]
    slices = Slices(spots.pixels, labels, spots.masks)
    fit_last_layers(network, slices, CPU, planes=True)
    said = told(network, spots).planes.argmax(dim=1).numpy()
    truth = np.array([planes.index(one.plane) for one in labels])
    assert (said == truth).mean() > 0.8
