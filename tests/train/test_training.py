import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from edge_mri.errors import DeviceError, EdgeMriError, OptionError
from edge_mri.labels import LabelSpace
from edge_mri.progress import NoProgress
from edge_mri_train import trainer, validation
from edge_mri_train.checkpoint import Checkpoint, load_state
from edge_mri_train.config import TrainConfig
from edge_mri_train.duplicates.fingerprint import fingerprint_pixels
from edge_mri_train.duplicates.seen import SeenImages
from edge_mri_train.errors import LabelsMissingError, ManifestError, RunError
from edge_mri_train.folders import read_folders
from edge_mri_train.grouping import IdSource
from edge_mri_train.manifest import read_manifest, write_manifest
from edge_mri_train.partition import partition
from edge_mri_train.scan import fingerprint_files
from edge_mri_train.split import SplitConfig
from edge_mri_train.trainer import Trainer, resolve_device
from edge_mri_train.training import resume, train

FILES = [
    "checkpoint.pt",
    "config.json",
    "curves.png",
    "history.csv",
    "history.json",
    "last.pt",
    "seen.bin",
    "split.csv",
]


class InterruptAt(NoProgress):
    """Presses Ctrl-C at a step of a bar."""

    def __init__(self, label: str, step: int) -> None:
        self.label, self.step = label, step

    @contextmanager
    def bar(self, label: str, length: int) -> Iterator[Callable[[], None]]:
        steps = 0

        def step() -> None:
            nonlocal steps
            steps += 1
            if label == self.label and steps == self.step:
                raise KeyboardInterrupt

        yield step


def names(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir() if file.name != "said.txt")


def without_seconds(folder: Path) -> list[dict]:
    history = json.loads((folder / "history.json").read_text())
    return [{key: entry[key] for key in entry if key != "seconds"} for entry in history]


def assert_same_run(one: Path, other: Path) -> None:
    for file in ("checkpoint.pt", "last.pt"):
        key = "state" if file == "checkpoint.pt" else "network"
        states = [load_state(folder / file)[key] for folder in (one, other)]
        torch.testing.assert_close(*states, rtol=0, atol=0)
    assert without_seconds(one) == without_seconds(other)
    for file in ("config.json", "split.csv"):
        assert (one / file).read_text() == (other / file).read_text()


def test_a_run_leaves_its_files_and_no_other(finished):
    assert names(finished) == FILES
    assert cv2.imread(str(finished / "curves.png")) is not None


def test_the_class_breakdown_comes_first_then_a_line_an_epoch(finished):
    lines = (finished / "said.txt").read_text().splitlines()
    assert lines[:2] == [
        "                 axial   coronal  sagittal       all",
        "glioma               4         4         4        12",
    ]
    epochs = [line for line in lines if line.startswith("epoch")]
    assert len(epochs) == 3
    assert epochs[0].startswith("epoch   1/3  loss ")
    assert epochs[0].endswith("  best")
    assert " % " in epochs[0]


def test_the_manifest_holds_every_image_two_thirds_for_training(finished, phantoms):
    samples = [row.sample for row in read_manifest(finished / "split.csv")]
    assert sorted(sample.file for sample in samples) == sorted(phantoms.glob("*/*.png"))
    assert [sample.split for sample in samples].count("val") == 16  # a third, 4 of 12 groups


def test_the_checkpoint_says_how_it_came_about(finished, phantoms):
    checkpoint = Checkpoint.load(finished / "checkpoint.pt")
    assert checkpoint.architecture == "mobilenet_v2"
    assert checkpoint.labels == LabelSpace()
    assert checkpoint.preprocess.size == 32
    history = json.loads((finished / "history.json").read_text())
    said = checkpoint.training
    assert said["validation"] in history
    assert said["images"] == {"train": 32, "val": 16}
    assert said["config"]["seed"] == 0
    assert said["data"] == ["/".join(phantoms.parts[-2:])]
    assert str(phantoms) not in json.dumps(said)


def test_the_history_says_what_it_counts(finished):
    for number, entry in enumerate(json.loads((finished / "history.json").read_text()), 1):
        assert entry["epoch"] == number
        assert entry["type_n"] == entry["plane_n"] == entry["joint_n"] == 16
        scores = entry["type_balanced_accuracy"], entry["plane_balanced_accuracy"]
        assert entry["score"] == pytest.approx(sum(scores) / 2)


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


