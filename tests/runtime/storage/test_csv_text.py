import csv
import io
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from edge_mri.storage.csv_text import csv_cells, csv_line, guarded, unguarded
from edge_mri.storage.spelling import meant, spelled

NAMES = st.text(
    st.one_of(
        st.sampled_from("'=+-@\t\r\n\",;|\\xf\udcff\x00"), st.characters(exclude_categories=())
    ),
    max_size=12,
)
FORMULA = re.compile("[=+\\-@\t\r\n]")


@given(st.lists(NAMES, min_size=2, max_size=4))
@example(["'=x", "=x", "''=x", "'x", "x"])
@example(["\r", ""])
def test_any_names_come_back_and_none_is_a_formula(names):
    line = csv_line(map(spelled, names))
    line.encode("utf-8")
    (cells,) = csv.reader(io.StringIO(line, newline=""))
    assert cells == csv_cells(line)
    assert [meant(unguarded(cell)) for cell in cells] == names
    assert not any(FORMULA.match(cell) for cell in cells)


@given(NAMES, NAMES)
def test_two_names_have_two_cells(one, other):
    assert (guarded(spelled(one)) == guarded(spelled(other))) == (one == other)


def test_what_is_no_formula_stays_as_it_is():
    line = csv_line(["a b.png", "'a'.png", "Schädel", None, -0.5, 3, float("nan")])
    assert line == "a b.png,'a'.png,Schädel,,-0.5,3,\n"


@pytest.mark.parametrize("sign", [*"=+-@\t\r\n", "\uff1d"])
def test_a_formula_is_guarded(sign):
    cell = csv_cells(csv_line([f"{sign}cmd|' /C calc'!A0"]))[0]
    assert cell == f"'{sign}cmd|' /C calc'!A0"


def test_what_another_reader_would_split_at_is_quoted():
    """A spreadsheet where commas are decimal points splits at semicolons."""
    assert csv_line(["a;=1+1", "b\rc", 'd"']) == '"a;=1+1","b\rc","d"""\n'


@pytest.mark.parametrize("line", ["a\rb\n", '"a"b\n', '"a\n'])
def test_what_is_no_line_has_no_cells(line):
    assert csv_cells(line) is None
