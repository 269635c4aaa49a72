from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_mri.errors import OptionError
from edge_mri.labels import Label
from edge_mri_train.data.folders import Sample
from edge_mri_train.data.grouping import IdSource, group_numbers, id_pairs
from edge_mri_train.duplicates.components import connected_groups
from edge_mri_train.duplicates.search import Duplicates, Edge
from edge_mri_train.errors import IndexFileError


def samples(*paths: str, groups: tuple[str | None, ...] = ()) -> list[Sample]:
    ids = groups or (None,) * len(paths)
    return [
        Sample(Path("set"), Path(path), Label("glioma"), group=one)
        for path, one in zip(paths, ids, strict=True)
    ]


def pairs(*ends: tuple[int, int]) -> np.ndarray:
    return np.array(ends, np.int64).reshape(-1, 2)


def test_groups_are_numbered_by_their_first_member():
    assert connected_groups(6, pairs((5, 1), (2, 4), (4, 0))).tolist() == [0, 1, 0, 2, 0, 1]
    assert connected_groups(3, pairs()).tolist() == [0, 1, 2]
    assert connected_groups(2, pairs((0, 0), (1, 1))).tolist() == [0, 1]


@given(st.integers(1, 12), st.data())
def test_two_are_in_one_group_exactly_when_a_chain_joins_them(count, data):
    place = st.integers(0, count - 1)
    edges = data.draw(st.lists(st.tuples(place, place), max_size=15))
    parent = list(range(count))  # by hand: give both ends one name until nothing changes
    for _ in range(count):
        for a, b in edges:
            parent[a] = parent[b] = min(parent[a], parent[b])
    expected = [sorted(set(parent)).index(one) for one in parent]
    assert connected_groups(count, pairs(*edges)).tolist() == expected


def test_ids_join_what_has_the_same_and_none_joins_nothing():
    assert connected_groups(5, id_pairs(["a", None, "b", "a", None])).tolist() == [0, 1, 2, 0, 3]
    assert id_pairs([]).shape == (0, 2)


def test_chains_of_ids_and_duplicates_of_every_kind_are_one_group():
    duplicates = Duplicates(
        7,
        [Edge(0, 1, 1.0, "exact"), Edge(2, 3, 0.95, "near"), Edge(4, 5, 0.85, "related")],
    )
    told = samples(*"abcdefg", groups=(None, "x", "x", None, "y", None, None))
    assert group_numbers(told, duplicates, IdSource()).tolist() == [0, 0, 0, 0, 1, 1, 2]


def test_without_a_source_the_index_says_the_ids():
    assert IdSource().ids(samples("a", "b", groups=("P1", None))) == ["P1", None]


@pytest.mark.parametrize(
    ("pattern", "ids"),
    [
        (r"p\d+", ["p1", "p1", None]),
        (r"/(p\d+)_", ["p1", "p1", None]),
        (r"(p\d+)?", [None, None, None]),  # what matches nothing joins nothing
        (r"(\d)\.png", ["0", "1", "2"]),
    ],
)
def test_a_pattern_finds_ids_in_paths(pattern, ids):
    told = samples("glioma/p1_0.png", "no/p1_1.png", "no/2.png")
    assert IdSource(pattern=pattern).ids(told) == ids


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("(", "--group-pattern '(' is no regular expression: missing ), unterminated"),
        ("xyz", "--group-pattern 'xyz' matches no path"),
    ],
)
def test_a_pattern_that_finds_nothing_is_refused(pattern, message):
    with pytest.raises(OptionError) as caught:
        IdSource(pattern=pattern).ids(samples("a.png"))
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize("column", ["group", "patient", "patient_id"])
def test_a_file_says_ids(tmp_path, column):
    file = tmp_path / "ids.csv"
    file.write_text(f'path,{column}\n"ä, b.png",P1\nc.png,\nother.png,P1\nshort\n', "utf-8-sig")
    assert IdSource(file=file).ids(samples("ä, b.png", "c.png", "d.png")) == ["P1", None, None]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "No such file or directory"),
        (b"", "columns path and group expected, got none"),
        (b"file,group\n", "columns path and group expected, got file, group"),
        (b"path,group\nx.png,P1\n", "none of its paths is an image of the sets"),
        (b"path,group\n", "none of its paths is an image of the sets"),
        (b"path,group\n\xff.png,1\n", "'utf-8' codec can't decode byte 0xff"),
        (b"group,path\nP1\n", "none of its paths is an image of the sets"),
    ],
)
def test_a_file_without_ids_is_refused(tmp_path, content, reason):
    file = tmp_path / "ids.csv"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(IndexFileError) as caught:
        IdSource(file=file).ids(samples("a.png"))
    assert str(caught.value).startswith(f"the index {file} cannot be used: {reason}")
