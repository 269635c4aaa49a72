import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from edge_mri.images.preprocess import PreprocessSpec
from edge_mri.labels import LabelSpace
from edge_mri.phantoms.phantom import PhantomConfig, write_phantoms
from edge_mri_bench.backends.processes import Started
from edge_mri_bench.config import EFFORTS
from edge_mri_bench.errors import ChildError
from edge_mri_train.networks.architectures import build
from edge_mri_train.networks.checkpoint import Checkpoint

QUICK = ("--effort", "quick", "--backend", "ort-int8")
WITHOUT_TORCH = """
import sys
from edge_mri.cli import main

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "torchvision"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Absent())
main(prog_name="edge-mri")
"""


def test_a_run_measures_all_of_it(record):
    assert (record["status"], record["interrupted"]) == ("complete", None)
    rows = {row["backend"]: row for row in record["rows"]}
    own, eager = rows["ort-int8"], rows["pytorch"]
    for row in (own, eager):
        stages = row["stages"]
        assert list(stages) == ["decode", "preprocess", "inference_1", "inference_2", "end_to_end"]
        assert all(0 < one["min_ms"] <= one["p99_ms"] for one in stages.values())
        assert row["start_ms"]["median_ms"] > 0
        assert row["folder"]["1"]["median_ms"] > 0
        assert row["environment_bytes"] > 10e6
    assert own["peak_bytes"] < eager["peak_bytes"]
    assert own["environment_bytes"] < eager["environment_bytes"]
    assert record["limits"]["int8_peak_gmacs"] > 1
    assert record["limits"]["fp32_peak_gmacs"] > 1
    assert own["macs"] > 1e6
    assert record["machine"]["fingerprint"]
    assert record["noise"]["noisy"] in (True, False)
    (grown,) = record["scaling"].values()
    assert [one["images"] for one in grown["images"]] == [2, 3]


def test_it_says_what_it_left_out(record):
    assert (
        "accuracy: phantoms are drawings that judge no model; give --data DIR"
        in (record["left_out"])
    )
    (told,) = (one for one in record["left_out"] if one.endswith("give --checkpoint"))
    assert told.startswith("accuracy of edge_net@160 in PyTorch, and how often its files answer")
    eager = [row for row in record["rows"] if row["backend"] == "pytorch"]
    assert len(eager) == 2  # its own network, and the reference
    for row in eager:
        assert row["accuracy"] is None
        assert row["note"] == "random weights: no checkpoint was given, speed alone"


def test_int8_is_faster_than_eager_pytorch(record):
    """The sign of the whole project; how much faster, no test on a shared machine can say."""
    found = [one for one in record["ratios"] if one["row"].endswith("/ort-int8")]
    assert {one["stage"] for one in found} == {"inference_1", "end_to_end"}
    assert all(one["ratio"] > 1 for one in found)


@pytest.mark.usefixtures("tiny")
def test_labels_are_scored_and_split_folders_leave_training_out(cli, tmp_path):
    for part, seed in (("Training", 0), ("Testing", 1)):
        write_phantoms(tmp_path / part, PhantomConfig(count=1, size_px=64, seed=seed))
    file = tmp_path / "record.json"
    ended = cli(*QUICK, "--data", tmp_path, "--time-phantoms", "--json", file)
    assert ended.exit_code == 0, ended.output
    record = json.loads(file.read_text())
    (row,) = record["rows"]
    assert row["accuracy"]["type"]["n"] == 12
    assert row["accuracy"]["plane"]["n"] == 12
    assert record["images"]["source"] == "phantoms, 512 x 512 px JPEG"


@pytest.mark.usefixtures("tiny")
def test_a_folder_without_labels_is_timed_alone(cli, tmp_path, picture):
    file = tmp_path / "record.json"
    ended = cli(*QUICK, "--data", picture, "--json", file)
    assert ended.exit_code == 0, ended.output
    record = json.loads(file.read_text())
    assert record["left_out"][0] == "accuracy: no class folders below --data, so speed alone"
    assert record["rows"][0]["accuracy"] is None
    assert record["rows"][0]["stages"]["end_to_end"]["n"] == 4
    assert "no class folders below --data" in ended.stdout
    assert re.search(r"About [\d.]+ minutes to go \(rounds .*, growth \d+ s\)", ended.stderr)


