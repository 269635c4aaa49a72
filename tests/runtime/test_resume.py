import io
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_mri.contract import Contract
from edge_mri.decision import Answers
from edge_mri.errors import OutputError
from edge_mri.labels import LabelSpace
from edge_mri.output import WRITERS, csv_columns, jsonl_columns
from edge_mri.prediction import Prediction, predictions
from edge_mri.preprocess import PreprocessSpec
from edge_mri.record_file import RecordFile
from edge_mri.resume import Done

LABELS = LabelSpace()
CONTRACT = Contract("model", LABELS, PreprocessSpec(64))
NAMES = [
    "a.png",
    "with, comma",
    'quo"te',
    "line\nbreak",
    "a\r\nb",
    "Schädel-脑",
    "\udcff.png",
    "v.nii",
]
formats = pytest.mark.parametrize("format_", ["jsonl", "csv"])


def of_file(name: str) -> list[Prediction]:
    """The records of a file: a volume has three and then an error, others one."""
    row = np.full((1, 12), 1 / 12, np.float32)
    if name.startswith("\udcff"):
        return [Prediction.failed(name, 'no image, "really"\nnot')]
    (record,) = predictions([name], Answers(row), CONTRACT)
    if not name.endswith(".nii"):
        return [record]
    frames = [record.at(number, plane) for plane in ("axial", "coronal") for number in (1, 2)]
    return [*frames, Prediction.failed(name, "cut off")]


def columns(format_: str) -> list[str]:
    return jsonl_columns() if format_ == "jsonl" else csv_columns(LABELS)


def written(names: list[str], format_: str) -> bytes:
    stream = io.StringIO(newline="")
    WRITERS[format_]((record for name in names for record in of_file(name)), stream, LABELS)
    return stream.getvalue().encode("utf-8", "backslashreplace")


@formats
@settings(max_examples=80, deadline=None)
@given(names=st.lists(st.sampled_from(NAMES), max_size=9), cut=st.floats(0, 1))
def test_wherever_a_file_was_cut_the_rest_makes_it_whole(tmp_path_factory, format_, names, cut):
    path = tmp_path_factory.mktemp("resume") / "records"
    whole = written(names, format_)
    path.write_bytes(whole[: round(cut * len(whole))])
    done = Done.read(path, format_, columns(format_))
    left = [name for name in names if not done.take(name)]
    with RecordFile(path, done.keep_bytes) as file:
        rest = written(left, format_).decode()
        if format_ == "csv" and done.keep_bytes:
            rest = rest.partition("\n")[2]
        if rest:
            file.write(rest)
    assert Counter(path.read_bytes().splitlines()) == Counter(whole.splitlines())
    assert path.read_bytes() == whole or names != list(dict.fromkeys(names))


@formats
def test_a_file_listed_twice_has_its_records_twice(tmp_path, format_):
    path = tmp_path / "records"
    path.write_bytes(written(["a.png", "a.png", "with, comma"], format_))
    done = Done.read(path, format_, columns(format_))
    assert [done.take("a.png") for _ in range(3)] == [True, True, False]
    assert [done.take("with, comma"), done.take("other")] == [True, False]


@formats
def test_a_missing_file_covers_nothing(tmp_path, format_):
    done = Done.read(tmp_path / "missing", format_, columns(format_))
    assert (done.keep_bytes, done.records, done.take("a.png")) == (0, 0, False)


@formats
@pytest.mark.parametrize("spoil", [b"hello\n", b"\0" * 40 + b"\n", b"[]\n", b"1,2\n"])
def test_what_is_no_record_is_not_gone_on_with(tmp_path, format_, spoil):
    path = tmp_path / "records"
    lines = written(["a.png", "with, comma"], format_).splitlines(keepends=True)
    path.write_bytes(lines[0] + spoil + lines[1])
    with pytest.raises(OutputError, match="line 2 is no record such as this run would write"):
        Done.read(path, format_, columns(format_))


@formats
def test_a_folder_is_no_file_of_records(tmp_path, format_):
    with pytest.raises(OutputError, match="Is a directory"):
        Done.read(tmp_path, format_, columns(format_))


def test_what_is_done_takes_little_memory(tmp_path):
    import tracemalloc

    path = tmp_path / "records"
    line = written(["NAME"], "jsonl").decode()
    with path.open("w") as file:
        for number in range(20_000):
            file.write(line.replace("NAME", f"{number:06}.png"))
    tracemalloc.start()
    done = Done.read(path, "jsonl", columns("jsonl"))
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert done.records == 20_000
    assert held < 20_000 * 20
    assert done.take("000007.png")
    assert not done.take("20000.png")


def test_an_older_file_stays_until_the_first_record(tmp_path: Path):
    path = tmp_path / "records"
    path.write_text("old and longer")
    with RecordFile(path) as file:
        assert path.read_text() == "old and longer"
        file.write("new\n")
        assert path.read_text() == "new\n"
    with RecordFile(path):
        pass
    assert path.read_text() == "new\n"
