import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_mri_export.int8.ranges import Histogram, collect


def histogram(*batches: np.ndarray) -> Histogram:
    made = Histogram()
    for batch in batches:
        made.add(torch.from_numpy(batch.astype(np.float32)))
    return made


floats = st.lists(st.floats(-1e4, 1e4, width=32), min_size=1, max_size=40)


@settings(max_examples=60, deadline=None)
@given(st.lists(floats, min_size=1, max_size=4))
def test_batches_in_any_order_are_one_and_nothing_is_lost(batches):
    arrays = [np.array(one, np.float32) for one in batches]
    forth, back = histogram(*arrays), histogram(*reversed(arrays))
    everything = np.concatenate(arrays)
    for one in (forth, back):
        assert (one.low, one.high) == (everything.min(), everything.max())
        assert one._counts.sum() == len(everything)
        assert len(one._counts) <= 4096
    # A value at a bin's edge may be counted in the next one.
    one, other = np.cumsum(forth._counts), np.cumsum(back._counts)
    assert (one[:-1] <= other[1:]).all()
    assert (other[:-1] <= one[1:]).all()
    low, high = forth.percentile(100)
    assert low == min(forth.low, 0) or low == forth.low
    assert high == pytest.approx(forth.high, rel=1e-3, abs=1e-3)


def test_percentile_cuts_outliers_and_keeps_an_end_at_zero():
    values = np.abs(np.random.default_rng(0).normal(size=100_000))
    values[0], values[1] = 1000, 0
    low, high = histogram(values).percentile(99.9)
    assert low == 0
    assert high == pytest.approx(np.quantile(values, 0.9995), rel=0.15)


def test_entropy_cuts_a_long_tail_and_ignores_the_black_background():
    generator = np.random.default_rng(0)
    values = np.abs(generator.normal(size=200_000))
    values[:20] = generator.uniform(20, 40, 20)
    low, high = histogram(values).entropy()
    assert low == pytest.approx(0, abs=1e-3)
    assert 3 < high < 20
    black = histogram(np.concatenate([values, np.zeros(2_000_000)]))
    assert black.entropy()[1] == pytest.approx(high, rel=0.2)


@pytest.mark.parametrize("zeros", [0, 85_000])
@pytest.mark.parametrize("negative", [False, True])
def test_mse_finds_what_trying_every_limit_finds(zeros, negative):
    """Heavy tails, and with ReLU's zeros, which cost nothing and must not call for clipping."""
    generator = np.random.default_rng(0)
    values = generator.standard_t(3, 15_000).astype(np.float32)
    values = values if negative else np.abs(values)
    values = np.concatenate([values, np.zeros(zeros, np.float32)])

    def error(low: float, high: float) -> float:
        step = (high - low) / 255
        return float(
            (
                (
                    np.clip(np.rint(values / step), *np.rint([low / step, high / step])) * step
                    - values
                )
                ** 2
            ).mean()
        )

    found = histogram(values).mse()
    ends = np.linspace(1, 0.2, 12)
    lows = values.min() * ends if negative else [0.0]
    best = min(error(low, high) for low in lows for high in values.max() * ends)
    assert error(*found) < 1.1 * best


def test_one_pass_gives_every_methods_limits(small, body_of):
    ranges = collect(body_of(small.checkpoint), small.pixels)
    minmax, percentile = ranges.limits("minmax"), ranges.limits("percentile", 99)
    assert minmax["normalised"][1] == small.pixels.max() / np.float32(255)
    assert set(minmax) == set(percentile) == set(ranges.limits("entropy"))
    tighter = sum(percentile[name][1] < minmax[name][1] for name in minmax)
    assert tighter > len(minmax) / 3
    assert all(percentile[name][0] >= minmax[name][0] for name in minmax)
