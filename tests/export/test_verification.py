import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from onnx import numpy_helper

from edge_mri.cli import main
from edge_mri.model.content_hash import HASH_KEY
from edge_mri.model.contract import METADATA_KEY, Contract
from edge_mri.model.rejection import Rejection
from edge_mri.phantoms.phantom import PhantomConfig, write_phantoms
from edge_mri.terminal.progress import NoProgress
from edge_mri_export.graph.stored_contract import store_contract
from edge_mri_export.graph.weights import weights_sha256
from edge_mri_export.report import lines
from edge_mri_train.data.folders import read_folders
from edge_mri_train.data.manifest import write_manifest
from edge_mri_train.data.partition import partition
from edge_mri_train.data.split import SplitConfig


def run(*arguments: object):
    return CliRunner().invoke(main, ["verify", *map(str, arguments)])


def words(output: str) -> dict[str, str]:
    """What is said of each check: its word."""
    checks = [line.split() for line in output.splitlines() if not line.startswith(" ")]
    return {name: word for word, name, *_ in checks}


def contract_of(model: onnx.ModelProto) -> Contract:
    return Contract.from_metadata({one.key: one.value for one in model.metadata_props})


def edited(source: Path, target: Path, edit) -> Path:
    """Save what an edit makes of a file; it returns the contract to write, or None.

    With a contract the file also gets the hash that a careful edit would bring.
    """
    model = onnx.load(source)
    contract = edit(model)
    if contract is None:
        onnx.save(model, target)
        return target
    store_contract(model, contract)
    onnx.save(model, target)
    return target


def nudge(model: onnx.ModelProto) -> None:
    """Change one weight of the last layer by its smallest step."""
    tensor = max(model.graph.initializer, key=lambda one: len(one.raw_data))
    values = numpy_helper.to_array(tensor).copy()
    values.flat[0] = np.nextafter(values.flat[0], np.float32(9)) if values.dtype.kind == "f" else 3
    tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))


@pytest.mark.parametrize("kind", ["fp32", "int8"])
def test_an_exported_file_passes_against_its_checkpoint(small, phantoms, kind):
    model = getattr(small, kind)
    options = ["--max-drop", 100] if kind == "int8" else []
    result = run(model, "--checkpoint", small.path, "--data", phantoms, *options)
    assert result.exit_code == 0, result.output
    assert words(result.stdout) == dict.fromkeys(
        ["contract", "content", "weights", "graph", "runtime", "checkpoint", "parity"], "ok"
    ) | {"signature": "skipped"}
    parity, *more = result.stdout.splitlines()[7:]
    assert " of 48 images, logits differ by at most " in parity
    assert "; at the export " in parity
    written = small.exported[["fp32", "int8"].index(kind)]
    said = [line.replace("--json FILE", "--json") for line in list(lines(written))[2:]]
    assert more == said
    told = ["sensitivity by type", "McNemar p = ", "operating point", "changed: "]
    assert [any(one in line for line in more) for one in told] == [kind == "int8"] * 4


@pytest.mark.parametrize(
    ("kind", "checkpoint", "said"),
    [
        (
            "int8",
            False,
            "--max-drop is for the comparison with a checkpoint; add --checkpoint FILE, or leave "
            "it out",
        ),
        (
            "fp32",
            True,
            "--max-drop is for quantised files, and MODEL is FP32: its logits are PyTorch's or it "
            "fails; leave it out",
        ),
    ],
)
def test_max_drop_is_refused_where_it_has_no_effect(small, phantoms, kind, checkpoint, said):
    model = getattr(small, kind)
    options = ["--checkpoint", small.path, "--data", phantoms] if checkpoint else []
    result = run(model, *options, "--max-drop", 1)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.splitlines()[-1] == f"Error: {said.replace('MODEL', str(model))}"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"parity": {"n": 48}}, "its parity lacks agreement"),
        (
            {"parity": {"agreement": "all", "n": 48}},
            "its parity says agreement is 'all', expected 0 to 1",
        ),
        (
            {"parity": {"agreement": float("nan"), "n": None}},
            "its parity says agreement is None, expected 0 to 1; "
            "its parity says n is None, expected a whole number above 0",
        ),
        (
            {"quantization": {"max_drop": "1"}},
            "its quantization says max_drop is '1', expected 0 to 100",
        ),
        (
            {"quantization": {"quantized_layers": 8}},
            "its quantization says quantized_layers is 8, expected two whole numbers",
        ),
        (
            {"quantization": {"quantized_layers": [8], "opset": True}},
            "its quantization says opset is True, expected a whole number; "
            "its quantization says quantized_layers is [8], expected two whole numbers",
        ),
        ({"precision": "int4"}, "its precision is 'int4', expected one of fp32, fp16, int8"),
    ],
)
def test_a_record_of_the_contract_that_cannot_be_used_is_a_fault_of_it(
    small, phantoms, tmp_path, changes, said
):
    path = edited(
        small.int8, tmp_path / "m.onnx", lambda model: replace(contract_of(model), **changes)
    )
    result = run(path, "--checkpoint", small.path, "--data", phantoms)
    assert (result.exit_code, result.stdout) == (1, f"FAILED   contract    {said}\n")


