"""From weights that know other classes to the user's own: the last layers first, then all."""

import json
import re
import shutil
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from torch import nn

from edge_mri.cli import main
from edge_mri.images import read_image
from edge_mri.images.preprocess import PreprocessSpec, preprocess
from edge_mri.labels import LabelSpace
from edge_mri.terminal.progress import NoProgress
from edge_mri_train.networks.architectures import build, normalise
from edge_mri_train.networks.checkpoint import Checkpoint, load_state
from edge_mri_train.networks.initial_weights import SHIPPED, load_initial_weights
from edge_mri_train.networks.lesion_network import LesionNetwork
from edge_mri_train.settings.config import TrainConfig
from edge_mri_train.training.frozen_trunk import FEW
from edge_mri_train.training.run import resume, train

ABSENT = LabelSpace().absent


def laid(phantoms: Path, root: Path, names: dict[str, str]) -> Path:
    """Copy phantoms into class folders of other names."""
    for file in sorted(phantoms.glob("*/*.png")):
        kind = file.parent.name.rpartition("_")[0]
        if kind in names:
            target = root / names[kind] / f"{file.parent.name}-{file.name}"
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, target)
    return root


@pytest.fixture(scope="module")
def yes_no(heads_many, tmp_path_factory) -> Path:
    kinds = dict.fromkeys(LabelSpace().types[:-1], "yes")
    return laid(heads_many, tmp_path_factory.mktemp("yes-no"), {**kinds, ABSENT: "no"})