def test_the_seed_decides_everything(tiny, tmp_path, finished):
    train(tiny(), tmp_path / "again", NoProgress())
    assert_same_run(finished, tmp_path / "again")
    train(tiny(seed=1, epochs=1), tmp_path / "other", NoProgress())
    assert without_seconds(tmp_path / "other")[0] != without_seconds(finished)[0]


@pytest.mark.parametrize(("label", "step"), [("epoch 1/3", 2), ("epoch 2/3", 3), ("epoch 3/3", 4)])
def test_a_run_killed_within_an_epoch_ends_as_if_it_had_not_been(
    tiny, tmp_path, finished, label, step
):
    with pytest.raises(KeyboardInterrupt):
        train(tiny(), tmp_path / "run", InterruptAt(label, step))
    resume(tmp_path / "run", NoProgress())
    assert_same_run(finished, tmp_path / "run")
    assert names(tmp_path / "run") == FILES


@pytest.mark.parametrize("epoch", [2, 3])
def test_a_run_killed_while_it_writes_ends_as_if_it_had_not_been(
    tiny, tmp_path, finished, monkeypatch, epoch
):
    def interrupted(history, path):
        if len(history) == epoch:
            raise KeyboardInterrupt
        draw(history, path)

    draw = trainer.draw_curves
    monkeypatch.setattr(trainer, "draw_curves", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train(tiny(), tmp_path / "run", NoProgress())
    monkeypatch.undo()
    resume(tmp_path / "run", NoProgress())
    assert_same_run(finished, tmp_path / "run")
    assert names(tmp_path / "run") == FILES


def test_a_run_killed_before_it_began_leaves_nothing(tiny, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        train(tiny(), tmp_path / "run", InterruptAt("training images", 3))
    assert not (tmp_path / "run").exists()


def test_resuming_a_finished_run_changes_nothing(finished, tmp_path):
    shutil.copytree(finished, tmp_path / "run")
    before = {name: (tmp_path / "run" / name).read_bytes() for name in FILES}
    assert resume(tmp_path / "run", NoProgress()) == tmp_path / "run" / "checkpoint.pt"
    assert {name: (tmp_path / "run" / name).read_bytes() for name in FILES} == before


def test_a_run_is_not_overwritten(tiny, finished):
    with pytest.raises(RunError) as caught:
        train(tiny(), finished, NoProgress())
    assert str(caught.value) == (
        f"{finished} holds a run already; continue it with --resume, or choose another"
    )


def test_resuming_what_is_no_run_says_so(tmp_path):
    with pytest.raises(RunError, match=f"^{tmp_path}/config.json is no configuration of a run: "):
        resume(tmp_path, NoProgress())


def test_type_alone_can_be_learned_from_images_with_planes(tiny, tmp_path, recorder):
    path = train(tiny(task="type", epochs=1), tmp_path / "run", recorder)
    assert Checkpoint.load(path).labels == LabelSpace.for_task("type")
    (entry,) = json.loads((tmp_path / "run" / "history.json").read_text())
    assert entry["plane_n"] is None
    assert entry["score"] == entry["type_balanced_accuracy"]
    assert "plane " not in recorder.lines[-1]


def test_auto_asks_the_folders_whether_there_are_planes(tiny, tmp_path, type_only):
    path = train(tiny(data=(str(type_only),), epochs=1), tmp_path / "run", NoProgress())
    assert Checkpoint.load(path).labels == LabelSpace.for_task("type")


def test_sets_with_and_without_planes_train_together(tiny, tmp_path, phantoms, type_only, recorder):
    data = (str(type_only), str(phantoms))
    path = train(tiny(data=data, epochs=1), tmp_path / "run", recorder)
    assert Checkpoint.load(path).labels == LabelSpace()
    assert recorder.lines[0].splitlines()[1] == (
        "glioma               4         4         4        12        24"
    )
    # The two sets have the same images: each is twice on its side.
    rows = read_manifest(tmp_path / "run" / "split.csv")
    sides: dict[str, set[str]] = {}
    for row in rows:
        sides.setdefault(row.sha256, set()).add(row.sample.split)
    assert len(rows) == 96
    assert len(sides) == 48
    assert all(len(side) == 1 for side in sides.values())
    (entry,) = json.loads((tmp_path / "run" / "history.json").read_text())
    assert entry["type_n"] == 2 * entry["plane_n"]


def test_planes_that_no_folder_names_cannot_be_learned(tiny, tmp_path, type_only):
    config = tiny(data=(str(type_only),), task="type-plane")
    with pytest.raises(LabelsMissingError) as caught:
        train(config, tmp_path / "run", NoProgress())
    assert str(caught.value) == (
        "no class folder names a plane; use --task type, or add a set whose folders do, "
        "such as glioma_axial"
    )
    assert not (tmp_path / "run").exists()


def test_a_type_without_images_is_named(tiny, tmp_path, type_only):
    shutil.copytree(type_only, tmp_path / "set")
    shutil.rmtree(tmp_path / "set" / "pituitary")
    with pytest.raises(LabelsMissingError) as caught:
        train(tiny(data=(str(tmp_path / "set"),)), tmp_path / "run", NoProgress())
    assert str(caught.value) == (
        "no training image of type pituitary; expected at least two different images of each "
        "type, more where --val-fraction is small"
    )
    assert not (tmp_path / "run").exists()


def test_a_type_with_one_image_cannot_be_validated(tiny, tmp_path, type_only):
    shutil.copytree(type_only, tmp_path / "set")
    first, *others = sorted((tmp_path / "set" / "glioma").iterdir())
    for file in others:
        shutil.copy(first, file)  # one image, twelve times
    with pytest.raises(LabelsMissingError, match=r"^no validation image of type glioma; expected"):
        train(tiny(data=(str(tmp_path / "set"),)), tmp_path / "run", NoProgress())


def test_images_in_test_folders_are_left_out(tiny, tmp_path, type_only, recorder):
    shutil.copytree(type_only, tmp_path / "set" / "Training")
    shutil.copytree(type_only, tmp_path / "set" / "Testing")
    train(tiny(data=(str(tmp_path / "set"),), epochs=1), tmp_path / "run", recorder)
    assert recorder.lines[0] == "Left out 48 images in test folders."
    rows = read_manifest(tmp_path / "run" / "split.csv")
    assert {row.sample.path.parts[0] for row in rows} == {"Training"}
    assert len(rows) == 48


def test_a_test_folder_alone_is_trained_on_as_asked(tiny, tmp_path, type_only, recorder):
    shutil.copytree(type_only, tmp_path / "Testing")
    train(tiny(data=(str(tmp_path / "Testing"),), epochs=1), tmp_path / "run", recorder)
    assert recorder.lines[0] == (
        "All images lie in a test folder: training on it as it was asked for."
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"arch": "mobilenet"},
        {"arch": "artemis_cnn", "image_size": 32},
        {"image_size": 5},
        {"val_fraction": 1.0},
        {"init_weights": "imagenet", "arch": "artemis_cnn", "image_size": 80},
        {"init_weights": "gone.pth"},
        {"task": "colour"},
        {"data": ("gone",)},
    ],
)
def test_what_cannot_be_trained_is_refused_before_anything_is_written(tiny, tmp_path, changes):
    with pytest.raises(EdgeMriError) as caught:
        train(tiny(**changes), tmp_path / "run", NoProgress())
    assert caught.value.exit_code == 2
    assert not (tmp_path / "run").exists()


