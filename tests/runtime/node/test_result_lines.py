"""The file of results after a kill at any byte, after rotation, and when others write to it."""

import os
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_mri.errors import OutputError
from edge_mri.node.journal import Journal, Judged
from edge_mri.node.result_lines import ResultLines

texts = st.lists(st.text("ab", min_size=1, max_size=30).map("{}\n".format), min_size=1, max_size=4)


def committed(journal: Journal, lines: ResultLines, text: str, key: str) -> None:
    """What a node does up to the moment from which on nothing may be lost."""
    judged = [Judged(key, (0.0, 1), "[]")]
    journal.commit("series", 1, judged, lines.planned(text), [])


@given(texts=texts, data=st.data())
@settings(max_examples=30, deadline=None)
def test_a_kill_at_any_byte_loses_nothing_and_doubles_nothing(texts, data):
    with TemporaryDirectory() as name:
        file, base = Path(name) / "results.jsonl", Path(name) / "journal"
        for number, text in enumerate(texts):
            journal = Journal(base)
            lines = ResultLines(file, journal)
            committed(journal, lines, text, str(number))
            before = file.read_bytes()
            written = data.draw(st.integers(0, len(text)))
            file.write_bytes(before + text.encode()[:written])  # and here it was killed
            journal.close()
            journal = Journal(base)
            ResultLines(file, journal).catch_up()
            assert file.read_text() == "".join(texts[: number + 1])
            ResultLines(file, journal).catch_up()
            assert file.read_text() == "".join(texts[: number + 1])
            assert journal.is_judged(str(number))
            journal.close()


@pytest.mark.parametrize("how", ["moved", "cut"])
def test_a_file_that_was_rotated_is_gone_on_with(tmp_path, how):
    file = tmp_path / "results.jsonl"
    journal = Journal(tmp_path / "journal")
    lines = ResultLines(file, journal)
    committed(journal, lines, "first\n", "1")
    lines.catch_up()
    committed(journal, lines, "second\n", "2")
    if how == "moved":
        file.rename(tmp_path / "results.jsonl.1")
        file.touch()
    else:
        os.truncate(file, 0)
    lines.catch_up()
    assert file.read_text() == "second\n"
    journal.close()


def test_what_others_have_written_is_not_written_over(tmp_path):
    file = tmp_path / "results.jsonl"
    journal = Journal(tmp_path / "journal")
    lines = ResultLines(file, journal)
    committed(journal, lines, "first\n", "1")
    file.write_text("theirs\n")
    with pytest.raises(OutputError, match="another process has changed it since this node"):
        lines.catch_up()
    assert file.read_text() == "theirs\n"
    journal.close()


def test_what_is_no_journal_is_refused_in_a_line(tmp_path):
    path = tmp_path / "journal"
    path.write_bytes(b"no database, but long enough to be looked at as one" * 20)
    with pytest.raises(OutputError, match=r"no journal of a node, or damaged .*another spool$"):
        Journal(path)
