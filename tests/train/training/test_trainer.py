"""The epochs of a run: what is kept of them, averages, teachers, lesions, how they end early."""

import json
from dataclasses import replace
from pathlib import Path

import cv2
import pytest
import torch
from torch import nn
from torch._dynamo.testing import CompileCounter

from edge_mri.errors import DeviceError, OptionError
from edge_mri.terminal.progress import NoProgress
from edge_mri_train.augmentation.pipeline import AugmentConfig
from edge_mri_train.errors import RunFolderError
from edge_mri_train.networks.checkpoint import Checkpoint, load_state
from edge_mri_train.settings.config import TrainConfig
from edge_mri_train.training import trainer, validation
from edge_mri_train.training.configured import resolve_device
from edge_mri_train.training.dividing import divided
from edge_mri_train.training.run import resume, show_augmentation, train
from edge_mri_train.training.trainer import Trainer

EVERYTHING = AugmentConfig(**dict.fromkeys(AugmentConfig.__dataclass_fields__, 0.5))


@pytest.fixture
def lesion_run(tiny, tmp_path, phantoms):
    """Make a run of edge_net with everything on."""

    def make(name: str, **changes: object) -> Path:
        config = tiny(
            arch="edge_net", image_size=64, ema=0.9, augment=EVERYTHING, tumor_free=0.5, epochs=2
        )
        values = {field: getattr(config, field) for field in config.__dataclass_fields__}
        train(tiny(**values | changes), tmp_path / name, NoProgress())
        return tmp_path / name

    return make


def test_a_run_with_everything_on_resumes_to_the_same_weights(lesion_run, tmp_path, history):
    whole = lesion_run("whole")

    class Stop(NoProgress):
        def say(self, text: str) -> None:
            if text.startswith("epoch   1"):
                raise KeyboardInterrupt

    half = tmp_path / "half"
    config = json.loads((whole / "config.json").read_text())
    assert config["augment"]["paste"] == 0.5
    with pytest.raises(KeyboardInterrupt):
        train(TrainConfig.read(whole / "config.json"), half, Stop())
    assert len(history(half)) == 1
    resume(half, NoProgress())
    for key in ("network", "average"):
        one, other = (load_state(folder / "last.pt")[key] for folder in (whole, half))
        torch.testing.assert_close(one, other, rtol=0, atol=0)


def test_the_last_layers_are_fitted_at_the_end_once(lesion_run, history):
    plain, fitted = lesion_run("plain", epochs=1), lesion_run("fitted", epochs=1, refit=True)
    assert history(plain)[0]["val_loss"] == history(fitted)[0]["val_loss"]
    before, after = (Checkpoint.load(one / "checkpoint.pt") for one in (plain, fitted))
    told, best = after.training["validation"], before.training["validation"]
    assert told["score"] >= best["score"]
    assert (after.tumor_threshold, after.temperature) == (
        told["tumor_threshold"],
        told["temperature"],
    )
    if told.get("refit"):
        weights = after.network.state_dict()
        assert weights["appearance.weight"].any()
        assert torch.equal(weights["map.weight"], before.network.state_dict()["map.weight"])
    resume(fitted, NoProgress())
    again = Checkpoint.load(fitted / "checkpoint.pt").network.state_dict()
    torch.testing.assert_close(again, after.network.state_dict(), rtol=0, atol=0)


def test_a_network_without_a_lesion_map_cannot_be_refitted(tiny, tmp_path):
    with pytest.raises(OptionError, match="lesion map, and mobilenet_v2 has none; leave it out"):
        train(tiny(refit=True), tmp_path / "run", NoProgress())
    assert not (tmp_path / "run").exists()


def test_the_averaged_weights_are_what_is_kept(tiny, tmp_path):
    train(tiny(ema=0.9, epochs=1), tmp_path / "run", NoProgress())
    last = load_state(tmp_path / "run" / "last.pt")
    kept = Checkpoint.load(tmp_path / "run" / "checkpoint.pt").network.state_dict()
    key = "classifier.1.weight"
    assert torch.equal(kept[key], last["average"][f"module.{key}"])
    assert not torch.equal(kept[key], last["network"][key])


def test_the_history_of_a_lesion_map_says_what_it_finds_only_where_there_are_outlines(
    lesion_run, history
):
    assert history(lesion_run("run", epochs=1))[0]["lesions_found"] is None


