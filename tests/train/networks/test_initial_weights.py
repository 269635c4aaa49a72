import copy
import os
import re
from pathlib import Path

import pytest
import torch
import torchvision
from torch import nn

from edge_mri import Classifier
from edge_mri.answers.prediction import softmax
from edge_mri.errors import EdgeMriError
from edge_mri.images import read_image
from edge_mri.images.preprocess import preprocess_batch
from edge_mri_train.errors import InitialWeightsError, RunFolderError
from edge_mri_train.networks import initial_weights
from edge_mri_train.networks.architectures import build, normalise
from edge_mri_train.networks.initial_weights import load_initial_weights, unfold_batch_norm

MEAN = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
DEVIATION = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)


class Bomb:
    """Pickles to a call that leaves a folder behind."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.fixture
def images(rng) -> torch.Tensor:
    """(4, 1, 96, 96) in 0..1, smooth as heads are."""
    return nn.functional.interpolate(
        torch.rand(4, 1, 12, 12, generator=rng), size=96, mode="bilinear"
    )


def normalised(images: torch.Tensor) -> torch.Tensor:
    """What torchvision's networks are shown for a grey image."""
    return (images.expand(-1, 3, -1, -1) - MEAN) / DEVIATION


def colour_network(name: str, settled, images: torch.Tensor, classes: int = 12) -> nn.Module:
    torch.manual_seed(1)
    options = (
        {"aux_logits": False, "init_weights": True} if name in ("googlenet", "inception_v3") else {}
    )
    network = torchvision.models.get_model(name, weights=None, num_classes=classes, **options)
    return settled(network, normalised(images))


def load(name: str, state: dict, images: torch.Tensor, path: Path, classes: int = 12) -> nn.Module:
    torch.save(state, path)
    network = build(name, classes, images.shape[-1])
    load_initial_weights(network, name, str(path), images)
    return network.eval()


# Without padding the stem sees only image, and the answers are the same; squeezenet has such a one.
def test_a_colour_network_answers_as_before_on_grey_in_0_to_1(tmp_path, settled, images):
    colour = colour_network("squeezenet1_0", settled, images)
    ours = load("squeezenet1_0", colour.state_dict(), images, tmp_path / "w.pth")
    with torch.inference_mode():
        expected = colour(normalised(images))
        torch.testing.assert_close(ours(images), expected, rtol=1e-3, atol=1e-4)
    assert expected.std() > 1e-2


@torch.no_grad()
def assert_training_starts_from_the_same_answers(network: nn.Module, images: torch.Tensor) -> None:
    """The batches have the statistics that the norms were given."""
    answers = network.eval().features(images)
    trained = network.train().features(images)
    assert answers.std() > 1e-2
    assert (trained - answers).abs().mean() < 0.05 * answers.std()


@pytest.mark.parametrize(
    ("name", "depth"),
    [("mobilenet_v2", 1), ("efficientnet_b0", 1), ("convnext_tiny", 1), ("densenet121", 2)],
)
def test_behind_a_padded_stem_the_same_features_but_for_the_rim(
    tmp_path, settled, images, name, depth
):
    colour = colour_network(name, settled, images)
    ours = load(name, colour.state_dict(), images, tmp_path / "w.pth")
    with torch.inference_mode():
        expected = colour.features[:depth](normalised(images))[..., 2:-2, 2:-2]
        features = ours.features[:depth](images)[..., 2:-2, 2:-2]
    torch.testing.assert_close(features, expected, rtol=1e-3, atol=1e-4)
    assert expected.std() > 1e-2


# These two, and efficientnet_v2_l, were trained on 2x - 1, whatever their preset says of the rest.
@pytest.mark.parametrize("name", ["googlenet", "inception_v3"])
def test_networks_that_change_their_own_input_get_the_input_they_change_it_to(
    tmp_path, settled, images, name
):
    colour = colour_network(name, settled, images)
    colour.transform_input = True
    ours = load(name, colour.state_dict(), images, tmp_path / "w.pth")
    stem = "conv1" if name == "googlenet" else "Conv2d_1a_3x3"
    with torch.inference_mode():
        changed = colour._transform_input(normalised(images))
        expected = getattr(colour, stem)(changed)[..., 2:-2, 2:-2]
        features = getattr(ours, stem)(images)[..., 2:-2, 2:-2]
    torch.testing.assert_close(features, expected, rtol=1e-3, atol=1e-3)


def test_every_preset_of_torchvision_is_met():
    for name in torchvision.models.list_models(module=torchvision.models):
        preset = torchvision.models.get_model_weights(name).DEFAULT.transforms()
        means = initial_weights.IMAGENET_COLOURS
        if name in ("efficientnet_v2_l", "googlenet", "inception_v3"):
            means = initial_weights.HALVES
        if name not in ("googlenet", "inception_v3"):  # they change the preset's values again
            assert (tuple(preset.mean), tuple(preset.std)) == means, name


