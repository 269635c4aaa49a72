import json
import os
import shutil
import tempfile
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
import torch
from click.testing import CliRunner
from onnx import TensorProto

from edge_mri.classifier import Classifier
from edge_mri.cli import main
from edge_mri.model.contract import Contract
from edge_mri.terminal.progress import NoProgress
from edge_mri_export import exporting
from edge_mri_export.graph.layers import count_quantized, layers
from edge_mri_export.int8.ranges import METHODS
from edge_mri_train.data.folders import read_folders
from edge_mri_train.data.manifest import Row, write_manifest
from edge_mri_train.data.partition import partition
from edge_mri_train.data.split import SplitConfig


def divided(folder: Path) -> list[Row]:
    config = SplitConfig({"train": 0.75, "val": 0.25})
    return partition(read_folders([folder]), config, NoProgress()).rows


def run(*arguments: object):
    return CliRunner().invoke(main, ["export", *map(str, arguments)])


@pytest.fixture
def runs(small, phantoms, tmp_path, monkeypatch):
    """Two runs with a checkpoint, the newer one `second`, and one that has not got so far."""
    for age, name in enumerate(["second", "first", "third"]):
        folder = tmp_path / "runs" / name
        folder.mkdir(parents=True)
        (folder / "config.json").touch()
        if name != "third":
            shutil.copy(small.path, folder / "checkpoint.pt")
            os.utime(folder / "checkpoint.pt", (1000 - age, 1000 - age))
            write_manifest(divided(phantoms), folder / "split.csv")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "runs"


def test_without_a_checkpoint_the_newest_runs_is_taken(runs):
    result = run("--quantize", "--calibration-method", "minmax", "--max-drop", 100)
    assert result.exit_code == 0
    assert sorted(path.name for path in runs.rglob("*.onnx")) == ["model.onnx", "model_int8.onnx"]
    fp32, fp32_parity, int8, int8_parity, *_ = result.stdout.splitlines()
    assert fp32.startswith("runs/second/model.onnx  0.2")
    assert fp32.endswith(" MB  FP32")
    assert fp32_parity.startswith("  against PyTorch on 12 images: same answer on 100.00 %, logits")
    assert int8.startswith("runs/second/model_int8.onnx  0.")
    assert int8.endswith(" MB  INT8, 8 of 8 layers quantised (minmax)")
    assert int8_parity.startswith("  against PyTorch on 12 images: same answer on ")


@pytest.fixture
def badly_calibrated(phantoms, tmp_path):
    """Black training images, real validation images."""
    for file in sorted(phantoms.glob("*/*.png")):
        for side in ("train", "val"):
            (tmp_path / "set" / side / file.parent.name).mkdir(parents=True, exist_ok=True)
            shutil.copy(file, tmp_path / "set" / side / file.parent.name)
        black = tmp_path / "set" / "train" / file.parent.name / file.name
        cv2.imwrite(str(black), np.zeros((96, 96), np.uint8))
    return tmp_path / "set"


