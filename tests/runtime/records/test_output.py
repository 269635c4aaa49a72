import csv
import io
import json
from dataclasses import replace

import numpy as np
import pytest

from edge_mri.answers.decision import Answers
from edge_mri.answers.prediction import Prediction, predictions
from edge_mri.images.preprocess import PreprocessSpec
from edge_mri.labels import LabelSpace
from edge_mri.model.contract import Contract
from edge_mri.model.rejection import Rejection
from edge_mri.records.output import WRITERS
from edge_mri.storage.csv_text import unguarded
from edge_mri.storage.spelling import meant

NAMES = [
    "a.png",
    "with, comma.png",
    'quote".png',
    "line\nbreak.png",
    "Schädel-脑.png",
    "carriage\rreturn.png",
    "=1+1.png",
    "\udcff.png",
]


def answered(
    names: list[str], rows: np.ndarray, labels: LabelSpace, novelty: list[float] | None = None
) -> list[Prediction]:
    """Records of a model that rejects a novelty above 1."""
    gate = Rejection(max_novelty=1, undecided=(0.5, 0.5), kept=0.99, n=100)
    contract = Contract("test", labels, PreprocessSpec(64), rejection=gate)
    measured = None if novelty is None else np.float32(novelty)
    return predictions(names, Answers(rows, measured), contract)


def records(labels: LabelSpace) -> list[Prediction]:
    """One record a name: the second has a box, the third is rejected; then an error."""
    count = len(labels.classes)
    rows = np.random.default_rng(0).dirichlet(np.ones(count), len(NAMES)).astype(np.float32)
    answers = answered(NAMES, rows, labels, [0.5, 0.25, 1.5, *[0] * 5])
    assert [row.status for row in answers] == ["ok", "ok", "rejected", *["ok"] * 5]
    answers[1] = replace(answers[1], box=(10, 20, 30, 40))
    return [answers[0], Prediction.failed("bad.png", 'empty, "really"'), *answers[1:]]


def as_json(row: Prediction) -> dict:
    """What JSON makes of a record: it knows no tuples."""
    return row.to_dict() | {"box": row.box and list(row.box)}


def written(format_: str, rows: list[Prediction], labels: LabelSpace) -> str:
    stream = io.StringIO(newline="")
    WRITERS[format_](iter(rows), stream, labels)
    return stream.getvalue()


both = pytest.mark.parametrize("labels", [LabelSpace(), LabelSpace.for_task("type")])


@both
def test_json_is_an_array_of_the_records_one_a_line(labels):
    rows = records(labels)
    text = written("json", rows, labels)
    assert json.loads(text) == [as_json(row) for row in rows]
    assert len(text.splitlines()) == len(rows) + 2


@both
def test_jsonl_is_a_record_a_line(labels):
    rows = records(labels)
    lines = written("jsonl", rows, labels).splitlines()
    assert [json.loads(line) for line in lines] == [as_json(row) for row in rows]


@pytest.mark.parametrize("format_", ["json", "jsonl"])
def test_json_is_ascii_so_that_any_file_name_can_be_written(format_):
    written(format_, records(LabelSpace()), LabelSpace()).encode("ascii")


@both
def test_csv_has_a_column_a_probability_and_nothing_for_none(labels):
    rows = records(labels)
    text = written("csv", rows, labels)
    read = list(csv.DictReader(io.StringIO(text, newline="")))
    assert list(read[0]) == [
        *("path", "status", "type", "plane"),
        *("p_glioma", "p_meningioma", "p_pituitary", "p_no_tumor"),
        *(f"p_{plane}" for plane in labels.planes),
        *("tumor_probability", "novelty", "box_x", "box_y", "box_width", "box_height"),
        *("heatmap", "rejected", "reason", "error", "frame"),
    ]
    for line, row in zip(read, rows, strict=True):
        assert (meant(unguarded(line["path"])), line["status"]) == (row.path, row.status)
        assert (line["type"], line["plane"]) == (row.type or "", row.plane or "")
        for name in ("heatmap", "rejected", "reason", "error"):
            assert line[name] == (getattr(row, name) or "")
        for name in ("tumor_probability", "novelty"):
            assert line[name] == ("" if getattr(row, name) is None else str(getattr(row, name)))
        box = [line[f"box_{name}"] for name in ("x", "y", "width", "height")]
        assert box == (["10", "20", "30", "40"] if row.box else [""] * 4)
        expected = (row.type_probabilities or {}) | (row.plane_probabilities or {})
        found = {key[2:]: float(text) for key, text in line.items() if key[:2] == "p_" and text}
        assert found == expected


def test_a_table_has_a_line_a_record_with_its_probabilities():
    answers = answered(
        ["a.png", "b.png"], np.full((2, 12), 1 / 12, np.float32), LabelSpace(), [0, 2]
    )
    rows = [*answers, Prediction.failed("bad.png", "the file is empty")]
    assert written("table", rows, LabelSpace()) == (
        "status    type              plane           path\n"
        "ok        glioma 0.250      axial 0.333     a.png\n"
        "rejected  foreign           axial 0.333     b.png\n"
        "error     bad.png: the file is empty\n"
    )


def test_a_table_of_a_model_without_planes_has_dashes():
    labels = LabelSpace.for_task("type")
    answers = answered(["a.png"], np.float32([[0, 1, 0, 0]]), labels)
    line = written("table", answers, labels).splitlines()[1]
    assert line == "ok        meningioma 1.000  -               a.png"


def test_a_table_keeps_to_its_lines_whatever_the_file_names():
    rows = [
        *answered(
            ["line\nbreak\x1b[2J.png", "Schädel-脑 \udcff.png"],
            np.full((2, 12), 1 / 12, np.float32),
            LabelSpace(),
        ),
        Prediction.failed("tab\t.png", "the file is empty"),
    ]
    lines = written("table", rows, LabelSpace()).split("\n")
    assert [line[44:] for line in lines[1:3]] == [
        r"line\nbreak\u001b[2J.png",
        r"Schädel-脑 \xff.png",
    ]
    assert lines[3:] == [r"error     tab\t.png: the file is empty", ""]


@pytest.mark.parametrize(
    ("format_", "text"),
    [
        ("json", "[]\n"),
        ("jsonl", ""),
        ("table", "status    type              plane           path\n"),
    ],
)
def test_no_records_are_valid_output(format_, text):
    assert written(format_, [], LabelSpace()) == text


@pytest.mark.parametrize("format_", WRITERS)
def test_a_record_is_written_before_the_next_is_asked_for(format_):
    stream = io.StringIO()
    lengths = []

    def watched():
        for row in records(LabelSpace()):
            lengths.append(len(stream.getvalue()))
            yield row

    WRITERS[format_](watched(), stream, LabelSpace())
    assert lengths == sorted(set(lengths))


def test_json_has_no_number_that_is_none():
    labels = LabelSpace()
    (row,) = answered(["a.png"], np.full((1, 12), 1 / 12, np.float32), labels)
    odd = replace(row, novelty=float("nan"), tumor_probability=float("-inf"))
    for format_ in ("json", "jsonl"):
        text = written(format_, [odd], labels)
        read = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} in JSON"))
        read = read[0] if format_ == "json" else read
        assert (read["novelty"], read["tumor_probability"]) == (None, None)
    (line,) = csv.DictReader(io.StringIO(written("csv", [odd], labels)))
    assert (line["novelty"], line["tumor_probability"]) == ("", "")