def fold(network: nn.Module) -> nn.Module:
    """Fold each BatchNorm but its bias into the convolution before, as releases for phones do."""
    folded = copy.deepcopy(network)
    previous = None
    for module in folded.modules():
        if isinstance(module, nn.BatchNorm2d):
            gain = module.weight.data / (module.running_var + module.eps).sqrt()
            previous.weight.data *= gain.view(-1, 1, 1, 1)
            module.bias.data -= gain * module.running_mean
            module.weight.data.fill_((1 + module.eps) ** 0.5)
            module.running_mean.zero_()
            module.running_var.fill_(1)
        previous = module
    return folded


def test_a_folded_batch_norm_gets_its_statistics_back_and_the_answers_stay(
    tmp_path, settled, images
):
    colour = fold(colour_network("mobilenet_v2", settled, images))
    ours = load("mobilenet_v2", colour.state_dict(), images, tmp_path / "w.pth")
    norms = [one for one in ours.modules() if isinstance(one, nn.BatchNorm2d)]
    assert all(one.running_mean.any() for one in norms)
    with torch.inference_mode():
        features = ours.features[0](images)[..., 2:-2, 2:-2]
        expected = colour.features[0](normalised(images))[..., 2:-2, 2:-2]
        torch.testing.assert_close(features, expected, rtol=1e-3, atol=1e-4)
    assert_training_starts_from_the_same_answers(ours, images)


def test_unfolding_changes_no_answer(settled, rng, images):
    network = fold(settled(build("mobilenet_v2", 12, 96), images)).eval()
    before = network(images).detach()
    unfold_batch_norm(network, images)
    torch.testing.assert_close(network(images), before, rtol=1e-3, atol=1e-3 * float(before.std()))
    assert not network.training


def test_real_batch_statistics_are_not_touched(tmp_path, settled, images):
    network = settled(build("mobilenet_v2", 12, 96), images)
    ours = load("mobilenet_v2", network.state_dict(), 1 - images, tmp_path / "w.pth")
    for key, value in network.state_dict().items():
        assert torch.equal(ours.state_dict()[key], value), key


def test_a_head_of_another_size_keeps_its_random_weights(tmp_path, settled, images):
    colour = colour_network("mobilenet_v2", settled, images, classes=1000)
    torch.manual_seed(5)
    random = build("mobilenet_v2", 12, 96).state_dict()
    torch.manual_seed(5)
    ours = load("mobilenet_v2", colour.state_dict(), images, tmp_path / "w.pth").state_dict()
    assert torch.equal(ours["classifier.1.weight"], random["classifier.1.weight"])
    key = "features.5.conv.0.0.weight"
    assert torch.equal(ours[key], colour.state_dict()[key])


def test_weights_in_half_precision_are_converted(tmp_path, settled, images):
    state = settled(build("squeezenet1_1", 12, 96), images).state_dict()
    halves = {key: value.half() for key, value in state.items()}
    ours = load("squeezenet1_1", halves, images, tmp_path / "w.pth").state_dict()
    assert all(value.dtype == torch.float32 for value in ours.values())
    torch.testing.assert_close(ours, state, rtol=1e-3, atol=1e-4)


def test_none_changes_nothing(images):
    network = build("squeezenet1_1", 12, 96)
    before = copy.deepcopy(network.state_dict())
    load_initial_weights(network, "squeezenet1_1", "none", images)
    torch.testing.assert_close(network.state_dict(), before, rtol=0, atol=0)


def test_a_checkpoint_of_ours_is_a_start(finished, images):
    network = build("mobilenet_v2", 12, 96)
    load_initial_weights(network, "mobilenet_v2", str(finished / "checkpoint.pt"), images)
    stored = torch.load(finished / "checkpoint.pt", weights_only=True)["state"]
    torch.testing.assert_close(network.state_dict(), stored, rtol=0, atol=0)


def refusal(name: str, source: str | Path, images: torch.Tensor) -> str:
    with pytest.raises(InitialWeightsError) as caught:
        load_initial_weights(build(name, 12, 96), name, str(source), images)
    assert isinstance(caught.value, EdgeMriError)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_weights_of_another_architecture_are_refused(tmp_path, images):
    torch.save(build("squeezenet1_1", 12, 96).state_dict(), tmp_path / "w.pth")
    assert re.fullmatch(
        f"{tmp_path}/w.pth fits 0 of 122 tensors of resnet18; "
        "expected weights of the same architecture",
        refusal("resnet18", tmp_path / "w.pth", images),
    )


def test_an_odd_stem_is_refused_as_another_architecture(tmp_path, images):
    torch.save({"features.0.weight": torch.zeros(3)}, tmp_path / "w.pth")
    assert "fits 0 of 52 tensors" in refusal("squeezenet1_1", tmp_path / "w.pth", images)


