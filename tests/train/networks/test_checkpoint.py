import os
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_mri.errors import ModelNotFoundError
from edge_mri.images.preprocess import PreprocessSpec
from edge_mri.labels import LabelSpace
from edge_mri_train.errors import CheckpointError
from edge_mri_train.networks.architectures import build
from edge_mri_train.networks.checkpoint import Checkpoint, load_state, save_state

EXPECTED = "expected a checkpoint.pt written by `edge-mri train`"


class Bomb:
    """Pickles to a call that leaves a file behind."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.fixture(scope="module")
def checkpoint() -> Checkpoint:
    torch.manual_seed(0)
    return Checkpoint(
        "squeezenet1_1",
        LabelSpace.for_task("type"),
        PreprocessSpec(32),
        build("squeezenet1_1", 4, 32).eval(),
        temperature=1.5,
        tumor_threshold=0.3,
        training={"data": ["set/Training"], "validation": {"epoch": 3, "score": 0.5}},
    )


@pytest.fixture
def values(checkpoint, tmp_path) -> dict:
    checkpoint.save(tmp_path / "good.pt")
    return load_state(tmp_path / "good.pt")


def pixels(count: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, 1, 32, 32), np.uint8)


def test_a_checkpoint_comes_back_with_all_it_knows(checkpoint, tmp_path):
    checkpoint.save(tmp_path / "checkpoint.pt")
    back = Checkpoint.load(tmp_path / "checkpoint.pt")
    for name in (
        "architecture",
        "labels",
        "preprocess",
        "temperature",
        "tumor_threshold",
        "training",
    ):
        assert getattr(back, name) == getattr(checkpoint, name)
    assert not back.network.training
    images = pixels(70)  # more than a batch
    np.testing.assert_array_equal(back.logits(images), checkpoint.logits(images))
    assert back.logits(images).std() > 1e-3


def test_the_file_holds_only_tensors_and_plain_values(checkpoint, tmp_path):
    checkpoint.save(tmp_path / "checkpoint.pt")
    torch.load(tmp_path / "checkpoint.pt", weights_only=True)


def test_probabilities_are_the_softmax_of_logits_by_temperature(checkpoint):
    images = pixels(3)
    expected = torch.from_numpy(checkpoint.logits(images) / 1.5).softmax(dim=1).numpy()
    np.testing.assert_allclose(checkpoint.probabilities(images), expected, rtol=1e-5)


def test_a_failed_save_leaves_the_old_file_and_no_other(checkpoint, tmp_path, monkeypatch):
    checkpoint.save(tmp_path / "checkpoint.pt")
    before = (tmp_path / "checkpoint.pt").read_bytes()

    def half(values, file):
        file.write(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(torch, "save", half)
    with pytest.raises(KeyboardInterrupt):
        checkpoint.save(tmp_path / "checkpoint.pt")
    assert (tmp_path / "checkpoint.pt").read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["checkpoint.pt"]


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ModelNotFoundError, match=r"^model file not found: .*/gone.pt$"):
        Checkpoint.load(tmp_path / "gone.pt")


def refusal(path: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        Checkpoint.load(path)
    assert "\n" not in str(caught.value)
    found = re.fullmatch(
        f"{re.escape(str(path))} is no checkpoint that can be used: (.+); {EXPECTED}",
        str(caught.value),
    )
    assert found
    return found[1]


@pytest.mark.parametrize("kept", [0, 1, 0.5, 0.999])
def test_a_truncated_file_is_refused(checkpoint, tmp_path, kept):
    path = tmp_path / "checkpoint.pt"
    checkpoint.save(path)
    data = path.read_bytes()
    path.write_bytes(data[: int(kept * len(data)) if isinstance(kept, float) else kept])
    assert refusal(path) == "it is damaged, or something else"


@pytest.mark.parametrize("content", [b"hello\n", b"\x89PNG\r\n\x1a\n", b"PK\x03\x04 and no more"])
def test_a_foreign_file_is_refused(tmp_path, content):
    path = tmp_path / "checkpoint.pt"
    path.write_bytes(content)
    assert refusal(path) == "it is damaged, or something else"


@given(content=st.binary(max_size=200))
@settings(max_examples=200, deadline=None)
def test_no_bytes_end_in_anything_but_a_refusal(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "fuzz.pt"
    path.write_bytes(content)
    with pytest.raises(CheckpointError):
        load_state(path)


@given(position=st.floats(0, 1, exclude_max=True), byte=st.integers(0, 255))
@settings(max_examples=60, deadline=None)
def test_a_flipped_byte_is_read_or_refused(tmp_path_factory, position, byte):
    path = tmp_path_factory.getbasetemp() / "flipped.pt"
    save_state({"format": "?", "state": {"w": torch.zeros(4)}}, path)
    data = bytearray(path.read_bytes())
    data[int(position * len(data))] = byte
    path.write_bytes(data)
    with pytest.raises(CheckpointError):
        Checkpoint.load(path)


def test_a_file_that_would_run_code_is_refused_and_runs_none(tmp_path):
    path = tmp_path / "checkpoint.pt"
    torch.save({"format": Bomb(tmp_path / "ran")}, path)
    assert refusal(path) == "it holds more than tensors and plain values"
    assert not (tmp_path / "ran").exists()


def test_a_state_dict_alone_is_refused(tmp_path):
    path = tmp_path / "weights.pth"
    torch.save({"weight": torch.zeros(2)}, path)
    assert refusal(path) == "it is not in format edge-mri checkpoint 1"


def test_what_is_no_dictionary_is_refused(tmp_path):
    path = tmp_path / "tensor.pt"
    torch.save(torch.zeros(2), path)
    assert refusal(path) == "it is not a dictionary"


def test_a_later_version_is_refused(values, tmp_path):
    save_state(values | {"format_version": 2}, tmp_path / "later.pt")
    assert refusal(tmp_path / "later.pt") == "it is not in format edge-mri checkpoint 1"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        (
            {"architecture": "resnet1"},
            r"unknown architecture 'resnet1'; did you mean .*resnet18.*\?",
        ),
        ({"architecture": "resnet18"}, r"its contents do not fit: Error\(s\) in loading.*ResNet"),
        ({"preprocess": {"size": 9}}, r".*image size 9 px; expected .*16 to 1024.*"),
        ({"preprocess": {"size": 32, "colour": True}}, r".*unexpected keyword argument 'colour'.*"),
        ({"labels": ["glioma"]}, r".*labels: expected types and planes, got glioma.*"),
        ({"labels": 3}, r"its contents do not fit: .*"),
        ({"state": None}, r"its contents do not fit: .*"),
        ({"state": {3: torch.zeros(1)}}, r"its contents do not fit: .*"),
        ({"architecture": 3}, r"its architecture is 3, not a text"),
        ({"temperature": "x"}, r"its temperature is 'x', not a number above 0"),
        ({"temperature": 0}, r"its temperature is 0, not a number above 0"),
        ({"temperature": float("nan")}, r"its temperature is nan, not a number above 0"),
        ({"tumor_threshold": 2}, r"its tumor_threshold is 2, not a number from 0 to 1"),
        ({"training": None}, r"its training is None, not a dictionary"),
        ({"seen": "x"}, r"its seen is 'x', not bytes"),
        ({"seen": torch.zeros(2)}, r"its seen is tensor\(\[0., 0.\]\), not bytes"),
    ],
)
def test_contents_that_do_not_fit_are_refused_in_one_line(values, tmp_path, changes, reason):
    path = tmp_path / "odd.pt"
    save_state(values | changes, path)
    assert re.fullmatch(reason, refusal(path))


@pytest.mark.parametrize("key", ["architecture", "labels", "preprocess", "state", "temperature"])
def test_a_checkpoint_without_a_part_is_refused(values, tmp_path, key):
    del values[key]
    save_state(values, tmp_path / "part.pt")
    assert refusal(tmp_path / "part.pt") == f"its contents do not fit: '{key}'"