def test_a_damaged_image_is_named_before_anything_is_written(tiny, tmp_path, type_only):
    shutil.copytree(type_only, tmp_path / "set")
    broken = tmp_path / "set" / "glioma" / "broken.png"
    broken.write_bytes(b"no image")
    with pytest.raises(EdgeMriError, match=f"^1 images cannot be used: {broken}: not an image"):
        train(tiny(data=(str(tmp_path / "set"),)), tmp_path / "run", NoProgress())
    assert not (tmp_path / "run").exists()


# Five steps in all: the rise of torch's schedule is then one step, which it divides by zero.
@pytest.mark.parametrize(("epochs", "batch_size"), [(1, 64), (5, 64), (1, 7), (2, 36)])
def test_the_shortest_runs_work(tiny, tmp_path, epochs, batch_size):
    train(tiny(epochs=epochs, batch_size=batch_size), tmp_path / "run", NoProgress())
    assert len(without_seconds(tmp_path / "run")) == epochs


def test_a_loss_that_explodes_ends_the_run_with_what_to_do(tiny, tmp_path):
    with pytest.raises(RunError) as caught:
        train(
            tiny(arch="squeezenet1_1", image_size=32, learning_rate=1e30, epochs=2),
            tmp_path / "run",
            NoProgress(),
        )
    assert str(caught.value).startswith("the loss is no longer finite in epoch ")
    assert str(caught.value).endswith("start again with a lower --learning-rate than 1e+30")


