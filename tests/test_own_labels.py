"""The whole road with labels that are not the default's, each step a process of its own."""

import csv
import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from edge_mri.labels import LabelSpace
from edge_mri.model.contract import Contract
from edge_mri.model.onnx_file import OnnxFile

TRAIN = [
    *("--arch", "resnet18", "--init-weights", "none", "--image-size", "32", "--batch-size", "8"),
    *("--epochs", "1", "--device", "cpu", "--no-augment"),
]
KINDS = LabelSpace().types
ABSENT = KINDS[-1]


@pytest.fixture
def walked(edge_mri, tmp_path):
    """Walk the road over `set`; return what its ends are."""

    def walk(labels: Sequence[str] = (), more: Sequence[str] = (), train=TRAIN) -> dict:
        return _walked(edge_mri, tmp_path, labels, more, train)

    return walk


def _walked(edge_mri, folder, labels, more, train) -> dict:
    layout = (*labels, *more)
    edge_mri(folder, "audit", "set", *layout, "--json", "audit.json", "--html", "audit.html")
    edge_mri(folder, "split", "set", *layout, "--out", "split.csv")
    said = edge_mri(folder, "train", "--split", "split.csv", *train, "--out", "run")
    fast = ("--calibration-method", "minmax", "--max-drop", 100)
    edge_mri(folder, "export", "run/checkpoint.pt", "--quantize", *fast)
    model = "run/model_int8.onnx"
    edge_mri(folder, "verify", model, "--checkpoint", "run/checkpoint.pt", "--max-drop", 100)
    edge_mri(folder, "infer", "set", "--model", model, "-o", "a.jsonl", "--report", "a.html")
    edge_mri(folder, "infer", "set", "--model", model, "-o", "a.csv")
    told = () if "folders" in labels else labels  # the model has its own
    edge_mri(
        folder, "evaluate", model, "--data", "set", *told, *more, "--json", "e.json",
        "--html", "e.html",
    )  # fmt: skip
    lines = (folder / "a.jsonl").read_text().splitlines()
    return {
        "space": Contract.from_metadata(OnnxFile.read(folder / model).metadata).labels,
        "contract": json.loads(OnnxFile.read(folder / model).metadata["edge_mri.contract"]),
        "records": [json.loads(line) for line in lines],
        "columns": (folder / "a.csv").read_text().partition("\n")[0].split(","),
        "report": json.loads((folder / "e.json").read_text()),
        "page": (folder / "a.html").read_text(),
        "said": said.err,
    }


def test_yes_and_no(laid, walked, edge_mri, tmp_path):
    laid(tmp_path, ["set/yes/Y{}.png"], KINDS[0])
    laid(tmp_path, ["set/no/N{}.png"], ABSENT)
    refused = edge_mri(tmp_path, "train", "--data", "set", *TRAIN, "--out", "x", code=2)
    assert refused.err.endswith("to train on the folders' own names, type: --labels folders\n")
    lesion = [one.replace("resnet18", "edge_net").replace("32", "64", 1) for one in TRAIN]
    ends = walked(["--labels", "folders"], train=lesion)
    assert ends["space"] == LabelSpace(("no", "yes"), (), "no", "yes")
    assert ends["columns"][4:8] == ["p_no", "p_yes", "yes_probability", "novelty"]
    assert set(ends["records"][0]["type_probabilities"]) == {"no", "yes"}
    for record in ends["records"]:
        both = record["yes_probability"] + record["type_probabilities"]["no"]
        assert both == pytest.approx(1, abs=2e-6)
        assert "tumor_probability" not in record
    assert ends["report"]["tumor"]["positives"] == 18
    assert ends["report"]["tumor"]["negatives"] == 18
    assert "Says yes" in ends["page"]
    assert "tumour" not in ends["page"].partition("<script")[0].partition("Volume")[0]