def test_a_missing_file_is_named(tmp_path, images):
    assert refusal("squeezenet1_1", tmp_path / "gone.pth", images) == (
        f"starting weights {tmp_path}/gone.pth cannot be read: No such file or directory; "
        "expected imagenet, shipped, none or a file"
    )


def test_a_folder_without_a_checkpoint_is_refused(tmp_path, images):
    with pytest.raises(RunFolderError) as caught:
        load_initial_weights(build("squeezenet1_1", 4, 64), "squeezenet1_1", str(tmp_path), images)
    assert str(caught.value) == (
        f"{tmp_path} is a folder without checkpoint.pt; expected the folder of a run, or a file"
    )


def test_a_file_that_would_run_code_is_refused_and_runs_none(tmp_path, images):
    torch.save({"weight": Bomb(tmp_path / "ran")}, tmp_path / "w.pth")
    assert refusal("squeezenet1_1", tmp_path / "w.pth", images) == (
        f"{tmp_path}/w.pth holds no weights that can be used: "
        "it holds more than tensors and plain values"
    )
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("content", [b"", b"hello\n", b"PK\x03\x04", b"u"])
def test_what_holds_no_weights_is_refused(tmp_path, images, content):
    (tmp_path / "w.pth").write_bytes(content)
    message = refusal("squeezenet1_1", tmp_path / "w.pth", images)
    assert message.startswith(f"{tmp_path}/w.pth holds no weights")


@pytest.mark.parametrize("content", [[1, 2], {"a": 1}, torch.zeros(2)])
def test_what_is_no_state_dict_is_refused(tmp_path, images, content):
    torch.save(content, tmp_path / "w.pth")
    assert refusal("squeezenet1_1", tmp_path / "w.pth", images) == (
        f"{tmp_path}/w.pth is neither a state dict nor a checkpoint of edge-mri"
    )


def test_imagenet_weights_are_those_of_torchvision(monkeypatch, settled, images):
    colour = colour_network("squeezenet1_0", settled, images, classes=1000)
    weights = torchvision.models.get_model_weights("squeezenet1_0")
    monkeypatch.setattr(weights, "get_state_dict", lambda self, **_: colour.state_dict())
    ours = build("squeezenet1_0", 1000, 96).eval()
    load_initial_weights(ours, "squeezenet1_0", "imagenet", images)
    with torch.inference_mode():
        expected = colour(normalised(images))
        torch.testing.assert_close(ours(images), expected, rtol=1e-3, atol=1e-4)


def test_an_architecture_without_imagenet_weights_says_so(images):
    assert refusal("artemis_cnn", "imagenet", images) == (
        "torchvision has no ImageNet weights for artemis_cnn; use --init-weights none or a file"
    )


def test_no_network_says_what_to_do(monkeypatch, images):
    def offline(self, **_):
        raise OSError("Name or service not known")

    weights = torchvision.models.get_model_weights("squeezenet1_1")
    monkeypatch.setattr(weights, "get_state_dict", offline)
    assert refusal("squeezenet1_1", "imagenet", images) == (
        "the ImageNet weights of squeezenet1_1 cannot be downloaded (Name or service not known); "
        "use --init-weights FILE with a state dict from elsewhere, or none"
    )


def test_the_real_weights_file(data_dir, images):
    path = data_dir.parent / "weights" / "mobilenet_v2-imagenet-dequantised.pth"
    if not path.is_file():
        pytest.skip(f"needs {path}")
    network = build("mobilenet_v2", 12, 96)
    load_initial_weights(network, "mobilenet_v2", str(path), images)
    assert_training_starts_from_the_same_answers(network, images)


def test_what_ships_is_trained_on_from_where_it_is(phantoms):
    classifier = Classifier.load()
    spec, classes = classifier.contract.preprocess, classifier.contract.labels.classes
    files = sorted(phantoms.glob("*/*.png"))
    batch = preprocess_batch([read_image(file) for file in files], spec)
    network = build("edge_net", len(classes), spec.size)
    load_initial_weights(network, "edge_net", "shipped", normalise(torch.from_numpy(batch)))
    with torch.inference_mode():
        answers = network.eval()(normalise(torch.from_numpy(batch))).softmax(dim=1).numpy()
    shipped = softmax(classifier.logits(batch))
    assert abs(answers - shipped).mean() < 0.01
    assert abs(answers - shipped[::-1]).mean() > 0.05  # images are told apart
    norms = [one for one in network.modules() if isinstance(one, nn.BatchNorm2d)]
    assert all(one.running_mean.any() for one in norms)


def test_networks_without_packaged_weights_are_told_which_have_some(images):
    with pytest.raises(InitialWeightsError) as caught:
        load_initial_weights(build("mobilenet_v2", 12, 96), "mobilenet_v2", "shipped", images)
    assert str(caught.value) == (
        "the package has no weights of mobilenet_v2, only of edge_net; "
        "use --init-weights imagenet, a file, or none"
    )