def test_a_badly_calibrated_network_is_refused_after_all_repairs(small, badly_calibrated, tmp_path):
    out, report = tmp_path / "out" / "a.onnx", tmp_path / "report.json"
    out.parent.mkdir()
    (out.parent / "a_int8.onnx").write_bytes(b"of an earlier export")
    arguments = ("--calibration", badly_calibrated, "-o", out, "--json", report)
    result = run(small.path, "--quantize", *arguments)
    assert result.exit_code == 1
    message = result.stderr.splitlines()[-1]
    assert message.startswith("Error: INT8, the best of ")
    assert " tried, does not give PyTorch's answers: " in message
    assert " points of sensitivity (" in message
    assert "No INT8 file was written." in message
    assert [file.name for file in out.parent.iterdir()] == ["a.onnx"]
    fp32, refused = json.loads(report.read_text())
    assert (fp32["path"], fp32["refused"], fp32["reason"]) == (str(out), False, "")
    assert fp32["bytes"] == out.stat().st_size
    recipes = [one["recipe"] for one in refused["trials"]]
    assert recipes[:15:3] == [
        "percentile 99.99",
        "percentile 99.999",
        "mse",
        "minmax",
        "entropy",
    ]
    assert recipes[1:15:3] == [f"{one}, biases corrected" for one in recipes[:15:3]]
    assert recipes[2:15:3] == [f"{one}, error feedback" for one in recipes[:15:3]]
    assert recipes[15].endswith("fine-tuned")
    in_float = [one["excluded"] for one in refused["trials"][16:]]
    layers = [
        node.name
        for node in onnx.load(out.with_name("a.onnx")).graph.node
        if node.op_type == "Conv"
    ]
    assert list(dict.fromkeys(map(len, in_float))) == [2, 5, 1, 3, 6]
    first = [one for one in in_float if one in (layers[:2], layers[:5])]
    assert first == in_float[: len(first)]  # the network's first come first
    assert first
    assert len(recipes) > 16
    assert not any(one["passes"] for one in refused["trials"])
    assert all(one["losses"] for one in refused["trials"])
    assert (refused["refused"], refused["bytes"]) == (True, None)
    assert message == f"Error: {refused['reason']}"
    for recipe in recipes:  # each was said as it was tried
        assert any(note.startswith(f"{recipe}: same answer on ") for note in refused["notes"])
    assert any(one.startswith("fine-tuning on 48 training images") for one in refused["notes"])
    assert all(note in result.stderr for note in refused["notes"])
    said = result.stdout.splitlines()
    assert said[0].startswith(f"{out}  0.2")
    assert said[0].endswith(" MB  FP32")
    assert said[2].startswith(f"{out.with_name('a_int8.onnx')}  not written  INT8, ")
    assert said[2].endswith(f" of 8 layers quantised ({refused['chosen']})")
    assert said[3].startswith("  against PyTorch on 48 images: same answer on ")
    assert said[4].startswith("  sensitivity by type, points: glioma ")
    assert said[5].startswith("  sensitivity by plane, points: axial ")
    assert said[6].startswith("  calibration error of the type ")
    assert ", McNemar p = " in said[6]
    assert refused["parity"]["flipped"][0]["path"].startswith(str(badly_calibrated))


def test_a_type_that_nothing_checks_stops_an_export(small, phantoms, tmp_path):
    some = tmp_path / "some"
    for folder in phantoms.glob("*_axial"):
        if folder.name != "pituitary_axial":
            shutil.copytree(folder, some / folder.name)
    result = run(small.path, "--calibration", some, "-o", tmp_path / "a.onnx")
    assert result.exit_code == 2
    assert "no image to check pituitary, coronal, sagittal on" in result.stderr
    assert not (tmp_path / "a.onnx").exists()


def test_int8_qat_writes_a_fine_tuned_file_and_the_report_says_so(small, phantoms, tmp_path):
    report = tmp_path / "report.json"
    arguments = ("--calibration-method", "minmax", "--max-drop", 100, "--json", report)
    place = ("--calibration", phantoms, "-o", tmp_path / "a.onnx")
    result = run(small.path, "--quantize", "int8-qat", "--target", "arm64", *arguments, *place)
    assert result.exit_code == 0, result.stderr
    fp32, int8 = json.loads(report.read_text())
    assert (fp32["precision"], int8["precision"]) == ("fp32", "int8")
    assert int8["chosen"] == "minmax, biases corrected, fine-tuned"
    assert [one["recipe"] for one in int8["trials"]] == [
        "minmax",
        "minmax, biases corrected",
        "minmax, biases corrected, fine-tuned",
    ]
    assert int8["parity"]["n"] == 48
    assert (int8["refused"], fp32["notes"]) == (False, [])
    assert int8["notes"][-2] == "fine-tuning on 48 training images"
    assert int8["notes"][-1].startswith("minmax, biases corrected, fine-tuned: same answer on ")
    assert count_quantized(onnx.load(tmp_path / "a_int8.onnx")) == (8, 8)
    recipe = Classifier.load(tmp_path / "a_int8.onnx", device="cpu").contract.quantization
    assert recipe["method"] == "static, fine-tuned"
    assert recipe["target"] == "arm64"
    assert recipe["activations"] == "int8 asymmetric, per tensor"
    assert "fine-tuned" in result.stdout