def test_four_stages_of_which_none_means_nothing(laid, walked, tmp_path):
    stages = ("MildDemented", "ModerateDemented", "NonDemented", "VeryMildDemented")
    laid(tmp_path, [f"set/{stage}/{{}}.png" for stage in stages], *KINDS)
    ends = walked(["--labels", "folders"])
    assert ends["space"] == LabelSpace(stages, (), None)
    assert "tumor_threshold" not in ends["contract"]
    assert ends["columns"][4:9] == [*(f"p_{stage}" for stage in stages), "novelty"]
    for record in ends["records"]:
        assert not [key for key in record if key.endswith("_probability")]
        assert record["type"] == max(stages, key=record["type_probabilities"].get)
        assert record["box"] is None
    assert ends["report"]["tumor"] is None
    assert ends["report"]["type"]["n"] == 72
    assert "P(" not in ends["page"].partition("<script")[0]


def test_two_of_four_types(laid, walked, tmp_path):
    for kind in (KINDS[0], ABSENT):
        laid(tmp_path, [f"set/{kind}/{{}}.png"], kind)
    ends = walked()
    missing = f"no image of type {KINDS[1]}, {KINDS[2]}; the model will tell apart "
    assert f"Warning: {missing}{KINDS[0]}, {ABSENT}." in ends["said"]
    assert ends["space"] == LabelSpace((KINDS[0], ABSENT), ())
    assert "tumor_probability" in ends["columns"]


def test_nine_kinds_and_patients_out_of_names(laid, walked, tmp_path):
    kinds = "abcdefghi"
    (tmp_path / "labels.toml").write_text(
        'absent = "kind-a"\npresent = "finding"\n[types]\n'
        + "".join(f'"kind-{one}" = ["k{one}"]\n' for one in kinds)
    )
    # The types share heads: four images a patient, as near duplicates connect them anyway.
    names = [f"set/slices/p{n // 4:02}_{n}_k{kinds[n % 9]}_ax.png" for n in range(72)]
    laid(tmp_path, names, key=lambda one: (one.parent.name[-3:], one.name))
    pattern = r"/(?P<group>p\d+)_\d+_(?P<type>k.)_(?P<plane>ax)"
    ends = walked(["--labels", "labels.toml"], ["--pattern", pattern])
    assert ends["space"].types == tuple(f"kind-{one}" for one in kinds)
    assert ends["space"].absent == "kind-a"
    assert "finding_probability" in ends["columns"]
    first, *lines = (tmp_path / "split.csv").read_text().splitlines()
    assert first.startswith("# labels: {")
    sides: dict[str, set[str]] = {}
    for row in csv.DictReader(lines):
        sides.setdefault(Path(row["path"]).name[:3], set()).add(row["split"])
        assert row["plane"] == "axial"
    assert {len(one) for one in sides.values()} == {1}, "a patient is on one side"


def test_labels_that_say_less_beside_full_ones(laid, walked, tmp_path):
    for kind in KINDS:
        laid(tmp_path, [f"set/one/{kind}/{{}}.png"], kind)
    laid(tmp_path, ["set/two/yes/{}.png"], KINDS[0])
    laid(tmp_path, ["set/two/schwannoma/images/{}.png"], KINDS[1])
    laid(tmp_path, ["set/two/unclear/{}.png"], KINDS[1])
    laid(tmp_path, ["set/two/schwannoma/masks/{}.png"], ABSENT)
    several = f"{KINDS[0]}|{KINDS[1]}"
    ends = walked(more=["--map", f"unclear={several}"])
    assert ends["space"].types == KINDS
    report = ends["report"]
    assert (report["n"], report["type"]["n"], report["partial"]["n"]) == (126, 72, 54)
    assert (report["tumor"]["positives"], report["tumor"]["negatives"]) == (108, 18)
    rows = csv.DictReader((tmp_path / "split.csv").read_text().splitlines())
    types = {row["path"].rpartition("/")[0]: row["type"] for row in rows}
    assert types["two/unclear"] == several
    assert types["two/schwannoma/images"] == types["two/yes"] == "|".join(KINDS[:-1])
