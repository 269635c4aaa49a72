"""Networks and files that give NaN or infinities: no export, and no check that passes."""

import json
from dataclasses import replace

import numpy as np
import onnx
import pytest
import torch
from click.testing import CliRunner
from onnx import numpy_helper
from torch import nn

from edge_mri.cli import main
from edge_mri.errors import AnswerError
from edge_mri.images.preprocess import PreprocessSpec
from edge_mri.labels import LabelSpace
from edge_mri.model.contract import Contract
from edge_mri_export import exporting
from edge_mri_export.gate.rejection import Measured, choose_rejection
from edge_mri_export.graph.half import half
from edge_mri_export.graph.stored_contract import store_contract
from edge_mri_export.graph.weights import weights_sha256
from edge_mri_export.guard.answers import Answers
from edge_mri_export.guard.comparison import compare

NAN, INF = float("nan"), float("inf")
CONTRACT = Contract("x", LabelSpace.for_task("type"), PreprocessSpec(64))


def run(*arguments: object):
    return CliRunner().invoke(main, list(map(str, arguments)))


@pytest.fixture
def changed(small, tmp_path):
    """A checkpoint whose last layer is shifted."""

    def write(shift: float):
        checkpoint = small.checkpoint
        head = [one for one in checkpoint.network.modules() if isinstance(one, nn.Linear)][-1]
        before = {name: one.clone() for name, one in head.state_dict().items()}
        with torch.no_grad():
            head.bias[0] += shift
        try:
            checkpoint.save(tmp_path / "checkpoint.pt")
        finally:
            head.load_state_dict(before)
        return tmp_path / "checkpoint.pt"

    return write


@pytest.mark.parametrize("value", [NAN, INF])
def test_a_network_that_gives_no_numbers_is_not_exported(changed, phantoms, tmp_path, value):
    ended = run(
        *("export", changed(value), "-o", tmp_path / "out/m.onnx", "--calibration", phantoms)
    )
    assert ended.exit_code == 2
    assert ended.stderr.splitlines()[-1] == (
        "Error: 48 of 48 images have no answer: the model's output logits holds values that are no "
        "numbers (NaN, infinity, an overflow); export it again, in FP32 where it is FP16"
    )
    assert list((tmp_path / "out").glob("*")) == []


def test_an_overflow_of_fp16_is_not_written(small, phantoms, tmp_path, monkeypatch):
    def overflowing(model: onnx.ModelProto) -> onnx.ModelProto:
        model = half(model)
        for node in model.graph.node:
            node.output[:] = ["before" if one == "logits" else one for one in node.output]
        many = numpy_helper.from_array(np.float32(3e38), "many")
        model.graph.initializer.append(many)
        model.graph.node.append(onnx.helper.make_node("Mul", ["before", "many"], ["scaled"]))
        model.graph.node.append(onnx.helper.make_node("Mul", ["scaled", "many"], ["logits"]))
        return model

    monkeypatch.setattr(exporting, "half", overflowing)
    ended = run(
        *("export", small.path, "-o", tmp_path / "out/m.onnx", "--calibration", phantoms),
        *("--quantize", "fp16", "--max-drop", 99),
    )
    assert ended.exit_code == 1
    assert "FP16 does not give PyTorch's answers: " in ended.stderr
    assert "some logits are no numbers" in ended.stderr
    assert [one.name for one in (tmp_path / "out").iterdir()] == ["m.onnx"]


def test_verify_fails_a_file_that_gives_no_numbers(small, tmp_path):
    model = onnx.load(small.fp32)
    tensor = max(model.graph.initializer, key=lambda one: len(one.raw_data))
    values = numpy_helper.to_array(tensor).copy()
    values[:] = NAN
    tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    stored = Contract.from_metadata({one.key: one.value for one in model.metadata_props})
    store_contract(model, replace(stored, weights_sha256=weights_sha256(model)))
    onnx.save(model, tmp_path / "m.onnx")
    ended = run("verify", tmp_path / "m.onnx", "--json")
    found = json.loads(ended.stdout, parse_constant=pytest.fail)
    assert (ended.exit_code, found["passed"]) == (1, False)
    (failed,) = (check for check in found["checks"] if check["passed"] is False)
    assert failed["name"] == "runtime"
    assert failed["detail"].startswith(
        "4 of 4 images have no answer: the model's output logits holds"
    )


@pytest.mark.parametrize("value", [NAN, INF, -INF])
def test_an_image_without_an_answer_counts_as_changed(value):
    good = np.float32([[0, 0, 0, 9], [9, 0, 0, 0], [0, 9, 0, 0], [0, 0, 9, 0]])
    bad = good.copy()
    bad[1, 2] = value
    labels = [*CONTRACT.labels.classes[::-1]]
    parity = compare(Answers(good), Answers(bad), labels, ["a", "b", "c", "d"], CONTRACT)
    assert parity.agreement == 0.75
    assert [(flip.path, flip.reference, flip.other) for flip in parity.flipped] == [
        ("b", "glioma", "none")
    ]
    assert "some logits are no numbers" in parity.losses(99)
    json.dumps(parity.to_report(), allow_nan=False)


@pytest.mark.parametrize("value", [NAN, INF, -INF])
def test_no_gate_is_fitted_to_a_novelty_of_no_numbers(value):
    novelty = np.linspace(0, 1, 200, dtype=np.float32)
    novelty[7] = value
    logits = np.random.default_rng(0).normal(size=(200, 4)).astype(np.float32)
    with pytest.raises(
        AnswerError, match="1 of 200 images have no answer: the model's output novelty"
    ):
        choose_rejection([Measured(logits, novelty)], CONTRACT)


@pytest.mark.parametrize("value", [NAN, INF, -INF])
def test_no_gate_is_fitted_to_log_odds_that_are_no_numbers(value):
    odds = np.linspace(-9, -1, 200, dtype=np.float32)
    odds[7] = value
    logits = np.random.default_rng(0).normal(size=(200, 4)).astype(np.float32)
    given = Measured(logits, np.ones(200, np.float32), odds)
    with pytest.raises(
        AnswerError, match="1 of 200 images have no answer: the model's output foreign"
    ):
        choose_rejection([given], CONTRACT)
