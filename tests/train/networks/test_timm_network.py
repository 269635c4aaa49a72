"""`--arch timm:NAME`: any classifier of timm's, grey, with its own weights and normalisation."""

import sys

import pytest
import torch

from edge_mri.cli import main
from edge_mri_train.errors import ArchitectureError, InitialWeightsError
from edge_mri_train.networks import timm_network
from edge_mri_train.networks.architectures import build
from edge_mri_train.networks.initial_weights import load_initial_weights

timm = pytest.importorskip("timm", reason="needs the extra timm")

IMAGES = torch.rand(2, 1, 64, 64, generator=torch.Generator().manual_seed(0))


def coloured(name, folder, **options):
    """Return timm's own network and a file of its weights."""
    torch.manual_seed(1)
    network = timm.create_model(name, **options).eval()
    for parameter in network.parameters():
        parameter.data += 0.01 * torch.randn_like(parameter)  # some heads start with zeros
    torch.save(network.state_dict(), folder / "theirs.pth")
    return network, folder / "theirs.pth"


def normalised(name, images):
    settings = timm.get_pretrained_cfg(name)
    mean, deviation = (torch.tensor(one).view(1, 3, 1, 1) for one in (settings.mean, settings.std))
    return (images.repeat(1, 3, 1, 1) - mean) / deviation


@pytest.mark.parametrize("name", ["vit_tiny_patch16_224", "convnext_atto", "mixer_s32_224"])
@torch.inference_mode()
def test_a_grey_network_answers_as_the_coloured_one_does_of_normalised_grey(name, tmp_path):
    size = {"img_size": 64} if timm.get_pretrained_cfg(name).fixed_input_size else {}
    theirs, file = coloured(name, tmp_path, num_classes=5, **size)
    ours = build(f"timm:{name}", 5, 64).eval()
    load_initial_weights(ours, f"timm:{name}", str(file), IMAGES)
    expected = theirs(normalised(name, IMAGES))
    assert expected.std() > 1e-3
    torch.testing.assert_close(ours(IMAGES), expected, rtol=1e-4, atol=1e-4)


@torch.inference_mode()
def test_a_stem_without_bias_gets_one_for_the_mean(tmp_path):
    theirs, file = coloured("mobilenetv3_small_050", tmp_path, num_classes=5)
    ours = build("timm:mobilenetv3_small_050", 5, 64).eval()
    load_initial_weights(ours, "timm:mobilenetv3_small_050", str(file), IMAGES)
    found = ours.conv_stem(IMAGES)
    expected = theirs.conv_stem(normalised("mobilenetv3_small_050", IMAGES))
    torch.testing.assert_close(found[:, :, 1:-1, 1:-1], expected[:, :, 1:-1, 1:-1])


def test_safetensors_are_read(tmp_path):
    from safetensors.torch import save_file

    theirs, _ = coloured("test_resnet", tmp_path, num_classes=5)
    save_file(theirs.state_dict(), tmp_path / "model.safetensors")
    ours = build("timm:test_resnet", 5, 64)
    load_initial_weights(ours, "timm:test_resnet", str(tmp_path / "model.safetensors"), IMAGES)
    assert torch.equal(ours.state_dict()["fc.weight"], theirs.state_dict()["fc.weight"])
    (tmp_path / "model.safetensors").write_bytes(b"no such thing")
    with pytest.raises(InitialWeightsError, match="holds no weights that can be used"):
        load_initial_weights(ours, "timm:test_resnet", str(tmp_path / "model.safetensors"), IMAGES)


def test_positions_of_another_size_are_no_weights_to_start_from(tmp_path):
    _, file = coloured("vit_tiny_patch16_224", tmp_path, num_classes=5)
    ours = build("timm:vit_tiny_patch16_224", 5, 64)
    with pytest.raises(
        InitialWeightsError, match=r"pos_embed is \(1, 197, 192\), expected \(1, 17"
    ):
        load_initial_weights(ours, "timm:vit_tiny_patch16_224", str(file), IMAGES)


def test_weights_of_a_standardised_stem_cannot_be_made_grey(tmp_path):
    _, file = coloured("resnetv2_50x1_bit", tmp_path, num_classes=5)
    ours = build("timm:resnetv2_50x1_bit", 5, 64)
    with pytest.raises(InitialWeightsError, match="colour weights cannot be made grey"):
        load_initial_weights(ours, "timm:resnetv2_50x1_bit", str(file), IMAGES)


def test_without_the_hub_a_line_says_what_to_do(monkeypatch):
    monkeypatch.setattr(timm_network, "_is_reachable", lambda address: False)
    with pytest.raises(InitialWeightsError) as told:
        load_initial_weights(build("timm:test_vit", 5, 64), "timm:test_vit", "imagenet", IMAGES)
    assert str(told.value) == (
        "the pretrained weights of timm:test_vit cannot be had from https://huggingface.co: it "
        "cannot be reached; use --init-weights FILE with model.safetensors from elsewhere, or none"
    )


@pytest.mark.parametrize("name", ["hf-hub:timm/resnet18", "local-dir:/tmp/x", "../resnet18", ""])
def test_names_that_lead_out_of_the_registry_are_unknown(name):
    with pytest.raises(ArchitectureError, match="unknown architecture"):
        build(f"timm:{name}", 5, 64)


def test_a_near_name_is_offered():
    with pytest.raises(ArchitectureError, match="did you mean timm:resnet18"):
        build("timm:resnet18x", 5, 64)


def test_without_timm_the_extra_is_named(monkeypatch, phantoms, tmp_path):
    from click.testing import CliRunner

    monkeypatch.setitem(sys.modules, "timm", None)
    arguments = ["train", "--data", str(phantoms), "--arch", "timm:resnet18", "--out"]
    done = CliRunner().invoke(main, [*arguments, str(tmp_path / "run")])
    assert done.exit_code == 2
    assert "edge-mri[timm]" in done.output


def test_one_is_trained_and_read_back(phantoms, tmp_path):
    from click.testing import CliRunner

    arguments = ["train", "--data", str(phantoms), "--arch", "timm:test_efficientnet"]
    more = ["--init-weights", "none", "--epochs", "1", "--image-size", "64", "--out"]
    done = CliRunner().invoke(main, [*arguments, *more, str(tmp_path / "run")])
    assert done.exit_code == 0, done.output
    evaluate = ["evaluate", str(tmp_path / "run"), "--data", str(phantoms)]
    assert CliRunner().invoke(main, evaluate).exit_code == 0
