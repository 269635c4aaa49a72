"""What reaches a terminal of names and texts that others wrote."""

import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_mri.terminal.printable import printable

# A window's title, colours, a line taken back, C1, direction, no width, a separator, half a pair.
HOSTILE = "\x1b]0;owned\x07\x1b[32m\r\x9b31m\x7f\u202e\u2066\u200b\ufeff\u2028\U000e0041\udce9"
SPELT = (
    "\\u001b]0;owned\\u0007\\u001b[32m\\r\\u009b31m\\u007f\\u202e\\u2066\\u200b\\ufeff\\u2028"
    "\\udb40\\udc41\\udce9"
)


def is_fit(text: str) -> bool:
    return all(line.isprintable() for line in text.split("\n"))


def test_what_is_not_printable_is_spelt_as_json_spells_it():
    assert printable(f"a{HOSTILE}b\n\t") == f"a{SPELT}b\\n\\t"
    assert printable("Schädel 脑 𝄞") == "Schädel 脑 𝄞"


@given(st.text(st.characters()))
def test_json_stays_that_json(text):
    told = printable(json.dumps([text], ensure_ascii=False))
    assert told.isprintable()
    assert json.loads(told) == json.loads(json.dumps([text]))


@pytest.fixture
def hostile(mapped):
    """A model file whose every text is one; half a pair would be no UTF-8."""
    text = f"none{HOSTILE[:-1]}\nPASS"
    return mapped(licence=text, intended_use=text, training={text: [{text: text}]})


def test_info_shows_nothing_that_a_terminal_obeys_and_no_line_of_the_model(process, hostile):
    ended = process("-m", "edge_mri", "info", hostile)
    assert ended.code == 0
    assert is_fit(ended.out)
    assert f"licence        none{SPELT[:-6]}\\nPASS\n" in ended.out
    assert "\nPASS" not in ended.out


def test_info_as_json_stays_that_json(process, hostile):
    ended = process("-m", "edge_mri", "info", hostile, "--json")
    assert is_fit(ended.out)
    assert json.loads(ended.out)["licence"] == f"none{HOSTILE[:-1]}\nPASS"


@pytest.mark.skipif(os.name != "posix", reason="names that Windows does not allow")
def test_names_of_files_are_shown_and_left_as_they_are_in_data(process, picture):
    name = f"a{HOSTILE}\n.png".encode("utf-8", "surrogateescape")
    hostile = os.fsdecode(os.path.join(os.fsencode(picture.parent), name))  # noqa: PTH118
    os.rename(picture, hostile)  # noqa: PTH104
    for arguments in (["infer", picture.parent], ["infer", hostile + "gone"], ["info", hostile]):
        ended = process("-m", "edge_mri", *arguments)
        shown = ended.out + ended.err
        assert is_fit(shown)
        last = "\\xe9" if arguments[1] == picture.parent else "\\udce9"  # a record spells bytes
        assert f"a{SPELT[:-6]}{last}\\n.png" in shown
    for format_ in ("csv", "jsonl"):
        plain = process("-m", "edge_mri", "infer", picture.parent, "--format", format_)
        assert ("\x1b]0;owned\x07" in plain.out) == (format_ == "csv")


def test_what_click_says_of_an_option_is_shown_so_too(command):
    ended = command("infer", f"--{HOSTILE}")
    assert ended.code == 2
    assert is_fit(ended.err)
