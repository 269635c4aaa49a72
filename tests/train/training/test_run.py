import json
import shutil

import cv2
import pytest

from edge_mri.errors import EdgeMriError
from edge_mri.labels import LabelSpace
from edge_mri.terminal.progress import NoProgress
from edge_mri_train.data.manifest import read_manifest
from edge_mri_train.data.scan import fingerprint_files
from edge_mri_train.duplicates.fingerprint import fingerprint_pixels
from edge_mri_train.duplicates.seen import SeenImages
from edge_mri_train.errors import RunFolderError
from edge_mri_train.networks.checkpoint import Checkpoint
from edge_mri_train.training.run import train


def test_a_run_leaves_its_files_and_no_other(finished, run_files):
    assert sorted({file.name for file in finished.iterdir()} - {"said.txt"}) == run_files
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


def test_the_seed_decides_everything(tiny, tmp_path, finished, history, same_run):
    train(tiny(), tmp_path / "again", NoProgress())
    same_run(finished, tmp_path / "again")
    train(tiny(seed=1, epochs=1), tmp_path / "other", NoProgress())
    assert history(tmp_path / "other")[0] != history(finished)[0]


def test_a_run_is_not_overwritten(tiny, finished):
    with pytest.raises(RunFolderError) as caught:
        train(tiny(), finished, NoProgress())
    assert str(caught.value) == (
        f"{finished} holds a run already; continue it with --resume, or choose another"
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
def test_the_shortest_runs_work(tiny, tmp_path, epochs, batch_size, history):
    train(tiny(epochs=epochs, batch_size=batch_size), tmp_path / "run", NoProgress())
    assert len(history(tmp_path / "run")) == epochs


def test_the_checkpoint_remembers_its_images_and_no_others(finished, phantoms, head):
    checkpoint = Checkpoint.load(finished / "checkpoint.pt")
    assert checkpoint.seen == (finished / "seen.bin").read_bytes()
    seen = SeenImages.from_bytes(checkpoint.seen)
    files = sorted(phantoms.glob("*/*.png"))
    assert len(seen) == len(files)
    assert seen.exact(fingerprint_files(files, NoProgress())).all()
    assert not seen.near([fingerprint_pixels(head(index)) for index in range(60, 66)]).any()