def test_int8_qat_that_made_it_worse_says_that_int8_passes(small, phantoms, tmp_path, monkeypatch):
    """And does not call itself the best of what was tried."""

    def spoilt(model, *_, **__):
        worse = onnx.ModelProto.FromString(model.SerializeToString())
        for tensor in worse.graph.initializer:
            values = onnx.numpy_helper.to_array(tensor)
            if values.dtype == np.int8 and values.ndim == 2:
                tensor.CopyFrom(onnx.numpy_helper.from_array(np.zeros_like(values), tensor.name))
        return worse

    monkeypatch.setattr("edge_mri_export.int8.search.fine_tune", spoilt)
    arguments = ("--calibration-method", "minmax", "--max-drop", 60, "--calibration", phantoms)
    result = run(small.path, "--quantize", "int8-qat", *arguments, "-o", tmp_path / "a.onnx")
    assert result.exit_code == 1
    message = result.stderr.splitlines()[-1]
    assert message.startswith("Error: INT8 does not give PyTorch's answers: ")
    assert message.endswith(
        "No INT8 file was written. --quantize int8 passes, or allow more with --max-drop"
    )


@pytest.fixture(scope="module")
def quantized(road, phantoms, tmp_path_factory):
    """Export `small` to INT8 with options, each set of them once; return graph and contract."""
    made: dict[tuple[str, ...], tuple[onnx.ModelProto, Contract]] = {}
    small = road("artemis_cnn")

    def of(*options: str) -> tuple[onnx.ModelProto, Contract]:
        if options not in made:
            folder = tmp_path_factory.mktemp("quantized")
            method = () if "--calibration-method" in options else ("--calibration-method", "minmax")
            arguments = ("--quantize", "--max-drop", 100, "--calibration", phantoms, *method)
            result = run(small.path, *arguments, *options, "-o", folder / "a.onnx")
            assert result.exit_code == 0, result.output
            model = onnx.load(folder / "a_int8.onnx")
            metadata = {one.key: one.value for one in model.metadata_props}
            made[options] = model, Contract.from_metadata(metadata)
        return made[options]

    return of


def test_each_calibration_method_by_name_chooses_ranges_of_its_own(quantized):
    contracts = {name: quantized("--calibration-method", name)[1] for name in METHODS}
    stated = {name: one.quantization["calibration_method"] for name, one in contracts.items()}
    assert stated == {name: name for name in ("minmax", "percentile", "entropy", "mse")}
    percent = {name: one.quantization["percentile"] for name, one in contracts.items()}
    assert percent == {"minmax": None, "percentile": 99.99, "entropy": None, "mse": None}
    assert len({one.weights_sha256 for one in contracts.values()}) == len(METHODS)  # scales too


def test_excluded_nodes_are_float_in_the_file(small, quantized):
    first, *_, last = (node.name for node in layers(onnx.load(small.fp32).graph))
    model, contract = quantized("--exclude", first, "--exclude", last)
    assert contract.quantization["excluded"] == [first, last]
    assert contract.quantization["quantized_layers"] == [6, 8]
    assert count_quantized(model) == (6, 8)
    kept = {node.name: node.input[1] for node in layers(model.graph)}
    floats = [one.name for one in model.graph.initializer if one.data_type == TensorProto.FLOAT]
    assert {kept[first], kept[last]} <= set(floats)
    plain, without = quantized()
    assert (without.quantization["excluded"], count_quantized(plain)) == ([], (8, 8))


def test_as_many_images_calibrate_as_was_asked_for(quantized):
    few, all_of_them = quantized("--calibration-samples", "13")[1], quantized()[1]
    assert few.quantization["calibration_images"] == 13
    assert all_of_them.quantization["calibration_images"] == 48
    assert few.parity["n"] == all_of_them.parity["n"] == 48
    assert few.weights_sha256 != all_of_them.weights_sha256  # other ranges


@pytest.mark.parametrize(
    ("options", "target", "zero", "bits", "most"),
    [
        ((), "portable", TensorProto.UINT8, 7, 64),
        (("--target", "avx512-vnni"), "avx512-vnni", TensorProto.UINT8, 8, 127),
        (("--target", "arm64"), "arm64", TensorProto.INT8, 8, 127),
    ],
    ids=["portable", "avx512-vnni", "arm64"],
)
def test_a_target_has_the_integers_it_is_for(quantized, options, target, zero, bits, most):
    model, contract = quantized(*options)
    assert contract.quantization["target"] == target
    assert contract.quantization["weights"] == f"int8 symmetric, per channel, {bits} bits"
    tensors = {one.name: one for one in model.graph.initializer}
    nodes = [node for node in model.graph.node if node.op_type == "QuantizeLinear"]
    assert {tensors[node.input[2]].data_type for node in nodes} == {zero}
    values = [onnx.numpy_helper.to_array(one) for one in tensors.values()]
    weights = [one.astype(int) for one in values if one.ndim > 1 and one.dtype == np.int8]
    assert max(np.abs(one).max() for one in weights) == most


