"""docs/your-own-data.md does what it says: its commands in its order, and its table."""

import csv
import re
import shlex
from collections import Counter
from pathlib import Path

import pytest
from click.testing import CliRunner

from edge_mri.cli import main
from edge_mri.labels import LabelSpace
from edge_mri.model.contract import Contract
from edge_mri.model.onnx_file import OnnxFile

TRAIN = [
    *("--arch", "resnet18", "--init-weights", "none", "--image-size", "32", "--batch-size", "8"),
    *("--epochs", "1", "--device", "cpu", "--no-augment"),
]
KINDS = LabelSpace().types
ABSENT = KINDS[-1]

PAGE = (Path(__file__).parents[1] / "docs" / "your-own-data.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
LINES = "".join(text for kind, text in BLOCKS if kind == "console").splitlines()


@pytest.fixture(scope="module")
def place(laid, tmp_path_factory) -> Path:
    """The folder of the page's reader: its sets, and its file of labels."""
    folder = tmp_path_factory.mktemp("reader")
    laid(folder, ["mine/yes/Y{}.png"], KINDS[0])
    laid(folder, ["mine/no/N{}.png"], ABSENT)
    laid(folder, ["new/{}.png"], KINDS[0], ABSENT)
    stages = ["NonDemented", "mild", "ModerateDemented"]
    laid(folder, [f"stages/{one}/{{}}.png" for one in stages], KINDS[1])
    laid(folder, ["stages/demented/{}.png"], KINDS[2])
    (labels,) = (text for kind, text in BLOCKS if kind == "toml")
    (folder / "labels.toml").write_text(labels, encoding="utf-8")
    return folder


def test_the_commands_of_the_page_do_what_it_says(place, edge_mri):
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
    laid, tmp_path, monkeypatch, start, names, options, expected
):
    monkeypatch.chdir(tmp_path)
    laid(tmp_path, [f"set/{one}" for one in names], KINDS[0])
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