def test_without_a_checkpoint_the_comparison_is_skipped(small):
    result = run(small.int8)
    assert result.exit_code == 0
    assert words(result.stdout)["parity"] == "skipped"
    assert "layers quantised" in result.stdout


def test_a_file_that_was_allowed_more_fails_and_it_is_said_why(small, phantoms):
    result = run(small.int8, "--checkpoint", small.path, "--data", phantoms, "--max-drop", 0)
    assert result.exit_code == 1
    assert words(result.stdout)["parity"] == "FAILED"
    (parity,) = (line for line in result.stdout.splitlines() if line.startswith("FAILED"))
    assert parity.endswith("allowed 0 %, the export was told to allow 100 %")


@pytest.mark.parametrize("kind", ["fp32", "int8"])
def test_one_changed_weight_is_noticed(small, tmp_path, kind):
    path = edited(getattr(small, kind), tmp_path / "edited.onnx", nudge)
    result = run(path)
    assert result.exit_code == 1
    assert words(result.stdout)["weights"] == words(result.stdout)["content"] == "FAILED"
    assert "edited after the export: sha256 " in result.stdout


@pytest.mark.parametrize(
    ("key", "own", "value"), [("temperature", 1.0, 2.0), ("tumor_threshold", 0.5, 0.99)]
)
def test_an_edited_contract_is_held_against_the_checkpoint(
    small, phantoms, tmp_path, key, own, value
):
    path = edited(
        small.fp32, tmp_path / "m.onnx", lambda model: replace(contract_of(model), **{key: value})
    )
    result = run(path, "--checkpoint", small.path, "--data", phantoms)
    assert result.exit_code == 1
    assert f"{key} is {own} in the checkpoint, {value} in the model" in result.stdout
    assert "parity" not in words(result.stdout)  # there is nothing to compare


def test_another_networks_file_fails_the_comparison(small, phantoms, tmp_path):
    def swap(model: onnx.ModelProto) -> Contract:
        tensor = max(model.graph.initializer, key=lambda one: len(one.raw_data))
        values = numpy_helper.to_array(tensor)[::-1].copy()
        tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
        return replace(contract_of(model), weights_sha256=weights_sha256(model))

    path = edited(small.fp32, tmp_path / "m.onnx", swap)
    result = run(path, "--checkpoint", small.path, "--data", phantoms)
    assert result.exit_code == 1
    assert words(result.stdout)["parity"] == "FAILED"
    assert "the FP32 ONNX file differs from PyTorch: logits by up to " in result.stdout


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (
            lambda model: setattr(model.opset_import[0], "version", 11),
            "opset 11, expected 17 to 20",
        ),
        (
            lambda model: model.graph.initializer.extend(
                [numpy_helper.from_array(np.zeros(3, np.float32), "left_over")]
            ),
            "1 initialisers that no node takes, such as left_over",
        ),
        (
            lambda model: replace(
                contract_of(model), rejection=Rejection(1.0, (0.5, 0.5), 1.0, 100)
            ),
            "the contract rejects by novelty, which the graph does not give",
        ),
    ],
    ids=["opset", "left over", "gate"],
)
def test_a_graph_that_does_not_hold_what_it_should_is_told(small, tmp_path, edit, said):
    result = run(edited(small.fp32, tmp_path / "m.onnx", edit))
    assert result.exit_code == 1
    assert words(result.stdout)["graph"] == "FAILED"
    assert said in result.stdout


def test_a_file_without_a_contract_fails(small, tmp_path):
    model = onnx.load(small.fp32)
    del model.metadata_props[:]
    onnx.save(model, tmp_path / "m.onnx")
    result = run(tmp_path / "m.onnx")
    assert result.exit_code == 1
    assert words(result.stdout) == {"contract": "FAILED"}


def test_json_holds_the_figures_then_and_now(small, phantoms):
    result = run(small.fp32, "--checkpoint", small.path, "--data", phantoms, "--json")
    found = json.loads(result.stdout)
    assert found["passed"] is True
    parity = found["checks"][-1]
    assert parity["name"] == "parity"
    assert parity["figures"]["n"] == parity["figures"]["stored"]["n"] == 48
    assert parity["figures"]["max_logit_difference"] < 1e-3
    assert parity["figures"]["flipped"] == []
    assert set(parity) == {"name", "passed", "detail", "figures"}