@pytest.fixture
def picture(tmp_path):
    folder = tmp_path / "pictures"
    write_phantoms(tmp_path / "drawn", PhantomConfig(count=1, size_px=64))
    folder.mkdir()
    for number, file in enumerate(sorted((tmp_path / "drawn").glob("*/*.jpg"))[:2]):
        file.rename(folder / f"{number}.jpg")
    (folder / "broken.jpg").write_bytes(b"\xff\xd8 not a picture")
    return folder


def test_images_that_all_fail_are_refused_before_anything_runs(cli, tmp_path):
    (tmp_path / "broken.jpg").write_bytes(b"nothing")
    ended = cli(*QUICK, "--data", tmp_path)
    assert ended.exit_code == 2
    assert "no images below" in ended.stderr


@pytest.mark.parametrize("option", ["--json", "--markdown", "--html", "--plots"])
def test_what_cannot_be_written_is_said_before_anything_is_measured(
    cli, tmp_path, monkeypatch, option
):
    def measure(*_: object) -> None:
        pytest.fail("the work began")

    monkeypatch.setattr("edge_mri_bench.commands.benchmark.benchmark", measure)
    (tmp_path / "file").touch()
    path = tmp_path / "file" / "out"
    ended = cli(*QUICK, option, path)
    assert ended.exit_code == 2
    assert ended.stderr.startswith(f"Error: cannot write {path}")
    assert ended.stderr.endswith("; a file lies where a folder must be: name another folder\n")


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize(("phase", "has"), [("stream_folders", True), ("open_backends", False)])
def test_an_interrupt_leaves_a_partial_record(cli, tmp_path, monkeypatch, phase, has):
    def interrupt(run):
        raise KeyboardInterrupt

    monkeypatch.setattr(f"edge_mri_bench.benchmark.{phase}", interrupt)
    file, page = tmp_path / "record.json", tmp_path / "page.html"
    ended = cli(*QUICK, "--json", file, "--html", page)
    assert ended.exit_code == 130
    record = json.loads(file.read_text())
    assert (record["status"], bool(record["rows"])) == ("partial", has)
    assert record["interrupted"] == {"stream_folders": "folders", "open_backends": "opening"}[phase]
    if has:
        assert record["rows"][0]["stages"]["end_to_end"]
    assert f"Partial record: it ended during {record['interrupted']}." in ended.stdout
    assert "Partial record" in page.read_text()


@pytest.mark.usefixtures("tiny")
def test_folders_that_were_done_outlive_an_interrupt(cli, tmp_path, monkeypatch):
    done = []

    def start(model, paths, *, threads):
        if done:
            raise KeyboardInterrupt
        done.append(paths)
        return Started(first_line_s=1, total_s=2, peak_bytes=3_000_000)

    monkeypatch.setattr("edge_mri_bench.measuring.scaling.start_infer", start)
    file, page = tmp_path / "record.json", tmp_path / "page.html"
    ended = cli(*QUICK, "--json", file, "--html", page)
    assert ended.exit_code == 130, ended.output
    record = json.loads(file.read_text())
    assert (record["status"], record["interrupted"]) == ("partial", "scaling")
    (grown,) = record["scaling"].values()
    assert [one["images"] for one in grown["images"]] == [2]
    assert "How cost grows" in page.read_text()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_real_run_with_its_record(tmp_path, number):
    file = tmp_path / "record.json"
    arguments = ["benchmark", "--effort", "full", "--backend", "ort-int8", "--json", str(file)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    # Under a shell that ignores Ctrl-C, as in the background, children would ignore it too.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        started = subprocess.Popen(
            [sys.executable, "-m", "edge_mri", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )
    finally:
        signal.signal(signal.SIGINT, before)
    with started as process:
        while not file.exists() and process.poll() is None:
            time.sleep(0.05)
        process.send_signal(number)
        _, said = process.communicate(timeout=120)
    assert process.returncode == 130, said
    record = json.loads(file.read_text())
    assert record["status"] == "partial"
    assert record["phases"][0] == "opening"
    assert re.search(r"^Interrupted during \w+: the record is partial\.$", said, re.MULTILINE)


def test_a_checkpoint_without_torch_says_what_to_install(tmp_path):
    checkpoint = tmp_path / "checkpoint.pt"
    checkpoint.write_bytes(b"")
    ended = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH, "benchmark", "--checkpoint", str(checkpoint)],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert ended.returncode == 2
    assert ended.stderr.endswith(
        "`edge-mri benchmark` needs torch, which is not installed; type: pip install "
        "'edge-mri[train]' (in a checkout: pip install '.[train]')\n"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--time-phantoms"], "--time-phantoms goes with --data"),
        (["--threads", "4096"], "--threads is 4096; expected 1 to "),
        (["nothing.onnx"], "model file not found: nothing.onnx"),
        (["--compare", "nothing.json"], "no such file or folder: nothing.json"),
        (["--backend", "timm", "--backend", "nonsense"], "'nonsense' is not one of"),
    ],
)
def test_wrong_use_is_told_at_once(cli, arguments, message):
    ended = cli(*arguments)
    assert ended.exit_code == 2
    assert message in ended.stderr


