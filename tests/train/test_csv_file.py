import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_mri.labels import Label
from edge_mri_train.csv_file import neutral, original, write_rows
from edge_mri_train.folders import Sample
from edge_mri_train.manifest import Row, read_manifest, write_manifest

FORMULAS = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "=cmd|'/C calc'!A0"]


def written(*cells: object) -> str:
    file = io.StringIO()
    write_rows(file, [cells])
    return file.getvalue()


@pytest.mark.parametrize("text", FORMULAS)
def test_no_text_is_a_formula_to_a_spreadsheet(text):
    (row,) = csv.reader(io.StringIO(written(text, "a"), newline=""))
    assert row == [f"'{text}", "a"]


def test_numbers_and_ordinary_texts_stay_as_they_are():
    assert written(-1.5, "a-b", None, "a b", "d'or") == "-1.5,a-b,,a b,d'or\n"


@given(st.text())
def test_a_text_comes_back_as_it_was(text):
    assert original(neutral(text)) == text


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=2, max_size=4))
def test_every_cell_comes_back_from_the_file(cells):
    (row,) = csv.reader(io.StringIO(written(*cells), newline=""))
    assert [original(cell) for cell in row] == cells


@pytest.mark.parametrize("name", ["=1.png", "-a.png", "'=1.png", "a\rb.png", "a\nb.png", 'a"b.png'])
def test_a_manifest_gives_back_any_name(name, tmp_path):
    sample = Sample(tmp_path / "@set", tmp_path.__class__(name), Label("glioma"), "train", "+g")
    write_manifest([Row(sample, "0" * 64, "+g")], tmp_path / "m.csv")
    (row,) = read_manifest(tmp_path / "m.csv")
    assert (row.sample.path, row.sample.root.name, row.group) == (sample.path, "@set", "+g")
    data = (tmp_path / "m.csv").read_bytes()
    assert not any(cell[:1] in (b"=", b"+", b"-", b"@") for cell in data.split(b","))