@pytest.mark.parametrize("option", ["-o", "--json"])
def test_a_folder_that_may_not_be_written_is_said_before_the_work(
    small, phantoms, tmp_path, monkeypatch, option
):
    make = tempfile.mkstemp
    place = tmp_path / "closed" / "a.onnx"
    place.parent.mkdir()

    def refused(*arguments, dir, **options):
        if Path(dir) == place.parent:
            raise PermissionError(13, "Permission denied")
        return make(*arguments, dir=dir, **options)

    def too_late(*_):
        raise AssertionError

    monkeypatch.setattr(tempfile, "mkstemp", refused)  # root may write anywhere
    monkeypatch.setattr(exporting, "load_images", too_late)
    elsewhere = () if option == "-o" else ("-o", tmp_path / "a.onnx")
    result = run(small.path, "--calibration", phantoms, option, place, *elsewhere)
    assert (result.exit_code, result.stderr) == (
        2,
        f"Error: cannot write {place}: Permission denied\n",
    )
    assert [one.name for one in tmp_path.rglob("*")] == ["closed"]


class Bomb:
    def __reduce__(self):
        return (Path.touch, (Path("exploded"),))


@pytest.mark.parametrize("fault", ["truncated", "pickle with code"])
def test_a_broken_or_hostile_checkpoint_is_exit_code_2(small, tmp_path, monkeypatch, fault):
    monkeypatch.chdir(tmp_path)
    if fault == "truncated":
        data = small.path.read_bytes()
        Path("c.pt").write_bytes(data[: len(data) // 2])
    else:
        torch.save({"format": Bomb()}, "c.pt")
    result = run("c.pt", "--quantize")
    assert result.exit_code == 2
    assert result.stderr.startswith("Error: c.pt is no checkpoint that can be used: ")
    assert [file.name for file in tmp_path.iterdir()] == ["c.pt"]


def test_without_any_run_it_says_how_to_start_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = run()
    assert (result.exit_code, result.stderr) == (
        2,
        "Error: no runs/*/checkpoint.pt here; start with `edge-mri train --data DIR`\n",
    )


def test_without_a_run_beside_the_checkpoint_it_says_what_to_do(small):
    result = run(small.path)
    assert (result.exit_code, result.stderr) == (
        2,
        f"Error: no split.csv beside {small.path}; "
        "say which images to use with --calibration DIR\n",
    )


def test_images_and_output_can_be_chosen(small, phantoms, tmp_path):
    result = run(small.path, "--calibration", phantoms, "-o", tmp_path / "new" / "a.onnx")
    assert result.exit_code == 0
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["a.onnx"]
    assert "on 48 images" in result.stdout


def test_broken_parity_is_exit_code_1_and_leaves_no_file(small, phantoms, tmp_path, monkeypatch):
    def zeroed(*arguments):
        model = body(*arguments)
        for one in model.graph.initializer:
            if one.data_type == TensorProto.FLOAT:
                one.raw_data = bytes(len(one.raw_data))
        return model

    body = exporting.body_graph
    monkeypatch.setattr(exporting, "body_graph", zeroed)
    report, out = tmp_path / "report.json", tmp_path / "out" / "a.onnx"
    report.write_text("of an earlier export")
    result = run(small.path, "--calibration", phantoms, "-o", out, "--json", report)
    assert result.exit_code == 1
    said = result.stderr.splitlines()[-1]
    assert said.startswith("Error: the FP32 ONNX file differs from PyTorch: logits by up")
    first, second = result.stdout.splitlines()
    assert first == f"{out}  not written  FP32"
    assert second.startswith("  against PyTorch on 48 images: same answer on ")
    assert list((tmp_path / "out").iterdir()) == []
    (refused,) = json.loads(report.read_text())
    assert (refused["path"], refused["precision"]) == (str(out), "fp32")
    assert (refused["refused"], refused["bytes"]) == (True, None)
    assert said == f"Error: {refused['reason']}"
    assert refused["parity"]["n"] == 48
    assert refused["parity"]["max_logit_difference"] > 0.1


@pytest.mark.filterwarnings("ignore:invalid value")
def test_a_refused_fp16_file_is_reported_beside_the_fp32_file(
    small, phantoms, tmp_path, monkeypatch
):
    """Its logits are no numbers, which JSON does not know."""

    def spoilt(model):
        changed = onnx.ModelProto.FromString(model.SerializeToString())
        for tensor in changed.graph.initializer:
            values = onnx.numpy_helper.to_array(tensor)
            if values.dtype == np.float32 and values.ndim == 2:
                nothing = np.full_like(values, np.nan)
                tensor.CopyFrom(onnx.numpy_helper.from_array(nothing, tensor.name))
        return changed

    monkeypatch.setattr(exporting, "half", spoilt)
    report, out = tmp_path / "report.json", tmp_path / "a.onnx"
    arguments = ("--calibration", phantoms, "-o", out, "--json", report)
    result = run(small.path, "--quantize", "fp16", *arguments)
    assert result.exit_code == 1
    assert "; allowed 0.5 %. No FP16 file was written. " in result.stderr
    said = result.stdout.splitlines()
    assert said[0].endswith(" MB  FP32")
    assert said[2] == f"{tmp_path / 'a_fp16.onnx'}  not written  FP16"

    def no_number(name: str) -> None:
        raise AssertionError(name)

    fp32, fp16 = json.loads(report.read_text(), parse_constant=no_number)
    assert (fp32["refused"], fp16["refused"]) == (False, True)
    assert fp16["parity"]["max_logit_difference"] is None
    assert "some logits are no numbers" in fp16["reason"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("gone.pt",), "model file not found: gone.pt"),
        (("CHECKPOINT", "-o", "a.pb"), "the output is a.pb; expected a name ending in .onnx"),
        (("CHECKPOINT", "--max-drop", "101"), "--max-drop is 101.0; expected 0 to 100 percent"),
        (("CHECKPOINT", "--calibration", "gone"), "no such file or folder: gone"),
        (
            ("CHECKPOINT", "--target", "arm64"),
            "--target is for INT8, and --quantize is none; leave",
        ),
        (("CHECKPOINT", "--quantize", "fp16", "--exclude", "a"), "--exclude is for INT8, and --q"),
        (
            ("CHECKPOINT", "--max-drop", "1"),
            "--max-drop is for quantised files, and --quantize is ",
        ),
        (("CHECKPOINT", "--calibration", "EMPTY"), "no images below EMPTY; "),
        (("CHECKPOINT", "--calibration", "ONE"), "all 4 images below ONE are of type glioma; "),
        (("CHECKPOINT", "--quantize", "int4"), "Invalid value for '--quantize': 'int4' is not one"),
        (("MODEL",), "MODEL is no checkpoint that can be used: it is damaged, or something else; "),
    ],
)
def test_wrong_use_is_one_line_and_exit_code_2(
    small, phantoms, tmp_path, tmp_path_factory, monkeypatch, arguments, message
):
    monkeypatch.chdir(tmp_path)
    places = {"CHECKPOINT": str(small.path), "MODEL": str(small.fp32)}
    for name in ("EMPTY", "ONE"):
        places[name] = str(tmp_path_factory.mktemp(name.lower()))
    shutil.copytree(phantoms / "glioma_axial", Path(places["ONE"]) / "glioma_axial")
    result = run(*(places.get(one, one) for one in arguments))
    assert result.exit_code == 2
    for name in ("MODEL", "EMPTY", "ONE"):
        message = message.replace(name, places[name])
    assert result.stderr.splitlines()[-1].startswith(f"Error: {message}")
    assert list(tmp_path.iterdir()) == []


def test_an_int8_file_of_another_export_does_not_stay_beside(small, phantoms, tmp_path):
    stale = tmp_path / "model_int8.onnx"
    stale.write_bytes(b"of another checkpoint")
    run(small.path, "--calibration", phantoms, "-o", tmp_path / "model.onnx")
    assert [file.name for file in tmp_path.iterdir()] == ["model.onnx"]
