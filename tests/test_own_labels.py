"""The whole road with labels that are not the default's, each step a process of its own."""

import csv
import json
import os
import re
import shlex
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import cycle
from pathlib import Path

import pytest
from click.testing import CliRunner

from edge_mri.cli import main
from edge_mri.labels import LabelSpace
from edge_mri.model.contract import Contract
from edge_mri.model.onnx_file import OnnxFile
from edge_mri.phantoms.phantom import PhantomConfig, write_phantoms

TRAIN = [
    *("--arch", "resnet18", "--init-weights", "none", "--image-size", "32", "--batch-size", "8"),
    *("--epochs", "1", "--device", "cpu", "--no-augment"),
]
KINDS = LabelSpace().types
ABSENT = KINDS[-1]


def edge_mri(folder: Path, *arguments: object, code: int = 0) -> subprocess.CompletedProcess[str]:
    paths = os.pathsep.join(path for path in sys.path if path)
    result = subprocess.run(
        [sys.executable, "-m", "edge_mri", *map(str, arguments)],
        cwd=folder, env=os.environ | {"PYTHONPATH": paths}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert result.returncode == code, result.stderr
    return result


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 72 phantoms, six a class, 64 px."""
    folder = tmp_path_factory.mktemp("drawn")
    write_phantoms(folder, PhantomConfig(count=6, size_px=64, seed=3, format="png"))
    return folder


def files_of(drawn: Path, *kinds: str) -> Iterator[Path]:
    for kind in kinds:
        yield from sorted(drawn.glob(f"{kind}_*/*.png"))


def laid(files: Iterator[Path] | Sequence[Path], names: Sequence[str], root: Path) -> None:
    """Copy files under names, in turn; `{}` stands for a number."""
    for number, (file, name) in enumerate(zip(files, cycle(names), strict=False)):
        target = root / name.format(number)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(file.read_bytes())


def walked(folder: Path, labels: Sequence[str] = (), more: Sequence[str] = (), train=TRAIN) -> dict:
    """Walk the road over `set`; return what its ends are."""
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
        "said": said.stderr,
    }


def test_yes_and_no(drawn, tmp_path):
    laid(files_of(drawn, KINDS[0]), ["set/yes/Y{}.png"], tmp_path)
    laid(files_of(drawn, ABSENT), ["set/no/N{}.png"], tmp_path)
    refused = edge_mri(tmp_path, "train", "--data", "set", *TRAIN, "--out", "x", code=2)
    assert refused.stderr.endswith("to train on the folders' own names, type: --labels folders\n")
    lesion = [one.replace("resnet18", "edge_net").replace("32", "64", 1) for one in TRAIN]
    ends = walked(tmp_path, ["--labels", "folders"], train=lesion)
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


def test_four_stages_of_which_none_means_nothing(drawn, tmp_path):
    stages = ("MildDemented", "ModerateDemented", "NonDemented", "VeryMildDemented")
    laid(files_of(drawn, *KINDS), [f"set/{stage}/{{}}.png" for stage in stages], tmp_path)
    ends = walked(tmp_path, ["--labels", "folders"])
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


def test_two_of_four_types(drawn, tmp_path):
    laid(files_of(drawn, KINDS[0], ABSENT), ["set/a/{}.png"], tmp_path)
    (tmp_path / "set").rename(tmp_path / "flat")
    for kind in (KINDS[0], ABSENT):
        laid(files_of(drawn, kind), [f"set/{kind}/{{}}.png"], tmp_path)
    ends = walked(tmp_path)
    missing = f"no image of type {KINDS[1]}, {KINDS[2]}; the model will tell apart "
    assert f"Warning: {missing}{KINDS[0]}, {ABSENT}." in ends["said"]
    assert ends["space"] == LabelSpace((KINDS[0], ABSENT), ())
    assert "tumor_probability" in ends["columns"]


def test_nine_kinds_and_patients_out_of_names(drawn, tmp_path):
    kinds = "abcdefghi"
    (tmp_path / "labels.toml").write_text(
        'absent = "kind-a"\npresent = "finding"\n[types]\n'
        + "".join(f'"kind-{one}" = ["k{one}"]\n' for one in kinds)
    )
    # The types share heads: four images a patient, as near duplicates connect them anyway.
    files = sorted(drawn.glob("*/*.png"), key=lambda one: (one.parent.name[-3:], one.name))
    names = [f"set/slices/p{n // 4:02}_{n}_k{kinds[n % 9]}_ax.png" for n in range(len(files))]
    laid(files, names, tmp_path)
    pattern = r"/(?P<group>p\d+)_\d+_(?P<type>k.)_(?P<plane>ax)"
    ends = walked(tmp_path, ["--labels", "labels.toml"], ["--pattern", pattern])
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


def test_labels_that_say_less_beside_full_ones(drawn, tmp_path):
    for kind in KINDS:
        laid(files_of(drawn, kind), [f"set/one/{kind}/{{}}.png"], tmp_path)
    laid(files_of(drawn, KINDS[0]), ["set/two/yes/{}.png"], tmp_path)
    laid(files_of(drawn, KINDS[1]), ["set/two/schwannoma/images/{}.png"], tmp_path)
    laid(files_of(drawn, KINDS[1]), ["set/two/unclear/{}.png"], tmp_path)
    laid(files_of(drawn, ABSENT), ["set/two/schwannoma/masks/{}.png"], tmp_path)
    several = f"{KINDS[0]}|{KINDS[1]}"
    ends = walked(tmp_path, more=["--map", f"unclear={several}"])
    assert ends["space"].types == KINDS
    report = ends["report"]
    assert (report["n"], report["type"]["n"], report["partial"]["n"]) == (126, 72, 54)
    assert (report["tumor"]["positives"], report["tumor"]["negatives"]) == (108, 18)
    rows = csv.DictReader((tmp_path / "split.csv").read_text().splitlines())
    types = {row["path"].rpartition("/")[0]: row["type"] for row in rows}
    assert types["two/unclear"] == several
    assert types["two/schwannoma/images"] == types["two/yes"] == "|".join(KINDS[:-1])


PAGE = (Path(__file__).parents[1] / "docs" / "your-own-data.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
LINES = "".join(text for kind, text in BLOCKS if kind == "console").splitlines()


@pytest.fixture(scope="module")
def place(drawn, tmp_path_factory) -> Path:
    """The folder of the page's reader: its sets, and its file of labels."""
    folder = tmp_path_factory.mktemp("reader")
    laid(files_of(drawn, KINDS[0]), ["mine/yes/Y{}.png"], folder)
    laid(files_of(drawn, ABSENT), ["mine/no/N{}.png"], folder)
    stages = ["NonDemented", "mild", "ModerateDemented"]
    laid(files_of(drawn, KINDS[1]), [f"stages/{one}/{{}}.png" for one in stages], folder)
    laid(files_of(drawn, KINDS[2]), ["stages/demented/{}.png"], folder)
    (labels,) = (text for kind, text in BLOCKS if kind == "toml")
    (folder / "labels.toml").write_text(labels, encoding="utf-8")
    return folder


def test_the_commands_of_the_page_do_what_it_says(place):
    commands = [shlex.split(line.removeprefix("$ ")) for line in LINES if line.startswith("$ ")]
    assert len(commands) > 6
    fast = {"train": ["--epochs", "1"], "export": ["--calibration-method", "minmax"]}
    for program, *arguments in commands:
        assert program == "edge-mri"
        own = TRAIN if "stages" in arguments else fast.get(arguments[0], [])
        edge_mri(place, *arguments, *own)
    space = Contract.from_metadata(OnnxFile.read(place / "runs/mine/model.onnx").metadata).labels
    assert space == LabelSpace(("no", "yes"), (), "no", "yes")
    assert "yes_probability" in (place / "answers.csv").read_text().partition("\n")[0]


FOLDERS = ("--labels", "folders")


@pytest.mark.parametrize(
    ("start", "names", "options", "expected"),
    [
        ("--map sick", ["yes/{}.png", "sick/{}.png", "no/{}.png"], FOLDERS, {"yes": 12, "no": 6}),
        ("--map rest", ["yes/{}.png", "no/{}.png", "rest/{}.png"], FOLDERS, {"yes": 6, "no": 6}),
        (
            "--map 'unclear",
            [*(f"{kind}/{{}}.png" for kind in KINDS), "unclear/{}.png", "schwannoma/{}.png"],
            (),
            {**dict.fromkeys(KINDS, 3), "|".join(KINDS[:2]): 3, "|".join(KINDS[:3]): 3},
        ),
        ("--pattern", ["p07_gl_ax{}.png", "p08_no_co{}.png"], (), {KINDS[0]: 9, ABSENT: 9}),
        ("--index", ["one/{}.png"], (), {KINDS[1]: 18}),
    ],
)  # fmt: skip
def test_what_the_table_of_the_page_says_to_type(
    drawn, tmp_path, monkeypatch, start, names, options, expected
):
    monkeypatch.chdir(tmp_path)
    laid(files_of(drawn, KINDS[0]), [f"set/{one}" for one in names], tmp_path)
    files = sorted((tmp_path / "set").rglob("*.png"))
    lines = [f"{one.relative_to(tmp_path / 'set').as_posix()},{KINDS[1]}" for one in files]
    (tmp_path / "FILE.csv").write_text("\n".join(["path,label", *lines]))
    table = PAGE.partition("| Your set |")[2].partition("\n\n")[0].replace("\\|", "|")
    (typed,) = re.findall(rf"`({re.escape(start)}.*?)`", table)
    command = ["split", "set", *options, *shlex.split(typed), "--ungrouped", "--out", "split.csv"]
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 0, result.output
    rows = csv.DictReader(
        line for line in (tmp_path / "split.csv").read_text().splitlines() if line[:1] != "#"
    )
    assert Counter(row["type"] for row in rows) == expected
