import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_mri_bench.figures.statistics import paired_ratio, summarise


def test_a_summary_is_of_all_calls():
    summary = summarise(np.arange(1.0, 101.0).reshape(20, 5))
    assert (summary.n, summary.min_ms, summary.median_ms) == (100, 1.0, 50.5)
    assert summary.p95_ms == pytest.approx(95.05)
    assert summary.p99_ms == pytest.approx(99.01)
    assert summary.spread == pytest.approx(49.5 / 50.5)


@given(st.floats(0.1, 50), st.lists(st.floats(0.01, 100), min_size=2, max_size=30))
def test_what_takes_as_long_in_every_round_has_a_ratio_without_doubt(factor, moods):
    """The machine's mood hits both alike: pairing takes it out."""
    times = np.array(moods)[:, np.newaxis]
    ratio = paired_ratio(factor * times, times)
    assert ratio.value == pytest.approx(factor)
    assert (ratio.low, ratio.high) == (pytest.approx(factor), pytest.approx(factor))


def test_the_interval_covers_the_truth_as_often_as_it_says():
    generator = np.random.default_rng(1)
    covered = 0
    for _ in range(100):
        mood = generator.lognormal(0, 0.5, (30, 1))
        slow, fast = (mood * scale * generator.lognormal(0, 0.1, (30, 4)) for scale in (3, 1))
        ratio = paired_ratio(slow, fast)
        covered += ratio.low <= 3 <= ratio.high
    assert covered >= 88


def test_calls_of_one_round_are_no_independent_samples():
    """Ten thousand calls in two rounds know no more than two rounds do."""
    rounds = np.array([[1.0], [3.0]])
    once = paired_ratio(rounds, np.ones((2, 1)))
    often = paired_ratio(np.repeat(rounds, 10_000, axis=1), np.ones((2, 10_000)))
    assert (often.low, often.high, often.rounds) == (once.low, once.high, 2)