def test_cuda_that_is_not_there_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(DeviceError) as caught:
        resolve_device("cuda")
    assert str(caught.value) == (
        "CUDA was asked for, but torch finds no usable GPU; use --device cpu"
    )
    assert resolve_device("auto") == torch.device("cpu")


def test_a_configuration_is_frozen(tiny):
    config: TrainConfig = tiny()
    with pytest.raises(AttributeError):
        config.epochs = 3
    with pytest.raises(OptionError):
        tiny(epochs=0)


@pytest.fixture(scope="module")
def manifest(phantoms, tmp_path_factory) -> Callable[..., Path]:
    """Divide the phantoms and write the manifest."""

    def make(config: SplitConfig) -> Path:
        path = tmp_path_factory.mktemp("manifest") / "m.csv"
        rows = partition(read_folders([phantoms]), IdSource(), config, NoProgress()).rows
        write_manifest(rows, path)
        return path

    return make


def sides(path: Path) -> dict[str, str]:
    return {row.sha256: row.sample.split for row in read_manifest(path)}


def test_a_manifest_says_what_trains_and_what_validates(tiny, tmp_path, manifest, recorder):
    path = manifest(SplitConfig({"train": 0.5, "val": 0.25, "test": 0.25}))
    config = tiny(data=(), split=str(path), epochs=1)
    checkpoint = Checkpoint.load(train(config, tmp_path / "run", recorder))
    given = {key: side for key, side in sides(path).items() if side != "test"}
    assert sides(tmp_path / "run" / "split.csv") == given
    counts = [list(given.values()).count(side) for side in ("train", "val")]
    assert list(checkpoint.training["images"].values()) == counts
    assert len(SeenImages.from_bytes(checkpoint.seen)) == sum(counts) < 48
    assert str(path) not in json.dumps(checkpoint.training)


def test_a_fold_validates_and_the_others_train(tiny, tmp_path, manifest):
    path = manifest(SplitConfig.folds(3))
    train(tiny(data=(), split=str(path), fold=1, epochs=1), tmp_path / "run", NoProgress())
    expected = {key: "val" if side == "fold-1" else "train" for key, side in sides(path).items()}
    assert sides(tmp_path / "run" / "split.csv") == expected


@pytest.mark.parametrize(
    ("folds", "fold", "reason"),
    [
        (3, None, "it has 3 folds; say which validates with --fold"),
        (3, 3, "it has no fold 3, only fold-0, fold-1, fold-2"),
        (0, 0, "it has no fold 0, only none"),
    ],
)
def test_a_fold_must_be_one_of_the_manifest(tiny, tmp_path, manifest, folds, fold, reason):
    path = manifest(SplitConfig.folds(folds) if folds else SplitConfig())
    with pytest.raises(ManifestError) as caught:
        train(tiny(data=(), split=str(path), fold=fold), tmp_path / "run", NoProgress())
    assert str(caught.value) == f"the split manifest {path} cannot be used: {reason}"
    assert not (tmp_path / "run").exists()


def test_a_manifest_whose_files_changed_is_refused_with_the_list(tiny, tmp_path, phantoms):
    shutil.copytree(phantoms, tmp_path / "set")
    samples = read_folders([tmp_path / "set"])
    rows = partition(samples, IdSource(), SplitConfig(), NoProgress()).rows
    write_manifest(rows, tmp_path / "m.csv")
    rows[3].sample.file.write_bytes(rows[4].sample.file.read_bytes())
    rows[7].sample.file.unlink()
    with pytest.raises(
        ManifestError, match=r"2 of its 48 files are not what they were: "
    ) as caught:
        train(tiny(data=(), split=str(tmp_path / "m.csv")), tmp_path / "run", NoProgress())
    for row, told in ((rows[3], "changed"), (rows[7], "missing")):
        assert f"{row.sample.path} ({told})" in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_maps_and_an_index_say_what_folders_mean(tiny, tmp_path, phantoms):
    lines = [
        f"{file.relative_to(phantoms)},{file.parent.name.rpartition('_')[0]}"
        for file in sorted(phantoms.glob("*/*.png"))
    ]
    text = "\n".join(["path,label", *lines]).replace(",glioma", ",odd")
    (tmp_path / "index.csv").write_text(text)
    config = tiny(maps=("odd=glioma",), index=str(tmp_path / "index.csv"), epochs=1)
    checkpoint = Checkpoint.load(train(config, tmp_path / "run", NoProgress()))
    assert checkpoint.labels == LabelSpace.for_task("type")
    labels = Counter(row.sample.label.type for row in read_manifest(tmp_path / "run" / "split.csv"))
    assert set(labels.values()) == {12}
    assert TrainConfig.read(tmp_path / "run" / "config.json") == config


