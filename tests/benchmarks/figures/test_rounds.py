import gc
from collections import Counter

import pytest

from edge_mri_bench.figures.rounds import Cell, Rounds


def test_every_cell_gets_the_same_images_in_another_order_each_round():
    seen = []
    cells = [Cell(row, "s", lambda image, row=row: seen.append((row, image))) for row in "abcdef"]
    Rounds(cells, calls=3, seed=4).run(4)
    per_round = len(seen) // 4
    orders = []
    for number in range(4):
        part = seen[number * per_round : (number + 1) * per_round]
        first = 3 * number
        for row in "abcdef":
            images = [image for other, image in part if other == row]
            assert images == [first, first, first + 1, first + 2]  # the first is not counted
        orders.append(tuple(dict.fromkeys(row for row, _ in part)))
    assert len(set(orders)) > 1


def test_a_call_of_many_images_is_made_less_often():
    calls = Counter()
    cells = [Cell("a", str(n), lambda _, n=n: calls.update([n]), images=n) for n in (1, 4, 32)]
    rounds = Rounds(cells, calls=8)
    rounds.run(1)
    assert calls == {1: 9, 4: 3, 32: 2}
    assert {key: value.shape for key, value in rounds.samples().items()} == {
        ("a", "1"): (1, 8), ("a", "4"): (1, 2), ("a", "32"): (1, 1),
    }  # fmt: skip


def test_an_interrupted_round_does_not_count():
    calls = iter(range(1000))

    def call(_: int) -> None:
        if next(calls) == 14:
            raise KeyboardInterrupt

    rounds = Rounds([Cell("a", "x", call), Cell("b", "x", call)], calls=2)
    with pytest.raises(KeyboardInterrupt):
        rounds.run(9)
    assert rounds.done == 2
    assert [value.shape for value in rounds.samples().values()] == [(2, 2), (2, 2)]
    assert gc.isenabled()


def test_the_estimate_knows_how_many_calls_there_will_be(monkeypatch):
    now = iter(range(100))
    monkeypatch.setattr("edge_mri_bench.figures.rounds.time.perf_counter", lambda: next(now))
    cells = [Cell("a", "x", lambda _: None), Cell("b", "x", lambda _: None, images=4)]
    assert Rounds(cells, calls=8).warm_up() == 9 + 3
