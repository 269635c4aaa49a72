import json
from dataclasses import asdict

import pytest

from edge_mri.errors import OptionError
from edge_mri_train.config import TrainConfig
from edge_mri_train.errors import RunFolderError


def test_comes_back_as_it_was_written(tiny, tmp_path):
    config = tiny(seed=7, val_fraction=0.1)
    config.write(tmp_path / "config.json")
    assert TrainConfig.read(tmp_path / "config.json") == config


@pytest.mark.parametrize(
    "values",
    [
        {"epochs": 0},
        {"batch_size": 0},
        {"learning_rate": 0.0},
        {"learning_rate": float("nan")},
        {"learning_rate": float("inf")},
    ],
)
def test_values_out_of_range_are_refused(tiny, values):
    with pytest.raises(OptionError, match=r"^epochs, batch size and learning rate must be above 0"):
        tiny(**values)


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_a_seed_out_of_range_is_refused(tiny, seed):
    with pytest.raises(OptionError, match=f"^seed {seed}; expected 0 to 4294967295$"):
        tiny(seed=seed)


def test_unknown_settings_are_named(tiny, tmp_path):
    path = tmp_path / "config.json"
    path.write_text(json.dumps(asdict(tiny()) | {"speed": 3, "colour": 1}))
    with pytest.raises(RunFolderError) as caught:
        TrainConfig.read(path)
    assert str(caught.value) == f"{path}: unknown settings colour, speed"


@pytest.mark.parametrize("content", [b"", b"[]", b"null", b"3", b"{}", b'{"data": 3}', b"\xff"])
def test_what_is_no_configuration_is_refused(tmp_path, content):
    path = tmp_path / "config.json"
    path.write_bytes(content)
    with pytest.raises(RunFolderError, match=f"^{path} is no configuration of a run: "):
        TrainConfig.read(path)


def test_a_value_out_of_range_in_the_file_is_refused_as_such(tiny, tmp_path):
    path = tmp_path / "config.json"
    path.write_text(json.dumps(asdict(tiny()) | {"epochs": 0}))
    with pytest.raises(OptionError, match=r"^epochs, batch size"):
        TrainConfig.read(path)


def test_a_configuration_is_frozen(tiny):
    config: TrainConfig = tiny()
    with pytest.raises(AttributeError):
        config.epochs = 3
    with pytest.raises(OptionError):
        tiny(epochs=0)
