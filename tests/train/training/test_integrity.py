"""A damaged checkpoint, state or memory is refused, or means what it meant; a bomb is refused."""

import random
import shutil
import zipfile
from contextlib import suppress
from pathlib import Path

import pytest
import torch

from edge_mri.errors import EdgeMriError
from edge_mri.terminal.progress import NoProgress
from edge_mri_train.data.manifest import read_manifest
from edge_mri_train.errors import CheckpointError, RunFolderError
from edge_mri_train.networks.checkpoint import Checkpoint, load_state, save_state
from edge_mri_train.networks.digest import digest
from edge_mri_train.networks.tensor_file import read_tensors
from edge_mri_train.settings.config import TrainConfig
from edge_mri_train.training.last_state import read_last
from edge_mri_train.training.run import _remembered, resume

FLIPS = 60  # the campaign of 200 a file is benchmarks/studies/robustness/flip_bits.py


def flipped(path: Path, target: Path, seed: int) -> Path:
    data = bytearray(path.read_bytes())
    bit = random.Random(seed).randrange(8 * len(data))
    data[bit // 8] ^= 1 << bit % 8
    target.write_bytes(data)
    return target


@pytest.fixture
def run(finished, tmp_path):
    return Path(shutil.copytree(finished, tmp_path / "run"))


def without_hash(path: Path) -> None:
    """Write a file as earlier versions did."""
    torch.save(load_state(path), path)


@pytest.mark.parametrize("hashed", [True, False])
@pytest.mark.parametrize("name", ["checkpoint.pt", "last.pt"])
def test_no_flipped_bit_gives_other_values(run, tmp_path, name, hashed):
    path = run / name
    if not hashed:
        without_hash(path)
    expected, refused = digest(load_state(path)), 0
    for seed in range(FLIPS):
        damaged = flipped(path, tmp_path / "damaged.pt", seed)
        try:
            values = load_state(damaged)
        except CheckpointError:
            refused += 1
        else:
            assert digest(values) == expected, seed
    assert refused > FLIPS / 2


def test_no_flipped_bit_of_the_memory_passes(run):
    path, refused = run / "seen.bin", 0
    data = path.read_bytes()
    for seed in range(FLIPS):
        flipped(path, path, seed)
        with suppress(RunFolderError):
            assert _remembered(run) == data
            refused -= 1
        refused += 1
        path.write_bytes(data)
    assert refused == FLIPS


def test_an_edited_weight_of_a_whole_file_is_refused(run):
    path = run / "checkpoint.pt"
    expected = torch.load(path)["sha256"]
    values = load_state(path)
    values["state"]["classifier.1.bias"][0] += 1
    torch.save(values | {"sha256": expected}, path)
    with pytest.raises(CheckpointError, match="it was damaged or edited after it was written"):
        Checkpoint.load(path)


@pytest.mark.parametrize("changes", [{"temperature": 9.0}, {"tumor_threshold": 0.9}])
def test_the_hash_holds_the_settings_too(run, changes):
    path = run / "checkpoint.pt"
    torch.save(torch.load(path) | changes, path)
    with pytest.raises(CheckpointError, match="do not have the hash that it carries"):
        Checkpoint.load(path)


def test_a_checkpoint_of_an_earlier_version_is_read(run):
    before = Checkpoint.load(run / "checkpoint.pt").network.state_dict()
    without_hash(run / "checkpoint.pt")
    assert "sha256" not in torch.load(run / "checkpoint.pt")
    after = Checkpoint.load(run / "checkpoint.pt").network.state_dict()
    torch.testing.assert_close(after, before, rtol=0, atol=0)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.int32])
def test_weights_of_another_dtype_are_refused(run, dtype):
    path = run / "checkpoint.pt"
    values = load_state(path)
    values["state"] = {name: one.to(dtype) for name, one in values["state"].items()}
    save_state(values, path)
    with pytest.raises(CheckpointError, match=r"features.0.0.weight is .*, expected torch.float32"):
        Checkpoint.load(path)


@pytest.mark.parametrize("best", [True, False])
def test_a_damaged_state_says_the_way_out(run, best):
    data = (run / "last.pt").read_bytes()
    (run / "last.pt").write_bytes(data[:4000] + b"\0" * 100 + data[4100:])
    if not best:
        (run / "checkpoint.pt").write_bytes(b"")
    with pytest.raises(RunFolderError) as caught:
        resume(run, NoProgress())
    said = str(caught.value)
    assert said.startswith(f"{run}/last.pt cannot be used: it is damaged")
    assert said.endswith(
        f"; its best epoch is whole in {run}/checkpoint.pt: start a new run from it with "
        "--init-weights" if best else "; start a new run"
    )  # fmt: skip