@pytest.fixture(scope="module")
def heads_many(head, save, tmp_path_factory) -> Path:
    """72 phantoms of as many heads, half of them without a lesion, 160 px."""
    folder = tmp_path_factory.mktemp("many")
    classes = [str(one) for one in LabelSpace().classes]
    present = [one for one in classes if not one.startswith(ABSENT)]
    absent = [one for one in classes if one.startswith(ABSENT)]
    for number in range(72):
        name = (absent, present)[number % 2][number // 2 % (3, 9)[number % 2]]
        save(folder / name / f"{number:02}.png", head(number, name, 160))
    return folder


def command(*arguments: object) -> str:
    result = CliRunner().invoke(main, ["train", *map(str, arguments)])
    assert result.exit_code == 0, result.output
    return result.stderr


def shipped(space: LabelSpace) -> nn.Module:
    """What ships, with a random head; its BatchNorms know what they see of black images."""
    network = build("edge_net", len(space.classes), 64, space)
    load_initial_weights(network, "edge_net", SHIPPED, torch.zeros(2, 1, 64, 64))
    return network.eval()


def seen(part: nn.Module, file: Path) -> torch.Tensor:
    """What a network, or its trunk, makes of an image's pixels."""
    pixels = preprocess(read_image(file), PreprocessSpec(64))
    with torch.inference_mode():
        image = normalise(torch.from_numpy(pixels)[None])
        return part.answer(image).lesion if isinstance(part, LesionNetwork) else part(image)[2]


def history_of(run: Path) -> list[dict]:
    return json.loads((run / "history.json").read_text())


def test_of_few_images_only_the_head_is_learned(phantoms, tmp_path):
    kinds = dict.fromkeys(LabelSpace().types[:-1], "yes")
    few = laid(phantoms, tmp_path / "few", {**kinds, ABSENT: "no"})
    for file in sorted((few / "no").iterdir())[FEW:]:
        file.unlink()
    said = command(
        *("--init-weights", "shipped", "--data", few, "--labels", "folders"),
        *("--image-size", 64, "--device", "cpu", "--out", tmp_path / "run"),
    )
    assert re.search(r"the rarest of the types here has \d training images.\nOnly the last", said)
    checkpoint = Checkpoint.load(tmp_path / "run" / "checkpoint.pt")
    assert (checkpoint.architecture, checkpoint.labels.types) == ("edge_net", ("no", "yes"))
    image = next((few / "yes").iterdir())
    now, then = (seen(one, image) for one in (checkpoint.network, shipped(checkpoint.labels)))
    assert now.std() > 0.1
    torch.testing.assert_close(now, then, rtol=1e-3, atol=1e-3)
    assert checkpoint.network.appearance.weight.any()
    assert [one["epoch"] for one in history_of(tmp_path / "run")] == [0]
    assert checkpoint.training["licence"] == "CC-BY-NC-SA-4.0"
    # There is nothing to go on with.
    before = (tmp_path / "run" / "checkpoint.pt").read_bytes()
    command("--resume", "--out", tmp_path / "run")
    assert (tmp_path / "run" / "checkpoint.pt").read_bytes() == before


def test_of_more_the_head_is_learned_first_and_then_everything(yes_no, tmp_path):
    options = (
        *("--init-weights", "shipped", "--data", yes_no, "--labels", "folders"),
        *("--device", "cpu", "--epochs", 1, "--out", tmp_path / "run"),
    )
    assert "The last layers are fitted to the trunk as it is; then everything" in command(*options)
    head, epoch = history_of(tmp_path / "run")
    assert (head["epoch"], head["train_loss"], epoch["epoch"]) == (0, None, 1)
    assert head["type_balanced_accuracy"] > 0.8, "the phantoms' lesions are no news to the trunk"
    assert (tmp_path / "run" / "history.csv").read_text().splitlines()[1].startswith("0,,")
    checkpoint, last = (load_state(tmp_path / "run" / one) for one in ("checkpoint.pt", "last.pt"))
    trained = last["network"]["trunk.coarse.0.weight"]
    began = shipped(LabelSpace.from_dict(checkpoint["labels"])).trunk.coarse[0].weight
    assert 0 < (trained - began).abs().max() < began.abs().max()


@pytest.fixture
def config(yes_no) -> TrainConfig:
    return TrainConfig(
        data=(str(yes_no),), task="auto", arch="edge_net", init_weights=SHIPPED, epochs=2,
        learning_rate=6e-4, image_size=64, labels="folders", device="cpu", ema=0.9, refit=True,
    )  # fmt: skip


def test_a_run_that_was_killed_after_its_head_goes_on_as_if_not(config, tmp_path, same_run):
    class Stop(NoProgress):
        def say(self, text: str) -> None:
            if text.startswith("epoch   0"):
                raise KeyboardInterrupt

    train(config, tmp_path / "whole", NoProgress())
    with pytest.raises(KeyboardInterrupt):
        train(config, tmp_path / "half", Stop())
    assert [one["epoch"] for one in history_of(tmp_path / "half")] == [0]
    resume(tmp_path / "half", NoProgress())
    same_run(tmp_path / "whole", tmp_path / "half")


def test_weights_that_know_the_classes_keep_their_head(phantoms, tmp_path):
    said = command(
        *("--init-weights", "shipped", "--data", phantoms, "--image-size", 64, "--epochs", 1),
        *("--device", "cpu", "--out", tmp_path / "run"),
    )
    assert "last layers" not in said.partition("epoch   1")[0]
    assert [one["epoch"] for one in history_of(tmp_path / "run")] == [1]


def test_classes_of_which_none_is_absent_start_from_the_trunk(phantoms, tmp_path):
    stages = dict(zip(LabelSpace().types, ("one", "two", "three", "four"), strict=True))
    few = laid(phantoms, tmp_path / "few", stages)
    command(
        *("--init-weights", "shipped", "--data", few, "--labels", "folders"),
        *("--image-size", 64, "--device", "cpu", "--out", tmp_path / "run"),
        *("--frozen-trunk", "always"),
    )
    checkpoint = Checkpoint.load(tmp_path / "run" / "checkpoint.pt")
    image = next((few / "one").iterdir())
    networks = (checkpoint.network, shipped(checkpoint.labels))
    now, then = (seen(one.trunk, image) for one in networks)
    assert now.std() > 0.1
    torch.testing.assert_close(now, then, rtol=1e-3, atol=1e-3)
    assert history_of(tmp_path / "run")[0]["type_balanced_accuracy"] > 0.4


def test_a_checkpoint_of_other_classes_gives_its_trunk_too(
    tiny, finished, yes_no, tmp_path, recorder
):
    changes = {"init_weights": str(finished / "checkpoint.pt"), "labels": "folders", "epochs": 1}
    train(tiny(data=(str(yes_no),), **changes), tmp_path / "run", recorder)
    assert "The last layers are fitted to the trunk as it is; then everything trains." in (
        recorder.lines
    )
    assert json.loads((tmp_path / "run" / "config.json").read_text())["frozen_trunk"] == "first"
