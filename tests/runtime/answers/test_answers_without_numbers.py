"""A model that gives NaN or infinities gives no answer, and no command says otherwise."""

import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_mri.answers.decision import Answers, decide
from edge_mri.answers.prediction import softmax
from edge_mri.classifier import Classifier
from edge_mri.errors import AnswerError
from edge_mri.labels import LabelSpace
from edge_mri.model.content_hash import with_hash
from edge_mri.model.rejection import Rejection

onnx = pytest.importorskip("onnx", reason="makes models with onnx")

SAID = (
    "the model's output {} holds values that are no numbers (NaN, infinity, an overflow); "
    "export it again, in FP32 where it is FP16"
)
NAN, INF = float("nan"), float("inf")


@pytest.fixture
def broken(mapped: Callable[..., Path], tmp_path: Path) -> Callable[..., Path]:
    """A model of which one output holds a value for bright images, and numbers for dark ones."""

    def write(output: str, value: float, map_output: str = "lesion") -> Path:
        gate = Rejection(1e6, (0.5, 0.5), 1.0, 100)
        model = onnx.load(mapped(map_output=map_output, rejection=gate))
        graph = model.graph
        for node in graph.node:
            node.output[:] = [f"{one}_before" if one == output else one for one in node.output]
        graph.initializer.append(onnx.numpy_helper.from_array(np.float32(value), "bad"))
        graph.initializer.append(onnx.numpy_helper.from_array(np.float32(0.5), "half"))
        node, take = onnx.helper.make_node, {"logits": "evidence", "novelty": "row"}
        graph.node.extend(
            [
                node("Reshape", ["evidence", "flat"], ["row"]),
                node("Greater", [take.get(output, "brightest"), "half"], ["is_bright"]),
                node("Where", ["is_bright", "bad", f"{output}_before"], [output]),
            ]
        )
        path = tmp_path / "broken.onnx"
        path.write_bytes(with_hash(model.SerializeToString()))
        return path

    return write


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder with a dark picture and one that holds something bright."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    dark = np.random.default_rng(0).integers(0, 40, (64, 64), np.uint8)  # levels as an image has
    bright = dark.copy()
    bright[16:40, 16:40] = 255
    cv2.imwrite(str(folder / "bright.png"), bright)
    cv2.imwrite(str(folder / "dark.png"), dark)
    return folder


CASES = [
    ("logits", NAN, "logits"),
    ("logits", INF, "logits"),
    ("logits", -INF, "logits"),
    ("novelty", NAN, "novelty"),
    ("novelty", -INF, "novelty"),
    ("lesion", NAN, "lesion"),
    ("lesion", INF, "lesion"),
]


@pytest.mark.parametrize(("output", "value", "name"), CASES)
@pytest.mark.parametrize("options", [(), ("--no-reject",)], ids=["gate", "no gate"])
def test_infer_writes_an_error_record_and_the_others_are_answered(
    command, broken, pictures, output, value, name, options
):
    model = broken(output, value)
    ended = command("infer", pictures, "--model", model, "--format", "jsonl", *options)
    assert ended.code == 1
    bright, dark = (json.loads(line, parse_constant=pytest.fail) for line in ended.out.splitlines())
    said = {key: value for key, value in bright.items() if value is not None}
    assert said == {
        "path": str(pictures / "bright.png"),
        "status": "error",
        "error": SAID.format(name),
    }
    assert (dark["status"], dark["type"]) == ("ok", "no_tumor")


@pytest.mark.parametrize("suffix", ["json", "jsonl", "csv"])
def test_report_and_pictures_hold_what_was_answered(command, broken, pictures, tmp_path, suffix):
    model, out = broken("logits", NAN), tmp_path / f"out.{suffix}"
    ended = command(
        *("infer", pictures, "--model", model, "-o", out),
        *("--report", tmp_path / "page.html", "--heatmaps", tmp_path / "maps"),
    )
    assert ended.code == 1
    assert "NaN" not in out.read_text().replace(SAID.format("logits"), "")
    page = (tmp_path / "page.html").read_text()
    assert SAID.format("logits") in page
    assert len(list((tmp_path / "maps").rglob("*.png"))) == 1


