import json
import math
from dataclasses import asdict

import pytest

from edge_mri.errors import OptionError
from edge_mri_train.errors import RunFolderError
from edge_mri_train.settings.config import TrainConfig


def test_comes_back_as_it_was_written(tiny, tmp_path):
    config = tiny(seed=7, val_fraction=0.1)
    config.write(tmp_path / "config.json")
    assert TrainConfig.read(tmp_path / "config.json") == config


def test_names_that_are_no_text_come_back(tiny, tmp_path):
    names = ("sets/\udcff", r"sets/\xff", "sets/a\\b", r"sets/a\b\xe9")
    config = tiny(data=names)
    config.write(tmp_path / "config.json")
    assert r"sets/\\xff" in (tmp_path / "config.json").read_text(encoding="ascii")
    assert TrainConfig.read(tmp_path / "config.json") == config


@pytest.mark.parametrize(
    ("name", "values", "expected"),
    [
        ("epochs", (0, "12", 1.5, True), "a whole number of 1 or more"),
        ("batch_size", (0, None), "a whole number of 1 or more"),
        ("patience", (0, -1, "3"), "a whole number of 1 or more"),
        ("fold", (-1, 1.0), "a whole number of 0 or more"),
        ("seed", (-1, 2**32), "a whole number from 0 to 4294967295"),
        ("image_size", ("160", 1.5), "a whole number of pixels"),
        ("learning_rate", (0.0, math.nan, math.inf, "fast"), "a number above 0"),
        ("max_gradient_norm", (0.0, -1, math.nan), "a number above 0"),
        ("weight_decay", (-0.1, "x", None), "a number of 0 or more"),
        ("label_weight", (-1, math.nan, True), "a number of 0 or more"),
        ("lesion_weight", (-1, math.inf), "a number of 0 or more"),
        ("distill_weight", (-1, "x"), "a number of 0 or more"),
        ("distill_map", (-1, "x"), "a number of 0 or more"),
        ("distill_features", (-1, "x"), "a number of 0 or more"),
        ("distill_temperature", (0, -1, "x"), "a number above 0"),
        ("label_smoothing", (5.0, 1, -0.1, "x"), "a number of 0 or more and below 1"),
        ("ema", (1, -0.1), "a number of 0 or more and below 1"),
        ("warm_up", (1.0, None), "a number of 0 or more and below 1"),
        ("tumor_free", (1.0, "half"), "a number of 0 or more and below 1"),
        ("dropout", (1.0, "x"), "a number of 0 or more and below 1"),
        ("val_fraction", (0, 1.0, "x"), "a number above 0 and below 1"),
        ("specificity", (1.0, "half"), "a number of 0 or more and below 1"),
        ("start_share", (1.0, "half"), "a number of 0 or more and below 1"),
        ("refit", (1, "yes"), "true or false"),
        ("frozen_trunk", (True, "yes"), "one of auto, no, first, always"),
        ("compile", ("no",), "true or false"),
        ("arch", (3, ""), "a text"),
        ("init_weights", (None,), "a text"),
        ("split", (3,), "a text"),
        ("data", ("folder", [1], (1,)), "several texts"),
        ("augment", (3, {}), "a table of changes"),
        ("task", ("colour", None), "one of auto, type-plane, type"),
        ("class_weights", ("some",), "one of none, balanced"),
        ("sampler", ("some",), "one of shuffle, weighted, sets"),
        ("device", ("gpu",), "one of auto, cpu, cuda"),
        ("precision", ("half", None), "one of auto, float32, bfloat16"),
    ],
)
def test_what_a_setting_cannot_be_is_refused(tiny, name, values, expected):
    for value in values:
        with pytest.raises(OptionError) as caught:
            tiny(**{name: value})
        assert str(caught.value) == f"{name} is {value!r}; expected {expected}"


def test_the_ends_of_the_ranges_are_allowed(tiny):
    tiny(seed=2**32 - 1, weight_decay=0, label_smoothing=0, warm_up=0, patience=1, learning_rate=1)


def test_unknown_settings_are_named(tiny, tmp_path):
    path = tmp_path / "config.json"
    path.write_text(json.dumps(asdict(tiny()) | {"speed": 3, "colour": 1}))
    with pytest.raises(RunFolderError) as caught:
        TrainConfig.read(path)
    assert str(caught.value) == f"{path}: unknown settings colour, speed"


def test_anchored_it_holds_absolute_paths_and_no_other_change(tiny, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = tiny(
        data=("set", "/else/where"), distill=("a.pt",), split="m.csv", init_weights="w.pth"
    )
    assert config.anchored() == tiny(
        data=(f"{tmp_path}/set", "/else/where"),
        distill=(f"{tmp_path}/a.pt",),
        split=f"{tmp_path}/m.csv",
        init_weights=f"{tmp_path}/w.pth",
    )
    for start in ("imagenet", "shipped", "none"):
        assert tiny(init_weights=start).anchored() == tiny(init_weights=start)


@pytest.mark.parametrize("content", [b"", b"[]", b"null", b"3", b"{}", b'{"data": 3}', b"[" * 9999])
def test_what_is_no_configuration_is_refused(tmp_path, content):
    path = tmp_path / "config.json"
    path.write_bytes(content)
    with pytest.raises(RunFolderError, match=f"^{path} is no configuration of a run: "):
        TrainConfig.read(path)


def test_a_value_out_of_range_in_the_file_is_refused_as_such(tiny, tmp_path):
    path = tmp_path / "config.json"
    path.write_text(json.dumps(asdict(tiny()) | {"epochs": 0}))
    with pytest.raises(OptionError, match=r"^epochs is 0; expected a whole number"):
        TrainConfig.read(path)


def test_a_configuration_is_frozen(tiny):
    config: TrainConfig = tiny()
    with pytest.raises(AttributeError):
        config.epochs = 3
    with pytest.raises(OptionError):
        tiny(epochs=0)
