import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_mri.classifier import SHIPPED_MODEL
from edge_mri.errors import GoldenValuesError
from edge_mri.golden import check as check_module
from edge_mri.golden.check import TOLERANCE, check
from edge_mri.golden.values import golden_path, read_golden
from edge_mri.labels import LabelSpace
from edge_mri.model.content_hash import with_hash


@pytest.fixture
def copied(tmp_path):
    """A copy of the packaged model, and of its golden values."""
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


@pytest.mark.parametrize("absent", ["clear", None])
def test_a_model_of_other_labels_is_checked_by_its_own_names(command, mapped, absent):
    types = ("stroke", "abscess", "cyst", "clear")
    model = mapped(labels=LabelSpace(types, (), absent, "finding"))
    assert command("check", model, "--write").code == 0
    for image in read_golden(model).images:
        assert tuple(image.probabilities) == types
    found = json.loads(command("check", model, "--json").out)
    assert (found["passed"], found["n"], found["largest_difference"]) == (True, 6, 0)


def test_a_model_that_was_changed_fails(command, copied):
    data = copied.read_bytes()
    assert data.count(b"Not a diagnostic device") == 1
    changed = data.replace(b"Not a diagnostic device", b"But a diagnostic device")
    copied.write_bytes(with_hash(changed))
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
        "Error: --write needs MODEL: the golden values of the packaged model come with it; "
        "name the file beside which new ones are to lie\n",
    )
    assert golden_path(SHIPPED_MODEL).read_bytes() == before


@pytest.mark.parametrize(
    "text",
    [
        *("", "[]", "{}", "NaN", "1" * 5000, '{"images": [1], "model_sha256": ""}'),
        *("[" * 100_000, '{"images":' * 50_000, "\ufeff{}"),
    ],
)
def test_golden_values_that_are_none_are_refused(command, copied, text):
    golden_path(copied).write_text(text)
    ended = command("check", copied)
    assert ended.code == 2
    assert ended.err.startswith(
        f"Error: the golden values {golden_path(copied)} cannot be used: they are something else ("
    )


def written(values: dict, model: Path) -> None:
    golden_path(model).write_text(json.dumps(values))


@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), -0.1, 1.1, "0.5", True, None, [0.5]])
def test_a_golden_value_that_is_no_probability_is_refused(command, copied, wrong):
    values = json.loads(golden_path(copied).read_text())
    values["images"][3]["probabilities"]["pituitary"] = wrong
    written(values, copied)
    name, shown = values["images"][3]["name"], repr(wrong)
    ended = command("check", copied)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err == (
        f"Error: the golden values {golden_path(copied)} cannot be used: they are something else "
        f"(P('pituitary') of {name!r} is {shown}, expected 0 to 1); "
        "write them with `edge-mri check MODEL --write`\n"
    )


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda one: one["images"].clear(), "images is [], expected a list of one or more"),
        (lambda one: one["images"].append(one["images"][2]), "images of one name: '"),
        (lambda one: one.update(tolerance=float("nan")), "the file has ['notice', 'model_sha256',"),
        (lambda one: one.update(tolerance=9), "the file has ['notice', 'model_sha256',"),
        (lambda one: one.update(model_sha256=1), "model_sha256 is 1, expected text"),
        (lambda one: one["images"][0].update(name=7), "an image has the name 7"),
        (lambda one: one["images"][0].update(data="aa"), "Incorrect padding"),
        (
            lambda one: one["images"][0].update(data="§"),
            "string argument should contain only ASCII",
        ),
        (lambda one: one["images"][0].update(probabilities={}), "probabilities of 'glioma_axial"),
        (lambda one: one["images"][0].pop("data"), "an image has ['name', 'probabilities']"),
    ],
)
def test_golden_values_that_would_prove_nothing_are_refused(command, copied, spoil, said):
    values = json.loads(golden_path(copied).read_text())
    spoil(values)
    written(values, copied)
    ended = command("check", copied)
    assert (ended.code, ended.out) == (2, "")
    assert f" cannot be used: they are something else ({said}" in ended.err
    assert len(ended.err.splitlines()) == 1


@pytest.mark.parametrize("lost", ["glioma", "sagittal"])
def test_a_probability_that_is_missing_fails(command, copied, lost):
    values = json.loads(golden_path(copied).read_text())
    del values["images"][0]["probabilities"][lost]
    written(values, copied)
    ended = command("check", copied)
    assert ended.code == 1
    assert ended.out.endswith("FAIL: the answer to glioma_axial.jpg is off by 1.000\n")


@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), -float("inf")])
def test_python_gets_no_pass_of_values_that_are_no_numbers(classifier, wrong):
    golden = read_golden(SHIPPED_MODEL)
    last = golden.images[-1]
    spoilt = replace(last, probabilities=last.probabilities | {"sagittal": wrong})
    found = check(classifier, replace(golden, images=(*golden.images[:-1], spoilt)))
    assert (found.passed, found.largest_difference) == (False, 1)
    twice = check(classifier, replace(golden, images=(spoilt, replace(last, name=last.name))))
    assert (twice.passed, twice.n) == (False, 2)
    none = check(classifier, replace(golden, images=()))
    assert (none.passed, none.reason) == (False, "there are no golden images")
    assert (none.largest_difference, none.file_ms) == (1, None)


@pytest.mark.skipif(os.name != "posix", reason="there are no such files elsewhere")
@pytest.mark.parametrize(
    ("make", "said"),
    [
        (os.mkfifo, "it is a device or a pipe, no regular file"),
        (lambda path: path.symlink_to("/dev/zero"), "it is a device or a pipe, no regular file"),
        (lambda path: path.mkdir(), "it is a folder"),
        (
            lambda path: (path.touch(), os.truncate(path, 3 << 30)),
            "it has 3,221,225,472 bytes, the limit is 67,108,864",
        ),
    ],
    ids=["pipe", "device", "folder", "large"],
)
def test_golden_values_are_in_a_file_of_a_sane_size(command, copied, make, said):
    path = golden_path(copied)
    path.unlink()
    make(path)
    ended = command("check", copied)
    assert (ended.code, ended.out) == (2, "")
    assert f"the golden values {path} cannot be used: {said}; " in ended.err


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=5,
)
PLACES = [
    *[(name,) for name in ("notice", "model_sha256", "images", "more")],
    *[("images", 1), ("images", 1, "name"), ("images", 1, "data"), ("images", 1, "probabilities")],
    *[("images", 1, "probabilities", "glioma"), ("images", 1, "probabilities", "more")],
]


@given(st.sampled_from(PLACES), VALUES)
def test_whatever_stands_in_golden_values_they_are_refused_or_compared(place, value):
    values = json.loads(golden_path(SHIPPED_MODEL).read_text())
    holder = values
    for key in place[:-1]:
        holder = holder[key]
    holder[place[-1]] = value
    with TemporaryDirectory() as folder:
        model = Path(folder) / "m.onnx"
        written(values, model)
        try:
            golden = read_golden(model)
        except GoldenValuesError as error:
            said = str(error)
        else:
            said = ""
            assert all(
                0 <= one <= 1 for image in golden.images for one in image.probabilities.values()
            )
    assert len(said.splitlines()) <= 1


def test_a_machine_that_says_nothing_of_its_cpu_is_enough(monkeypatch, classifier):
    monkeypatch.setattr(
        check_module.Path, "read_text", lambda *_, **__: (_ for _ in ()).throw(OSError)
    )
    found = check_module._cpu()
    assert found["features"] == []