@pytest.mark.parametrize("arch", ["mobilenet_v2", "edge_net"])
def test_bfloat16_changes_the_steps_by_rounding_and_keeps_float32_weights(
    arch, tiny, tmp_path, history
):
    losses = {}
    for precision in ("auto", "float32", "bfloat16"):
        config = tiny(arch=arch, epochs=1, precision=precision)
        train(config, tmp_path / precision, NoProgress())
        losses[precision] = history(tmp_path / precision)[0]["train_loss"]
    assert losses["auto"] == losses["float32"]  # on a CPU
    assert losses["bfloat16"] != losses["float32"]
    assert losses["bfloat16"] == pytest.approx(losses["float32"], rel=0.05)
    kept = Checkpoint.load(tmp_path / "bfloat16" / "checkpoint.pt").network.state_dict()
    assert {one.dtype for one in kept.values() if one.is_floating_point()} == {torch.float32}


def test_gradients_are_clipped_to_the_norm_that_is_said(tiny, tmp_path, finished):
    def moved(norm: float, network: str) -> float:
        teacher = str(finished / "checkpoint.pt")
        config = tiny(epochs=1, max_gradient_norm=norm, weight_decay=0.0, distill=(teacher,))
        samples = [row.sample for row in divided(config, NoProgress()).rows]
        trainer = Trainer(
            replace(config, distill_features=1.0), samples, b"", tmp_path, NoProgress()
        )
        trainer.start()
        watched = getattr(trainer, network)
        before = [one.detach().clone() for one in watched.parameters()]
        trainer._train_epoch(1)
        pairs = zip(before, watched.parameters(), strict=True)
        return max(float((one - other).detach().abs().max()) for one, other in pairs)

    for network in ("network", "hints"):
        assert moved(5.0, network) > 1e-3
        assert moved(1e-14, network) < 1e-6


def test_a_compiled_step_computes_the_same(tiny, tmp_path, history, monkeypatch):
    counter = CompileCounter()
    compile_module = nn.Module.compile
    monkeypatch.setattr(nn.Module, "compile", lambda one: compile_module(one, backend=counter))
    losses = []
    for compiled in (False, True):
        train(tiny(epochs=1, compile=compiled), tmp_path / str(compiled), NoProgress())
        assert bool(counter.frame_count) == compiled
        losses.append(history(tmp_path / str(compiled))[0]["train_loss"])
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)


def test_a_teacher_changes_what_is_learned(tiny, tmp_path, finished, history):
    teacher = str(finished / "checkpoint.pt")
    runs = {
        "alone": {},
        "taught": {"distill": (teacher,)},
        "softly": {"distill": (teacher,), "distill_temperature": 8.0},
        "lightly": {"distill": (teacher,), "distill_weight": 0.1},
        "shown": {"distill": (teacher,), "distill_features": 1.0},
    }
    losses = set()
    for name, told in runs.items():
        train(tiny(epochs=1, **told), tmp_path / name, NoProgress())
        losses.add(history(tmp_path / name)[0]["train_loss"])
    assert len(losses) == len(runs)
    checkpoint = Checkpoint.load(tmp_path / "taught" / "checkpoint.pt")
    assert checkpoint.training["teachers"] == 1
    assert teacher not in json.dumps(checkpoint.training)


def test_a_teachers_map_is_learned_by_its_share(tiny, tmp_path, history):
    mapped = {"arch": "edge_net", "image_size": 64, "epochs": 1}
    train(tiny(**mapped), tmp_path / "teacher", NoProgress())
    mapped["distill"] = (str(tmp_path / "teacher" / "checkpoint.pt"),)
    losses = []
    for share in (0.0, 1.0, 4.0):
        train(tiny(**mapped, distill_map=share), tmp_path / str(share), NoProgress())
        losses.append(history(tmp_path / str(share))[0]["train_loss"])
    assert losses[0] < losses[1] < losses[2]


def test_a_run_with_hints_resumes_to_the_same_weights(tiny, tmp_path, finished, same_run):
    class Stop(NoProgress):
        def say(self, text: str) -> None:
            if text.startswith("epoch   1"):
                raise KeyboardInterrupt

    teacher = str(finished / "checkpoint.pt")
    config = tiny(epochs=2, distill=(teacher,), distill_features=1.0)
    train(config, tmp_path / "whole", NoProgress())
    with pytest.raises(KeyboardInterrupt):
        train(config, tmp_path / "half", Stop())
    resume(tmp_path / "half", NoProgress())
    same_run(tmp_path / "whole", tmp_path / "half")
    hints = [load_state(tmp_path / one / "last.pt")["hints"] for one in ("whole", "half")]
    torch.testing.assert_close(*hints, rtol=0, atol=0)