def test_json_names_the_images_whose_answer_changed(small, phantoms):
    result = run(small.int8, "--checkpoint", small.path, "--data", phantoms, "--json")
    found = json.loads(result.stdout)["checks"][-1]["figures"]
    written = small.exported[1].parity.to_report()
    assert found["flipped"] == written["flipped"]
    assert Path(found["flipped"][0]["path"]).is_relative_to(phantoms)
    assert found["stored"]["flipped"] == len(found["flipped"])


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("missing.onnx", None, "Error: model file not found: "),
        ("text.onnx", b"no model at all", "is not an ONNX model: "),
        ("empty.onnx", b"", "is not an ONNX model: it is empty"),
    ],
)
def test_what_is_no_model_is_wrong_use(tmp_path, name, content, said):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    result = run(path)
    assert result.exit_code == 2
    assert said in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_the_contract_survives_quantisation_but_for_what_quantisation_changes(small):
    fp32, int8 = (contract_of(onnx.load(path)).to_dict() for path in (small.fp32, small.int8))
    changed = {name for name in fp32 if fp32[name] != int8[name]}
    assert changed == {"precision", "quantization", "parity", "weights_sha256"}
    for path in (small.fp32, small.int8):
        keys = [one.key for one in onnx.load(path).metadata_props]
        assert keys == [METADATA_KEY, HASH_KEY]


def test_the_hash_does_not_depend_on_order_or_storage(small, tmp_path):
    model = onnx.load(small.fp32)
    before = weights_sha256(model)
    tensors = list(model.graph.initializer)[::-1]
    del model.graph.initializer[:]
    for tensor in tensors:
        values = numpy_helper.to_array(tensor)
        stored = onnx.helper.make_tensor(
            tensor.name, tensor.data_type, tensor.dims, values.ravel().tolist()
        )  # values one by one instead of raw bytes
        model.graph.initializer.append(stored)
    assert weights_sha256(model) == before
    model.graph.initializer[0].name += "_"
    assert weights_sha256(model) != before


@pytest.fixture(scope="module")
def gated(road, tmp_path_factory):
    """A run with enough images for a rejection gate, exported."""
    folder = tmp_path_factory.mktemp("gated")
    write_phantoms(folder / "images", PhantomConfig(count=28, size_px=80, seed=2, format="png"))
    config = SplitConfig({"train": 0.65, "val": 0.35})
    samples = read_folders([folder / "images"])
    rows = partition(samples, config, NoProgress()).rows
    write_manifest(rows, folder / "split.csv")
    shutil.copy(road("artemis_cnn").path, folder / "checkpoint.pt")
    options = ["--quantize", "--calibration-method", "minmax", "--max-drop", "100"]
    options += ["--outputs", "embedding", "--licence", "CC0-1.0"]
    exported = CliRunner().invoke(main, ["export", str(folder / "checkpoint.pt"), *options])
    assert exported.exit_code == 0, exported.output
    return folder


@pytest.mark.parametrize("name", ["model.onnx", "model_int8.onnx"])
def test_an_export_from_a_run_rejects_and_verify_repeats_it(gated, name, tmp_path):
    contract = contract_of(onnx.load(gated / name))
    assert contract.rejection.n >= 100
    assert 0.98 <= contract.rejection.kept <= 1
    assert contract.licence == "CC0-1.0"
    options = ["--checkpoint", gated / "checkpoint.pt"]
    options += ["--max-drop", 100] if "int8" in name else []
    result = run(gated / name, *options)
    assert result.exit_code == 0, result.output
    assert words(result.stdout)["rejection"] == "ok"
    assert "outputs logits, embedding, novelty" in result.stdout

    others = run(gated / name, "--data", gated / "images")
    assert others.exit_code == 0
    assert words(others.stdout)["rejection"] == "measured"

    wrong = replace(contract, rejection=replace(contract.rejection, kept=0.5))
    path = edited(gated / name, tmp_path / "m.onnx", lambda model: wrong)
    result = run(path, *options)
    assert result.exit_code == 1
    assert words(result.stdout)["rejection"] == "FAILED"


def test_no_gate_is_fitted_and_judged_on_the_same_images(gated, tmp_path):
    arguments = [
        gated / "checkpoint.pt",
        "--calibration",
        gated / "images",
        "-o",
        tmp_path / "m.onnx",
    ]
    result = CliRunner().invoke(main, ["export", *map(str, arguments)])
    assert result.exit_code == 0
    assert "no rejection gate: it needs validation images beside the training" in result.stderr
    assert contract_of(onnx.load(tmp_path / "m.onnx")).rejection is None
