import json
import shutil
from dataclasses import replace

import pytest

from edge_mri import check as check_module
from edge_mri.check import TOLERANCE, check
from edge_mri.classifier import SHIPPED_MODEL
from edge_mri.golden import golden_path, read_golden


@pytest.fixture
def copied(tmp_path):
    """A copy of the model that ships, and of its golden values."""
    path = tmp_path / "model.onnx"
    shutil.copy(SHIPPED_MODEL, path)
    shutil.copy(golden_path(SHIPPED_MODEL), golden_path(path))
    return path


def test_this_installation_passes(command):
    ended = command("check")
    assert ended.code == 0, ended.out
    lines = dict(line.partition(" ")[::2] for line in ended.out.splitlines())
    assert list(lines) == [
        *("model", "cpu", "features", "provider", "versions", "speed", "answers", "PASS"),
    ]
    assert "CPUExecutionProvider" in lines["provider"]


def test_what_was_found_comes_as_json(command):
    found = json.loads(command("check", "--json").out)
    assert found["passed"]
    assert found["largest_difference"] <= found["tolerance"] == TOLERANCE
    assert found["n"] == 6


def test_other_answers_fail(classifier):
    golden = read_golden(SHIPPED_MODEL)
    first = golden.images[0]
    probabilities = dict(first.probabilities)
    probabilities["glioma"] += TOLERANCE + 0.01
    wrong = replace(
        golden, images=(replace(first, probabilities=probabilities), *golden.images[1:])
    )
    found = check(classifier, wrong)
    assert not found.passed
    assert found.reason == f"the answer to {first.name} is off by 0.040"


def test_an_image_that_no_longer_decodes_fails(classifier):
    golden = read_golden(SHIPPED_MODEL)
    broken = replace(golden, images=(replace(golden.images[0], data=b"nothing"),))
    found = check(classifier, broken)
    assert (found.passed, found.largest_difference, found.file_ms) == (False, 1, None)


def test_a_model_that_was_changed_fails(command, copied):
    data = copied.read_bytes()
    assert data.count(b"Not a diagnostic device") == 1
    copied.write_bytes(data.replace(b"Not a diagnostic device", b"But a diagnostic device"))
    ended = command("check", copied)
    assert ended.code == 1
    assert ended.out.endswith(
        "FAIL: the model file is not the one that the golden values were made with\n"
    )


def test_golden_values_are_written_beside_a_model(command, copied):
    expected = golden_path(copied).read_text()
    golden_path(copied).unlink()
    ended = command("check", copied)
    assert ended.code == 2
    assert ended.err == (
        f"Error: the golden values {golden_path(copied)} cannot be used: No such file or "
        "directory; write them with `edge-mri check MODEL --write`\n"
    )
    assert command("check", copied, "--write").code == 0
    written, shipped = json.loads(golden_path(copied).read_text()), json.loads(expected)
    assert [image["name"] for image in written["images"]] == [
        image["name"] for image in shipped["images"]
    ]
    assert command("check", copied).code == 0


def test_the_golden_values_that_ship_are_not_written_over(command, monkeypatch):
    before = golden_path(SHIPPED_MODEL).read_bytes()
    monkeypatch.setattr("edge_mri.commands.check.write_golden", lambda _: pytest.fail("written"))
    assert command("check", "--write") == (
        2,
        "",
        "Error: --write needs MODEL: the golden values of the one that ships come with it; "
        "name the file beside which new ones are to lie\n",
    )
    assert golden_path(SHIPPED_MODEL).read_bytes() == before


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"images": [1], "model_sha256": ""}'])
def test_golden_values_that_are_none_are_refused(command, copied, text):
    golden_path(copied).write_text(text)
    ended = command("check", copied)
    assert ended.code == 2
    assert ended.err.startswith(
        f"Error: the golden values {golden_path(copied)} cannot be used: they are something else ("
    )


def test_a_machine_that_says_nothing_of_its_cpu_is_enough(monkeypatch, classifier):
    monkeypatch.setattr(
        check_module.Path, "read_text", lambda *_, **__: (_ for _ in ()).throw(OSError)
    )
    found = check_module._cpu()
    assert found["features"] == []