def test_hints_between_networks_that_do_not_fit_are_refused_first(tiny, tmp_path, finished):
    config = tiny(
        arch="squeezenet1_1", distill=(str(finished / "checkpoint.pt"),), distill_features=1.0
    )
    with pytest.raises(OptionError, match="features at strides 8, 16 and 32, and those of sq"):
        train(config, tmp_path / "run", NoProgress())
    assert not (tmp_path / "run").exists()


def test_a_teacher_of_another_size_is_refused(tiny, tmp_path, finished):
    teacher = str(finished / "checkpoint.pt")
    with pytest.raises(OptionError) as caught:
        train(tiny(image_size=64, distill=(teacher,)), tmp_path / "run", NoProgress())
    assert str(caught.value) == (
        f"the teacher {teacher} sees 32 px (decode=full), the student 64 px (decode=full); "
        "expected the same"
    )
    assert not (tmp_path / "run").exists()


def test_a_teacher_of_other_classes_is_refused(tiny, tmp_path, finished):
    teacher = str(finished / "checkpoint.pt")
    with pytest.raises(OptionError) as caught:
        train(tiny(task="type", distill=(teacher,)), tmp_path / "run", NoProgress())
    assert str(caught.value) == (
        f"the teacher {teacher} answers 12 classes, the student 4; expected the same"
    )


def test_a_run_without_patience_left_ends_early(tiny, tmp_path, monkeypatch, recorder, history):
    scores = iter([0.5, 0.4, 0.3, 0.2, 0.1])

    def validated(*arguments: object) -> dict:
        return real(*arguments) | {"score": next(scores)}

    real = trainer.validate
    monkeypatch.setattr(trainer, "validate", validated)
    train(tiny(epochs=5, patience=2), tmp_path / "run", recorder)
    assert len(history(tmp_path / "run")) == 3
    assert recorder.lines[-1] == "No better score in 2 epochs: stopped."


def test_the_contact_sheet_has_a_row_for_each_change_that_is_on(tiny, tmp_path):
    augment = replace(AugmentConfig.none(), noise=1.0, jpeg=0.5)
    path = tmp_path / "sheet.png"
    show_augmentation(tiny(augment=augment), path, NoProgress())
    height, width = cv2.imread(str(path)).shape[:2]
    assert height == 32 * (1 + 2 + 3)
    assert width > 10 * 32


def test_the_checkpoint_is_the_best_epoch_and_not_the_last(tiny, tmp_path, monkeypatch):
    scores = iter([0.3, 0.8, 0.8, 0.5])
    real_figures = validation.figures

    def figures(*arguments):
        measured = real_figures(*arguments)
        score = next(scores)
        for axis in ("type", "plane"):
            measured[axis]["balanced_accuracy"] = score
        return measured

    class Keep(NoProgress):
        def say(self, text: str) -> None:
            if text.startswith("epoch"):
                states.append(load_state(tmp_path / "run" / "last.pt")["network"])

    states: list[dict] = []
    monkeypatch.setattr(validation, "figures", figures)
    path = train(tiny(epochs=4), tmp_path / "run", Keep())
    checkpoint = Checkpoint.load(path)
    assert checkpoint.training["validation"]["epoch"] == 2
    torch.testing.assert_close(checkpoint.network.state_dict(), states[1], rtol=0, atol=0)
    key = "features.0.0.weight"
    assert not torch.equal(states[1][key], states[3][key])


def test_cuda_that_is_not_there_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(DeviceError) as caught:
        resolve_device("cuda")
    assert str(caught.value) == (
        "CUDA was asked for, but torch finds no usable GPU; use --device cpu"
    )
    assert resolve_device("auto") == torch.device("cpu")


def test_a_loss_that_explodes_ends_the_run_with_what_to_do(tiny, tmp_path):
    with pytest.raises(RunFolderError) as caught:
        train(
            tiny(arch="squeezenet1_1", image_size=32, learning_rate=1e30, epochs=2),
            tmp_path / "run",
            NoProgress(),
        )
    assert str(caught.value).startswith("the loss is no longer finite in epoch ")
    assert str(caught.value).endswith("start again with a lower --learning-rate than 1e+30")


def test_a_run_trains_with_the_dropout_it_is_told(tiny, tmp_path):
    config = tiny(arch="mobilenet_v2", image_size=32, dropout=0.5)
    samples = [row.sample for row in divided(config, NoProgress()).rows]
    trainer = Trainer(config, samples, b"", tmp_path, NoProgress())
    assert {one.p for one in trainer.network.modules() if isinstance(one, nn.Dropout)} == {0.5}