def test_where_nothing_can_be_measured_the_reasons_are_told(cli):
    ended = cli("--effort", "quick", "--backend", "ort-fp32")
    assert ended.exit_code == 2
    assert "no backend can be measured here: ort-fp32: no FP32 file of" in ended.stderr


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nonsense", "it is no JSON"),
        ("[]", "its format is not 'edge-mri benchmark'"),
        ('{"format": "edge-mri benchmark", "format_version": 9}', "its format_version is 9"),
        ('{"format": "edge-mri benchmark", "format_version": 1}', "it lacks machine, rows"),
    ],
)
def test_a_baseline_that_is_no_record_is_refused_before_anything_runs(cli, tmp_path, text, message):
    path = tmp_path / "baseline.json"
    path.write_text(text)
    ended = cli("--compare", path)
    assert ended.exit_code == 2
    assert message in ended.stderr
    assert "expected a file written by `edge-mri benchmark --json`" in ended.stderr


def test_a_baseline_from_another_machine_says_so_in_every_output(cli, record, saved, tmp_path):
    before = record | {"machine": record["machine"] | {"fingerprint": "x", "cpu": "Other CPU"}}
    page = tmp_path / "page.html"
    ended = cli(
        "--from-record", saved(record, "now.json"), "--compare", saved(before), "--html", page
    )
    assert ended.exit_code == 0, ended.output
    refusal = "Absolute times are not compared: the baseline is from another machine (Other CPU"
    assert refusal in ended.stdout
    assert refusal in page.read_text()
    assert "times as fast as PyTorch" in ended.stdout


def at(record, ratio, interval, shortest):
    """The record with INT8 at a ratio, with its interval, and at another of the shortest times."""
    for one in record["ratios"]:
        if one["against"] == "mobilenet_v2@224/pytorch":
            one |= {"ratio": ratio, "ci95": interval}
    for row in record["rows"]:
        own = row["backend"] == "ort-int8"
        row["stages"]["end_to_end"]["min_ms"] = 10.0 if own else 10.0 * shortest
    return record


@pytest.mark.parametrize(
    ("interval", "shortest", "code", "said"),
    [
        ([4.0, 4.9], 4.5, 1, "4.5 times as fast end to end (4.0 to 4.9, 4.5 at the shortest times"),
        ([4.0, 5.5], 4.5, 0, "kept, since it is not sure"),
        ([4.0, 4.9], 7.0, 0, "kept, since it is not sure"),
    ],
)
def test_the_floor_fails_only_when_it_is_sure(cli, record, saved, interval, shortest, code, said):
    file = saved(at(record, 4.5, interval, shortest))
    ended = cli("--from-record", file, "--floor", "5")
    assert ended.exit_code == code
    assert "floor 5 (as asked)" in ended.stderr
    assert said in ended.stderr


@pytest.mark.parametrize(
    ("features", "code", "said"),
    [
        (["avx2", "avx512_vnni"], 1, "floor 8 (this CPU has VNNI)"),
        (["avx2"], 0, "floor 5 (this CPU has no VNNI)"),
    ],
)
def test_a_floor_of_the_cpu_s_kind_is_told_in_every_output(
    cli, record, saved, tmp_path, features, code, said
):
    record["machine"]["features"] = features
    page, again = tmp_path / "page.html", tmp_path / "again.json"
    ended = cli(
        "--from-record", saved(at(record, 6.5, [6.0, 7.0], 6.5)), "--floor", "auto",
        "--html", page, "--json", again,
    )  # fmt: skip
    assert ended.exit_code == code
    for text in (ended.stderr, ended.stdout, page.read_text()):
        assert said in text
    assert json.loads(again.read_text())["floor"]["kept"] == (code == 0)


