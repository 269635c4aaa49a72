"""What is wrong with a run's settings is said before its images are read."""

from pathlib import Path

import pytest
import torch

from edge_mri.errors import DeviceError, EdgeMriError, OptionError
from edge_mri.terminal.progress import NoProgress
from edge_mri_train.errors import ArchitectureError, CheckpointError, InitialWeightsError
from edge_mri_train.learning.ranks import Ranks
from edge_mri_train.networks.architectures import build
from edge_mri_train.training import run as training
from edge_mri_train.training.preflight import check_config

WRONG = {
    "arch": (
        {"arch": "resnet1"},
        ArchitectureError,
        "unknown architecture 'resnet1'; did you mean ",
    ),
    "size": (
        {"image_size": -5},
        OptionError,
        "image size -5 px; expected a whole number from 16 to 1024",
    ),
    "size of the network": (
        {"arch": "artemis_cnn", "image_size": 32},
        OptionError,
        "artemis_cnn cannot be built for 32 px images: ",
    ),
    "dropout": (
        {"arch": "artemis_cnn", "image_size": 96, "dropout": 0.5},
        OptionError,
        "dropout is set, and the network has no dropout layer; leave it out",
    ),
    "refit": ({"refit": True}, OptionError, "refit fits the last layers of a network with a lesio"),
    "frozen trunk": (
        {"arch": "squeezenet1_1", "frozen_trunk": "first"},
        OptionError,
        "frozen_trunk fits the linear layer that a network ends in, and squeezenet1_1 ends in ",
    ),
    "teacher": (
        {"distill": ("gone.pt",)},
        OptionError,
        "no teacher gone.pt; expected a checkpoint.pt written by `edge-mri train`",
    ),
    "no teacher": (
        {"distill": (__file__,)},
        CheckpointError,
        f"{__file__} is no checkpoint that can be used: it is damaged, or something else; ",
    ),
    "imagenet": (
        {"arch": "edge_net", "image_size": 64, "init_weights": "imagenet"},
        InitialWeightsError,
        "torchvision has no ImageNet weights for edge_net; "
        "use --init-weights shipped, none or a file",
    ),
    "weights": (
        {"init_weights": "gone.pth"},
        InitialWeightsError,
        "starting weights gone.pth cannot be read: No such file or directory; ",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_settings_are_refused_before_the_images_are_divided(
    case, tiny, tmp_path, monkeypatch
):
    changes, error, message = WRONG[case]
    monkeypatch.setattr(training, "divided", lambda *_: pytest.fail("images were looked at"))
    with pytest.raises(EdgeMriError) as caught:
        training.train(tiny(**changes), tmp_path / "run", NoProgress())
    assert isinstance(caught.value, error)
    assert str(caught.value).startswith(message)
    assert not (tmp_path / "run").exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_a_gpu_there_is_not_is_refused(tiny):
    with pytest.raises(DeviceError, match=r"^CUDA was asked for, but torch finds no usable GPU"):
        check_config(tiny(device="cuda"), Ranks())


def test_weights_of_another_network_are_refused(tiny, tmp_path):
    path: Path = tmp_path / "w.pth"
    torch.save(build("squeezenet1_1", 12, 32).state_dict(), path)
    with pytest.raises(InitialWeightsError, match=r"^.*w.pth fits 1 of \d+ tensors of mobilenet_v"):
        check_config(tiny(init_weights=str(path)), Ranks())
    check_config(tiny(arch="squeezenet1_1", init_weights=str(path)), Ranks())


def test_a_type_without_images_is_found_before_the_search(
    tiny, tmp_path, type_only, monkeypatch, recorder
):
    monkeypatch.setattr(
        "edge_mri_train.training.dividing.partition", lambda *_: pytest.fail("searched")
    )
    with pytest.raises(EdgeMriError, match=r"^all 12 images are of one type, no_tumor; expected"):
        training.train(tiny(data=(str(type_only / "no_tumor"),)), tmp_path / "run", recorder)
    with pytest.raises(EdgeMriError, match=r"^no class folder names a plane; use --task type, or"):
        training.train(
            tiny(data=(str(type_only),), task="type-plane"), tmp_path / "run", NoProgress()
        )
