import io
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_mri.answers.decision import Answers
from edge_mri.answers.prediction import Prediction, predictions
from edge_mri.errors import OutputError
from edge_mri.images import Frame
from edge_mri.images.preprocess import PreprocessSpec
from edge_mri.labels import LabelSpace
from edge_mri.model.contract import Contract
from edge_mri.records.output import WRITERS, csv_columns, jsonl_columns
from edge_mri.records.record_file import RecordFile
from edge_mri.records.resume import Done

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
    r"\xff",
    "=1+1",
    "'=1+1",
    "v.nii",
]
PIXELS = np.zeros((2, 2), np.uint8)
formats = pytest.mark.parametrize("format_", ["jsonl", "csv"])

PIXELS = np.zeros((1, 1), np.uint8)


def of_file(name: str) -> list[Prediction]:
    """The records of a file: a volume has three and then an error, others one."""
    row = np.full((1, 12), 1 / 12, np.float32)
    if name.startswith("\udcff"):
        return [Prediction.failed(name, 'no image, "really"\nnot')]
    (record,) = predictions([name], Answers(row), CONTRACT)
    if not name.endswith(".nii"):
        return [record]
    frames = [
        record.at(Frame(PIXELS, number, plane))
        for plane in ("axial", "coronal")
        for number in (1, 2)
    ]
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
    kept = Counter(names) - Counter(left)
    assert done.errors == kept["v.nii"] + kept["\udcff.png"]
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


@pytest.mark.parametrize("path", ["3", "null", '["a.png"]', "[" * 100_000])
def test_json_whose_path_is_no_text_is_no_record(tmp_path, path):
    file = tmp_path / "records"
    line = written(["a.png"], "jsonl").decode()
    file.write_text(line.replace('"a.png"', path) + line)
    with pytest.raises(OutputError, match="line 1 is no record such as this run would write"):
        Done.read(file, "jsonl", columns("jsonl"))


def test_csv_with_a_carriage_return_that_no_quote_holds_is_no_record(tmp_path):
    file = tmp_path / "records"
    line = written(["a.png", "b.png"], "csv")
    file.write_bytes(line.replace(b"a.png", b"a\r.png"))
    with pytest.raises(OutputError, match="line 2 is no record such as this run would write"):
        Done.read(file, "csv", columns("csv"))


@formats
def test_names_that_are_no_text_as_earlier_versions_spelled_them_are_known(tmp_path, format_):
    file = tmp_path / "records"
    name = "a\udcff.png"
    old = written(["NAME"], format_).decode().replace("NAME", r"a\udcff.png")
    file.write_text(old)
    assert Done.read(file, format_, columns(format_)).take(name)


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


def test_a_file_that_another_process_began_meanwhile_is_left_alone(tmp_path: Path):
    path = tmp_path / "records"
    path.write_text("old")
    with RecordFile(path) as late:
        path.write_text("of another run\n")
        with pytest.raises(OutputError, match="another process has changed it since"):
            late.write("new\n")
    assert path.read_text() == "of another run\n"


@pytest.mark.parametrize("text", ["", "1\n2\nof another run\n"])
def test_nothing_of_what_another_process_wrote_is_cut_off(tmp_path: Path, text):
    path = tmp_path / "records"
    file = RecordFile(path)
    for number in (1, 2):
        file.write(f"{number}\n")
    path.write_text(text)
    for more in (lambda: file.write("3\n"), file.close):
        with pytest.raises(OutputError, match="another process has changed it since"):
            more()
    assert path.read_text() == text


def test_the_last_record_too_is_looked_after(tmp_path: Path):
    path = tmp_path / "records"
    file = RecordFile(path)
    file.write("1\n")
    path.unlink()
    with pytest.raises(OutputError, match="it was taken away"):
        file.close()


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