@pytest.mark.parametrize("value", [NAN, INF])
def test_a_class_activation_map_of_no_numbers_is_no_picture(
    command, broken, pictures, tmp_path, value
):
    model = broken("cam", value, "cam")
    ended = command(
        *("infer", pictures, "--model", model, "--format", "jsonl", "--heatmaps", tmp_path / "m")
    )
    assert ended.code == 1
    bright, dark = map(json.loads, ended.out.splitlines())
    assert bright["error"] == SAID.format("cam")
    assert dark["status"] == "ok"


def test_infinite_novelty_is_as_foreign_as_can_be(command, broken, pictures):
    ended = command("infer", pictures, "--model", broken("novelty", INF), "--format", "jsonl")
    bright = json.loads(ended.out.splitlines()[0])
    assert (ended.code, bright["status"], bright["rejected"]) == (0, "rejected", "foreign")
    assert bright["novelty"] is None


def test_python_raises_for_one_image_and_tells_of_a_stream(broken, pictures):
    classifier = Classifier.load(broken("logits", NAN), device="cpu")
    with pytest.raises(AnswerError, match="holds values that are no numbers"):
        classifier.predict(pictures / "bright.png")
    assert classifier.predict(pictures / "dark.png").type == "no_tumor"
    records = list(classifier.stream(sorted(pictures.iterdir())))
    assert [record.status for record in records] == ["error", "ok"]
    batch = np.stack([np.full((1, 64, 64), grey, np.uint8) for grey in (255, 20)])
    found = classifier.probabilities(batch)
    assert np.isnan(found[0]).all()
    assert found[1].sum() == pytest.approx(1)


@pytest.mark.parametrize(("output", "value", "name"), CASES[:5])
def test_check_and_evaluate_do_not_pass_such_a_model(
    command, broken, pictures, tmp_path, output, value, name
):
    model = broken(output, value)
    ended = command("check", model, "--write")
    assert (ended.code, ended.out) == (2, "")
    assert ended.err == f"Error: {SAID.format(name)}\n"
    pytest.importorskip("sklearn", reason="evaluates with scikit-learn")
    folder = tmp_path / "set" / "glioma"
    folder.parent.mkdir()
    pictures.rename(folder)
    ended = command("evaluate", model, "--data", folder.parent)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.splitlines()[-1] == f"Error: 1 of 2 images have no answer: {SAID.format(name)}"


def test_golden_values_of_a_model_that_broke_fail(command, mapped, broken, tmp_path):
    good = tmp_path / "good.onnx"
    good.write_bytes(mapped().read_bytes())
    assert command("check", good, "--write").code == 0
    golden = json.loads(good.with_suffix(".golden.json").read_text())
    bad = broken("logits", NAN)
    golden["model_sha256"] = Classifier.load(bad, device="cpu").model_sha256
    bad.with_suffix(".golden.json").write_text(json.dumps(golden))
    ended = command("check", bad, "--json")
    found = json.loads(ended.out, parse_constant=pytest.fail)
    assert (ended.code, found["passed"], found["largest_difference"]) == (1, False, 1)


@pytest.mark.parametrize("temperature", [0.001, 1, 1000])
@pytest.mark.parametrize("value", [NAN, INF, -INF, 3e38])
def test_a_row_of_logits_is_probabilities_or_nothing(value, temperature):
    logits = np.float32([[0, 1, 2, value], [0, 1, 2, 3]])
    found = softmax(logits, temperature)
    assert np.isnan(found[0]).all() or found[0].sum() == pytest.approx(1)
    assert np.isnan(found[0]).all() == (not np.isfinite(value) or temperature < 1)
    assert found[1].sum() == pytest.approx(1)


@pytest.mark.parametrize("row", [[NAN, 1, 0, 0], [0.5, 0.1, 0, 0], [2, -1, 0, 0], [INF, 0, 0, 0]])
def test_what_is_no_distribution_is_not_decided(row):
    answers = Answers(np.float32([[0, 0, 0, 1], row]))
    assert answers.faults() == {1: "logits"}
    with pytest.raises(AnswerError, match="1 of 2 images have no answer"):
        decide(answers, LabelSpace.for_task("type"))
    assert decide(answers.without({1}), LabelSpace.for_task("type")).types[0] == 3