@pytest.mark.parametrize("wrong", ["0", "-1", "nan", "inf", "high"])
def test_a_floor_that_is_none_is_refused(cli, wrong):
    ended = cli("--floor", wrong)
    assert ended.exit_code == 2
    said = f"Invalid value for '--floor': '{wrong}' is neither a number above 0 nor auto"
    assert said in ended.stderr


def test_a_floor_without_a_measurement_fails(cli, record, saved):
    ended = cli("--from-record", saved(record | {"ratios": []}), "--floor", "5")
    assert ended.exit_code == 1
    assert "no INT8 file was measured against mobilenet_v2@224/pytorch" in ended.stderr


def test_ci_holds_builds_to_the_floor_of_their_cpu():
    makefile = Path(__file__).parents[3] / "Makefile"
    assert re.search(r"^FLOOR \?= auto$", makefile.read_text(), re.MULTILINE)


@pytest.mark.usefixtures("tiny")
def test_a_backend_that_fails_does_not_end_the_run(cli, tmp_path, monkeypatch):
    def fail(self, batch):
        raise RuntimeError("out of luck\nsecond line")

    monkeypatch.setattr("edge_mri_bench.backends.pytorch.EagerBackend.infer", fail)
    file = tmp_path / "record.json"
    ended = cli(*QUICK, "--backend", "pytorch", "--json", file)
    assert ended.exit_code == 0, ended.output
    record = json.loads(file.read_text())
    assert [row["backend"] for row in record["rows"]] == ["ort-int8"]
    assert {one["reason"] for one in record["skipped"]} == {"it failed: out of luck"}
    (goals,) = record["goals"].values()
    assert goals[0]["verdict"] == "not measured"


@pytest.mark.usefixtures("tiny")
def test_a_process_that_fails_leaves_the_rest_of_the_record(cli, tmp_path, monkeypatch):
    def fail(model, paths, *, threads):
        raise ChildError("a process of the benchmark failed (x): killed")

    monkeypatch.setattr("edge_mri_bench.backends.processes.start_infer", fail)
    monkeypatch.setitem(EFFORTS, "quick", replace(EFFORTS["quick"], counts=()))
    file = tmp_path / "record.json"
    ended = cli(*QUICK, "--json", file)
    assert ended.exit_code == 0, ended.output
    record = json.loads(file.read_text())
    assert record["rows"][0]["start_ms"] is None
    assert record["rows"][0]["stages"]["end_to_end"]
    assert any(one.startswith("cold start of ") for one in record["left_out"])


@pytest.mark.usefixtures("tiny")
def test_a_checkpoint_makes_pytorch_answer_and_the_others_agree_or_not(
    cli, tmp_path, phantoms, monkeypatch
):
    started = Started(first_line_s=1, total_s=2, peak_bytes=3)  # real starts are tested above
    monkeypatch.setattr("edge_mri_bench.backends.processes.start_backend", lambda *_: started)
    torch.manual_seed(0)
    labels, spec = LabelSpace(), PreprocessSpec(80)
    network = build("artemis_cnn", len(labels.classes), spec.size).eval()
    checkpoint, file = tmp_path / "checkpoint.pt", tmp_path / "record.json"
    Checkpoint("artemis_cnn", labels, spec, network).save(checkpoint)
    ended = cli(
        "--effort", "quick", "--backend", "pytorch", "--backend", "pytorch-best",
        "--checkpoint", checkpoint, "--data", phantoms, "--json", file,
    )  # fmt: skip
    assert ended.exit_code == 0, ended.output
    rows = {row["row"]: row for row in json.loads(file.read_text())["rows"]}
    for name in ("pytorch", "pytorch-best"):
        row = rows[f"artemis_cnn@80/{name}"]
        assert row["accuracy"]["type"]["n"] == row["agreement"]["n"] == 48
        assert row["model_bytes"] == checkpoint.stat().st_size
    assert rows["artemis_cnn@80/pytorch-best"]["agreement"]["share"] == 1
    assert rows["mobilenet_v2@224/pytorch"]["accuracy"] is None
    assert "give --checkpoint" not in ended.stdout