@pytest.mark.parametrize(
    "changes", [{"network": {}}, {"optimizer": 3}, {"history": [{}]}, {"scheduler": None}]
)
def test_a_state_of_another_run_says_the_way_out(run, changes):
    save_state(load_state(run / "last.pt") | changes, run / "last.pt")
    with pytest.raises(RunFolderError, match=r"contents do not fit the run: .*; its best epoch"):
        resume(run, NoProgress())


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [("config.json", '"learning_rate": 0.002', '"learning_rate": 0.003'),
     ("config.json", '"epochs": 3', '"epochs": 7'), ("split.csv", ",train", ",val")],
)  # fmt: skip
def test_a_run_does_not_go_on_under_other_settings_or_images(run, name, old, new):
    text = (run / name).read_text()
    assert old in text
    (run / name).write_text(text.replace(old, new, 1))
    with pytest.raises(RunFolderError) as caught:
        resume(run, NoProgress())
    assert str(caught.value) == (
        f"{run}/{name} changed since the run's last epoch; a run goes on as it began: bring back "
        "the file as it was, or start a new run"
    )


def test_a_run_goes_on_where_its_folders_moved(run, tmp_path):
    config = TrainConfig.read(run / "config.json")
    samples = [row.sample for row in read_manifest(run / "split.csv")]
    seen = (run / "seen.bin").read_bytes()
    moved = TrainConfig(**vars(config) | {"data": (str(tmp_path),), "device": "auto"})
    assert read_last(run, moved, samples, seen) is not None


def deflated(path: Path) -> None:
    torch.save({"weight": torch.zeros(1_000_000)}, path)
    with zipfile.ZipFile(path) as archive:
        parts = {one.filename: archive.read(one) for one in archive.infolist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in parts.items():
            archive.writestr(name, data)


class Room:
    """Pickles to a call that makes room for 12 GB."""

    def __reduce__(self):
        return bytearray, (12 * 10**9,)


def doubled(levels: int = 60) -> list:
    values: list = [1]
    for _ in range(levels):
        values = [values, values]
    return values


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (deflated, "it unpacks to more than it holds; torch writes no such file"),
        (lambda path: torch.save({"x": Room()}, path),
         "it holds more than tensors and plain values"),
        (lambda path: torch.save({"x": torch.zeros(1).expand(10**12)}, path),
         "it holds a tensor of (1000000000000,) in fewer bytes"),
        (lambda path: torch.save({"x": torch.zeros(3).to_sparse()}, path),
         "it holds more than tensors and plain values"),
        (lambda path: torch.save({"x": torch.zeros(10**12, device="meta")}, path),
         "it holds a tensor of another kind (torch.strided)"),
        (lambda path: torch.save({"x": doubled()}, path), "it holds more than 1,000,000 values"),
        (lambda path: torch.save({"x": {1, 2}}, path), "it holds a set"),
    ],
)  # fmt: skip
def test_what_would_take_more_memory_than_the_file_is_refused(tmp_path, make, reason):
    make(tmp_path / "bomb.pt")
    assert (tmp_path / "bomb.pt").stat().st_size < 5_000_000
    with pytest.raises(EdgeMriError) as caught:
        read_tensors(tmp_path / "bomb.pt", EdgeMriError, zip_alone=False)
    assert str(caught.value) == reason


def test_a_hash_tells_names_order_dtypes_shapes_and_bytes_apart():
    one = torch.arange(6, dtype=torch.float32)
    values = [
        {"a": one}, {"b": one}, {"a": one.double()}, {"a": one.reshape(2, 3)}, {"a": one + 1},
        {"a": one, "c": 1}, {"c": 1, "a": one}, {"a": [1, 2]}, {"a": (1, 2)}, {"a": "12"},
        {"a": 1}, {"a": 1.0}, {"a": True}, {"a": None}, {"a": [[1], 2]}, {"a": [[1, 2]]},
    ]  # fmt: skip
    assert len({digest(value) for value in values}) == len(values)
    assert digest({"a": one.reshape(2, 3).T}) == digest({"a": one.reshape(2, 3).T.contiguous()})


def test_bfloat16_and_scalars_have_a_hash():
    assert digest({"a": torch.zeros((), dtype=torch.bfloat16), "b": torch.zeros(0)})