def uneven(phantoms: Path, folder: Path) -> Path:
    """The phantoms with one glioma in three of its planes left out."""
    shutil.copytree(phantoms, folder)
    for name in ("glioma_axial", "glioma_coronal"):
        for file in sorted((folder / name).iterdir())[:2]:
            file.unlink()
    return folder


class StartedError(Exception):
    pass


def started(config: TrainConfig, tmp_path: Path, monkeypatch) -> Trainer:
    """A run that is ready to train."""
    kept = []

    def stop(run):
        kept.append(run)
        raise StartedError

    monkeypatch.setattr(Trainer, "go_on", stop)
    with pytest.raises(StartedError):
        train(config, tmp_path / "run", NoProgress())
    return kept[0]


def test_the_weighted_sampler_draws_classes_equally_often(tiny, tmp_path, phantoms, monkeypatch):
    config = tiny(data=(str(uneven(phantoms, tmp_path / "set")),), sampler="weighted")
    run = started(config, tmp_path, monkeypatch)
    labels = [str(sample.label) for sample in run.train_samples]
    drawn = Counter()
    for epoch in range(400):
        order = np.concatenate(list(run.order.batches(epoch)))
        assert len(order) == run.steps * run.config.batch_size
        drawn.update(labels[position] for position in order.tolist())
    mean = drawn.total() / len(set(labels))
    assert len(set(Counter(labels).values())) > 1
    for label in set(labels):
        assert abs(drawn[label] - mean) < 5 * mean**0.5


def test_shuffling_draws_each_image_once(tiny, tmp_path, monkeypatch):
    run = started(tiny(), tmp_path, monkeypatch)
    order = np.concatenate(list(run.order.batches(1))).tolist()
    assert sorted(order) == list(range(len(run.train_samples)))
    assert order != sorted(order)


@pytest.mark.parametrize("option", [{"class_weights": "balanced"}, {"sampler": "weighted"}])
def test_balancing_changes_what_is_learned_from_uneven_classes_alone(
    tiny, tmp_path, phantoms, option
):
    data = (str(uneven(phantoms, tmp_path / "set")),)
    for name, values in (("plain", {}), ("balanced", option)):
        train(tiny(data=data, epochs=1, **values), tmp_path / name, NoProgress())
    plain, balanced = (without_seconds(tmp_path / name)[0] for name in ("plain", "balanced"))
    assert plain["train_loss"] != balanced["train_loss"]
    shutil.copytree(tmp_path / "balanced", tmp_path / "again")
    (tmp_path / "again" / "last.pt").unlink()
    resume(tmp_path / "again", NoProgress())
    assert_same_run(tmp_path / "balanced", tmp_path / "again")


def test_the_checkpoint_remembers_its_images_and_no_others(finished, phantoms, head):
    checkpoint = Checkpoint.load(finished / "checkpoint.pt")
    assert checkpoint.seen == (finished / "seen.bin").read_bytes()
    seen = SeenImages.from_bytes(checkpoint.seen)
    files = sorted(phantoms.glob("*/*.png"))
    assert len(seen) == len(files)
    assert seen.exact(fingerprint_files(files, NoProgress())).all()
    assert not seen.near([fingerprint_pixels(head(index)) for index in range(60, 66)]).any()


def test_a_run_without_its_memory_cannot_be_resumed(finished, tmp_path):
    shutil.copytree(finished, tmp_path / "run")
    (tmp_path / "run" / "seen.bin").unlink()
    with pytest.raises(RunError) as caught:
        resume(tmp_path / "run", NoProgress())
    assert str(caught.value) == (
        f"{tmp_path}/run/seen.bin cannot be read: No such file or directory; start a new run"
    )
