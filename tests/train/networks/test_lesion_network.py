import pytest
import torch

from edge_mri.labels import LabelSpace
from edge_mri_train.networks.architectures import build
from edge_mri_train.networks.lesion_network import STRIDE, LesionAnswer, LesionNetwork

SPACE = LabelSpace()


def answer(tumor: float, types: list[float], planes: list[float]) -> LesionAnswer:
    nothing = torch.zeros(1, 0)
    evidence = torch.tensor([tumor])
    return LesionAnswer(
        nothing, evidence, evidence, torch.tensor([types]), torch.tensor([planes]), nothing
    )


@pytest.mark.parametrize("name", ["edge_net", "mobilenet_v2_lesion"])
@pytest.mark.parametrize(("classes", "size"), [(12, 160), (12, 64), (4, 96)])
def test_it_answers_classes_and_a_map_of_one_cell_in_eight_pixels(name, classes, size):
    network = build(name, classes, size).eval()
    images = torch.rand(2, 1, size, size)
    with torch.inference_mode():
        given = network.outputs(images)
        logits = network(images)
    assert logits.shape == (2, classes)
    assert torch.equal(given["logits"], logits)
    assert given["lesion"].shape == (2, 1, size // STRIDE, size // STRIDE)
    assert given["lesion"].min() >= 0
    assert given["lesion"].max() <= 1
    assert given["embedding"].ndim == 2
    torch.testing.assert_close(logits.exp().sum(dim=1), torch.ones(2))


def test_the_classes_are_composed_of_tumour_type_and_plane():
    probabilities = answer(0.0, [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]).log_probabilities().exp()[0]
    for one, probability in zip(SPACE.classes, probabilities, strict=True):
        share = 1 / 2 / 3 if one.type == SPACE.absent else 1 / 2 / 3 / 3
        assert probability.item() == pytest.approx(share)


@pytest.mark.parametrize("tumor", [-80.0, -3.0, 3.0, 80.0])
def test_the_evidence_alone_decides_whether_there_is_a_tumour(tumor):
    logs = answer(tumor, [2.0, -1.0, 0.5], [1.0, 0.0, 3.0]).log_probabilities()
    assert logs.isfinite().all()
    probabilities = SPACE.type_probabilities(logs.exp().numpy())[0]
    expected = torch.sigmoid(torch.tensor(-tumor)).item()
    assert probabilities[SPACE.types.index(SPACE.absent)] == pytest.approx(expected, abs=1e-6)


def test_the_type_is_read_where_the_map_is_high_and_teaches_the_map_nothing():
    network = build("edge_net", 12, 64)
    assert isinstance(network, LesionNetwork)
    said = network.answer(torch.rand(4, 1, 64, 64))
    said.types.sum().backward()
    assert network.map.weight.grad is None
    assert network.smooth[0].weight.grad is not None


def test_what_the_lesion_looks_like_says_nothing_until_it_is_fitted_and_learns_no_gradient():
    network = build("edge_net", 12, 64).eval()
    assert isinstance(network, LesionNetwork)
    said = network.answer(torch.rand(2, 1, 64, 64))
    torch.testing.assert_close(said.tumor, said.peak)
    said.tumor.sum().backward()
    assert network.appearance.weight.grad is None


def test_edge_net_keeps_to_its_budget():
    network = build("edge_net", 12, 160)
    assert sum(one.numel() for one in network.parameters()) <= 1_000_000
    counted = 0

    def count(module, inputs, output):
        nonlocal counted
        taps = module.weight.shape[1] * module.weight.shape[2] * module.weight.shape[3]
        counted += output.numel() * taps

    for module in network.modules():
        if isinstance(module, torch.nn.Conv2d):
            assert module.groups == 1
            module.register_forward_hook(count)
    with torch.inference_mode():
        network.eval()(torch.zeros(1, 1, 160, 160))
    assert counted <= 120e6
