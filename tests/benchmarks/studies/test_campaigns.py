"""A small version of each campaign against hostile files, kills, races, streams and full disks."""

import os
import sys

import pytest

pytest.importorskip("onnx", reason="writes models with onnx")
if not sys.platform.startswith("linux"):
    pytest.skip("the campaigns are for Linux", allow_module_level=True)

import close_streams
import fill_disk
import flip_bits
import hostile_models
import kill_runs
import race_starts
from campaign import Campaign, Ended, fault, not_finite


def groups(counted: Campaign) -> set[str]:
    return {group for group, _ in counted.counts}


@pytest.mark.parametrize(
    ("ended", "said"),
    [
        (Ended(0, "", "", 1), ""),
        (Ended(2, "", "Error: no such file\n", 1), ""),
        (Ended(None, "", "", 60), "no end within 60 s"),
        (Ended(70, "", "Traceback (most recent call last):\n", 1), "traceback"),
        (Ended(-11, "", "", 1), "exit code -11"),
        (Ended(2, "", "", 1), "0 lines of error"),
        (Ended(2, "", "Error: a\nError: b\n", 1), "2 lines of error"),
    ],
)
def test_a_fault_is_told(ended, said):
    assert fault(ended) == said


@pytest.mark.parametrize(
    ("probabilities", "said"),
    [
        ('{"a": 0.25, "b": 0.75}', ""),
        ('{"a": 0.25, "b": 0.25}', "an answer that is no distribution"),
        ('{"a": NaN, "b": 1}', "a record that is no JSON"),
    ],
)
def test_an_answer_that_is_no_number_is_told(probabilities, said):
    record = f'{{"status": "ok", "type_probabilities": {probabilities}}}\n'
    assert not_finite(record) == said


def test_hostile_models():
    cases = list(hostile_models.hostile_models(2))
    assert len(cases) > 300
    kinds = {case.kind: case for case in reversed(cases)}  # the first of each
    text = next(case for case in cases if case.name == "type 8")  # text in place of numbers
    counted = hostile_models.campaign([*kinds.values(), text], ("info", "infer"))
    assert counted.findings == []
    assert groups(counted) == {f"{one}, {kind}" for one in ("info", "infer") for kind in kinds}


def test_flipped_bits(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("EDGE_MRI_CACHE", "")
    counted = flip_bits.campaign(5)
    assert counted.findings == []
    assert counted.counts["model.onnx", "refused"] == 5
    assert counted.counts["session cache", flip_bits.NOT_KEPT] == 5


def test_killed_runs(monkeypatch):
    monkeypatch.setattr(kill_runs, "MOST_KILLS", 2)
    counted = kill_runs.campaign(runs=1, trainings=0, images=60)
    assert counted.findings == []
    assert {"infer jsonl, gone on", "infer csv, gone on"} <= groups(counted)


def test_starts_at_once():
    counted = race_starts.campaign(rounds=1)
    assert counted.findings == []
    assert "control" in groups(counted)
    assert os.geteuid() or "another user, mode 777" in groups(counted)


def test_streams():
    commands = ("infer", "infer -o", "info")
    counted = close_streams.campaign(10, commands)
    assert counted.findings == []
    assert groups(counted) == set(commands)


def test_a_full_disk():
    counted = fill_disk.campaign(1, ("infer csv", "report", "check --write"))
    assert counted.findings == []
    assert counted.counts["report", "exit code 2"] == 1
    assert "infer csv, gone on" in groups(counted)
