"""What a run is to write is no image, and neither what it reads nor what it writes elsewhere."""

import csv
import json
import os
from itertools import combinations
from pathlib import Path

import pytest

from edge_mri.errors import OutputError
from edge_mri.images import VOLUME_SUFFIXES

EXAMPLES = {"-o": "answers.csv", "--report": "report.html", "--volumes": "volumes.jsonl"}


@pytest.mark.parametrize("option", EXAMPLES)
@pytest.mark.parametrize("suffix", [".png", ".JPG", *VOLUME_SUFFIXES])
def test_an_image_is_not_written_over_nor_made(command, picture, option, suffix):
    new = picture.with_name(f"new{suffix}")
    old = picture.read_bytes()
    for path in (picture, new):
        shown = ".png" if path == picture else suffix.lower()
        assert command("infer", picture.parent, option, path) == (
            2,
            "",
            f"Error: cannot write {path}: {shown} is the suffix of an image; "
            f"name a file such as {EXAMPLES[option]}\n",
        )
    assert picture.read_bytes() == old
    assert not new.exists()


@pytest.mark.parametrize("option", EXAMPLES)
@pytest.mark.parametrize("how", ["itself", "pattern", "link"])
def test_a_file_named_as_an_input_is_not_written_over(command, tmp_path, option, how):
    path = tmp_path / "notes.txt"
    path.write_text("mine")
    link = tmp_path / "link.txt"
    link.symlink_to(path)
    given = {"itself": path, "pattern": tmp_path / "n*.txt", "link": link}[how]
    ended = command("infer", given, option, path)
    reason = "it is one of the files to classify; name another, or leave it out of them"
    assert ended == (2, "", f"Error: cannot write {path}: {reason}\n")
    assert path.read_text() == "mine"


@pytest.mark.parametrize("linked", [True, False])
def test_an_image_by_another_name_is_not_written_over(command, picture, tmp_path, linked):
    path = tmp_path / "IM0001"
    if linked:
        path.symlink_to(picture)
    else:
        path.write_bytes(picture.read_bytes())
    old = picture.read_bytes()
    ended = command("infer", picture.parent, "-o", path)
    reason = "there is an image in it; name another file"
    assert ended == (2, "", f"Error: cannot write {path}: {reason}\n")
    assert path.read_bytes() == old


def test_the_model_is_not_written_over(command, picture, model, tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(model)
    ended = command("infer", picture, "--model", path, "-o", path)
    assert ended == (2, "", f"Error: cannot write {path}: it is the model; name another file\n")
    assert path.read_bytes() == model


@pytest.mark.parametrize("how", ["same", "dots", "link", "hard link"])
@pytest.mark.parametrize("pair", [*combinations(EXAMPLES, 2)], ids=" ".join)
def test_two_results_are_not_one_file(command, picture, tmp_path, monkeypatch, pair, how):
    monkeypatch.chdir(tmp_path)
    path, twin = Path("a.html"), Path("b.html")
    if how == "same":
        twin = path
    elif how == "dots":
        twin = tmp_path / "pictures" / ".." / "a.html"
    elif how == "link":
        twin.symlink_to(path)
    else:
        path.write_text("older")
        twin.hardlink_to(path)
    there = path.exists()
    one, other = pair
    first = {"-o": "--output"}.get(one, one)
    reason = f"{first} and {other} are both {twin}: one would be written over the other"
    ended = command("infer", picture, one, path, other, twin)
    assert ended == (2, "", f"Error: {reason}; name two files\n")
    assert path.exists() == there


def test_a_dash_is_stdout(command, picture, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    plain = command("infer", picture, "--format", "jsonl")
    assert command("infer", picture, "--format", "jsonl", "-o", "-").out == plain.out
    assert [one.name for one in tmp_path.iterdir()] == ["pictures"]
    ended = command("infer", picture, "--format", "jsonl", "-o", "-", "--resume")
    needed = "--resume needs --output FILE and --format jsonl or csv"
    assert ended == (2, "", f"Error: {needed}\n")


@pytest.mark.parametrize("option", ["--report", "--volumes"])
def test_what_people_read_needs_a_file(command, picture, tmp_path, monkeypatch, option):
    monkeypatch.chdir(tmp_path)
    ended = command("infer", picture, option, "-")
    reason = f"{option} needs a file: - is stdout, where the records go"
    assert ended == (2, "", f"Error: {reason}\n")
    assert [one.name for one in tmp_path.iterdir()] == ["pictures"]


def test_an_older_result_and_a_device_are_written_to(command, picture, tmp_path):
    paths = {option: tmp_path / name for option, name in EXAMPLES.items()}
    options = [one for pair in paths.items() for one in pair]
    for _ in range(2):
        assert command("infer", picture, *options).code == 0
    assert all(path.exists() for path in paths.values())
    assert command("infer", picture, "-o", os.devnull, "--volumes", os.devnull).code == 0


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("a.json", json.loads),
        ("a.JSONL", lambda text: [json.loads(line) for line in text.splitlines()]),
        ("a.csv", lambda text: list(csv.DictReader(text.splitlines()))),
    ],
)
def test_the_suffix_of_the_output_says_the_format(command, picture, tmp_path, name, read):
    path = tmp_path / name
    assert command("infer", picture, "-o", path).code == 0
    assert [record["path"] for record in read(path.read_text())] == [str(picture)]


@pytest.mark.parametrize(
    ("options", "start"),
    [
        (["--format", "table", "-o", "a.json"], "status "),
        (["--format", "csv", "-o", "a.json"], "path,"),
        (["-o", "a.txt"], "status "),
    ],
)
def test_a_format_that_is_given_wins(command, picture, tmp_path, monkeypatch, options, start):
    monkeypatch.chdir(tmp_path)
    assert command("infer", picture, *options).code == 0
    assert (tmp_path / options[-1]).read_text().startswith(start)


def test_a_suffix_is_enough_to_go_on(command, phantoms, tmp_path, alike):
    path = tmp_path / "a.jsonl"
    command("infer", phantoms, "-o", path)
    whole = path.read_bytes()
    path.write_bytes(whole[:5000])
    assert command("infer", phantoms, "-o", path, "--resume").code == 0
    assert alike(path.read_bytes(), whole)


@pytest.mark.parametrize("option", ["--report", "--volumes"])
def test_what_cannot_be_written_is_said_before_the_first_image(
    command, picture, tmp_path, monkeypatch, option
):
    def stream(*_: object, **__: object) -> None:
        pytest.fail("the work began")

    monkeypatch.setattr("edge_mri.classifier.Classifier.stream", stream)
    (tmp_path / "file").touch()
    path, output = tmp_path / "file" / "r", tmp_path / "a.jsonl"
    ended = command("infer", picture, "-o", output, option, path)
    reason = "File exists; a file lies where a folder must be: name another folder"
    assert ended == (2, "", f"Error: cannot write {path}: {reason}\n")
    assert not output.exists()


@pytest.mark.parametrize("format_", ["table", "json", "jsonl", "csv"])
def test_a_report_that_fails_in_the_end_costs_no_record(
    command, picture, tmp_path, monkeypatch, format_
):
    def write(*_: object, **__: object) -> None:
        raise OutputError(path, "No space left on device")

    monkeypatch.setattr("edge_mri.pictures.report.Report.write", write)
    path, output = tmp_path / "r.html", tmp_path / "a"
    ended = command("infer", picture, "--format", format_, "-o", output, "--report", path)
    assert ended == (2, "", f"Error: cannot write {path}: No space left on device\n")
    assert str(picture) in output.read_text()
