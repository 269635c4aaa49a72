import json
import os
import shutil
import subprocess

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from edge_mri.storage.json_text import json_text
from edge_mri.storage.spelling import meant, spelled, valid

NAMES = st.text(
    st.one_of(st.sampled_from("\\x8fud\udcff\udc80\ud800"), st.characters(exclude_categories=())),
    max_size=12,
)


@given(NAMES)
@example("\udcff")
@example(r"\xff")
@example(r"\\xff")
@example("\\\udcff")
@example(r"\ud800")
def test_a_name_is_spelled_as_valid_text_and_comes_back(name):
    text = spelled(name)
    text.encode("utf-8")
    assert meant(text) == name


@pytest.mark.parametrize("name", ["a.png", "Schädel-脑 \U0001f9e0.png", r"C:\data\x.png", "a\nb"])
def test_a_name_that_is_text_stays_as_it_is(name):
    assert spelled(name) == meant(name) == valid(name) == name


def test_bytes_that_are_no_text_are_spelled_in_hexadecimal():
    assert spelled("a\\b\udcff\udc80.png") == r"a\\b\xff\x80.png"
    assert valid("a\\b\udcff\ud800.png") == r"a\b\xff\ud800.png"


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash here")
@pytest.mark.parametrize("name", [b"\xff\xfe.png", rb"a\b" + b"\xe4.png", rb"\xff.png"])
def test_a_shell_gives_the_bytes_back(name):
    told = subprocess.run(
        ["bash", "-c", 'printf %b "$1"', "-", spelled(os.fsdecode(name))],
        capture_output=True,
        check=True,
    )
    assert told.stdout == name


def test_json_is_valid_whatever_its_values_hold():
    values = {"\udcff": ["\ud800", "\U0001f9e0", float("nan"), (float("inf"), 1.5, None)]}
    text = json_text(values, separators=(",", ":"))
    assert text == r'{"\\xff":["\\ud800","\ud83e\udde0",null,[null,1.5,null]]}'
    assert json.loads(text)["\\xff"][1] == "\U0001f9e0"
