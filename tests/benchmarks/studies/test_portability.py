import shutil

import numpy as np
import pytest
from click.testing import CliRunner

import portability
from emulated_cpus import Cpu
from portability import SKIPPED, Answers, compare, main

PIXELS = np.zeros((3, 4), np.int64)
LOGITS = np.array([[3.0, 1.0], [0.0, 2.0], [1.0, 1.5]])
HERE = Answers(PIXELS, LOGITS, ["glioma", "no_tumor", "no_tumor"])


def test_the_same_answers_are_the_same():
    assert compare(HERE, HERE, 0.0) == (
        True,
        "3 images: 0 other classes, 0 other types written; the same input for 3, whose logits "
        "differ by at most 0",
    )


def test_logits_past_the_tolerance_fail_where_the_input_is_the_same():
    there = Answers(PIXELS, LOGITS + 0.02, HERE.types)
    assert compare(HERE, there, 0.03)[0]
    assert not compare(HERE, there, 0.01)[0]


def test_an_image_that_was_decoded_otherwise_is_held_to_its_class_alone():
    pixels, logits = PIXELS.copy(), LOGITS.copy()
    pixels[2, 1], logits[2] = 1, [1.0, 1.9]
    same, said = compare(HERE, Answers(pixels, logits, HERE.types), 0.01)
    assert same
    assert said.endswith("; elsewhere input differs by at most 1 grey levels, logits by 0.4")
    logits[2] = [1.9, 1.0]
    assert not compare(HERE, Answers(pixels, logits, HERE.types), 0.01)[0]


def test_another_type_in_the_records_fails():
    there = Answers(PIXELS, LOGITS, ["glioma", "glioma", "no_tumor"])
    same, said = compare(HERE, there, 0.01)
    assert not same
    assert "1 other types written" in said


def test_where_there_is_no_emulator_it_skips_and_says_why(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    ended = CliRunner().invoke(main, ["--cpu", "haswell"])
    assert ended.exit_code == SKIPPED
    assert ended.output == (
        "skipped  haswell: qemu-x86_64 is not installed; on Debian: apt-get install qemu-user\n"
    )


def test_a_model_that_cannot_be_asked_is_told(tmp_path):
    (tmp_path / "model.onnx").write_bytes(b"no model")
    ended = CliRunner().invoke(main, [str(tmp_path / "model.onnx"), "--cpu", "haswell"])
    assert ended.exit_code == 1
    assert "is not an ONNX model" in ended.output


@pytest.mark.parametrize(
    ("script", "code", "said"),
    [
        ("exit 132", SKIPPED, "skipped  haswell: Python does not start"),
        ('[ -z "$2" ] || exit 132', 1, "FAILED   haswell: Python ended with 132"),
    ],
)
def test_a_cpu_that_python_starts_on_and_the_model_does_not_fails(
    script, code, said, tmp_path, monkeypatch
):
    emulator = tmp_path / "emulator"
    emulator.write_text(f"#!/bin/sh\necho boom >&2\n{script}\n")
    emulator.chmod(0o755)
    fake = Cpu("a fake", (str(emulator),), ())
    monkeypatch.setitem(portability.KNOWN, "haswell", lambda cache: fake)
    ended = CliRunner().invoke(main, ["--cpu", "haswell"])
    assert (ended.exit_code, ended.output) == (code, f"{said} on a fake:\nboom\n")
