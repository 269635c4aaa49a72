import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_mri_train.training.operating_point import fit_threshold


def fitted(healthy: list[float], tumor: list[float]) -> float:
    return fit_threshold(
        np.array([*healthy, *tumor], np.float32),
        np.array([False] * len(healthy) + [True] * len(tumor)),
    )


def test_halfway_in_log_odds_where_the_two_are_apart():
    assert fitted([0.01, 0.2], [0.8, 0.99]) == pytest.approx(0.5)
    assert fitted([0.01, 0.02], [0.1, 0.99]) == pytest.approx(0.0455, abs=1e-3)


def test_of_equally_good_thresholds_the_one_that_finds_more_tumours():
    """Calling 0.3 to 0.6 tumour costs as much specificity as it gains sensitivity."""
    healthy = [0.1] * 80 + [0.4] * 20
    tumor = [0.5] * 20 + [0.9] * 80
    assert fitted(healthy, tumor) < 0.5
    assert fitted([0.1] * 90 + [0.5] * 10, [0.4] * 10 + [0.9] * 90) < 0.4


def test_a_clear_loss_is_not_taken_for_sensitivity():
    threshold = fitted([0.1] * 500 + [0.6] * 500, [0.55] * 10 + [0.9] * 990)
    assert 0.6 < threshold < 0.9


def test_the_worst_source_decides_and_not_the_largest():
    """A small source whose tumours get lower probabilities is heard."""
    healthy = [0.05] * 890 + [0.25] * 100 + [0.45] * 10
    tumor = [0.9] * 900 + [0.2] * 30 + [0.6] * 70
    names = ["large"] * 1000 + ["large"] * 900 + ["small"] * 100
    p = np.array([*healthy, *tumor], np.float32)
    told = np.arange(2000) >= 1000
    pooled, by_source = fit_threshold(p, told), fit_threshold(p, told, names)
    assert by_source == pytest.approx(0.1, abs=0.02)
    assert pooled > 0.2


def test_a_specificity_that_is_asked_for_is_the_mean_of_the_sources():
    healthy = [*np.linspace(0.01, 0.5, 100), *[0.01] * 900]
    names = ["hard"] * 100 + ["easy"] * 900 + ["hard"] * 100
    p = np.array([*healthy, *np.linspace(0.3, 0.99, 100)], np.float32)
    told = np.arange(1100) >= 1000
    for specificity in (0.8, 0.9, 0.95):
        threshold = fit_threshold(p, told, names, specificity)
        hard = np.mean(p[:100] < threshold)
        assert (hard + 1) / 2 == pytest.approx(specificity, abs=0.006)
        assert (hard + 1) / 2 >= specificity


def test_a_source_with_few_images_does_not_decide_alone():
    healthy, tumor = [0.1] * 100, [0.9] * 100 + [0.05] * 3
    names = ["large"] * 200 + ["tiny"] * 3
    told = np.arange(203) >= 100
    assert fit_threshold(np.array([*healthy, *tumor], np.float32), told, names) > 0.3


@pytest.mark.parametrize(
    ("healthy", "tumor"), [([], [0.2, 0.9]), ([0.2, 0.9], []), ([0.5, 0.5], [0.5, 0.5])]
)
def test_one_half_where_nothing_can_be_told(healthy, tumor):
    assert fitted(healthy, tumor) == 0.5


@settings(max_examples=40)
@given(
    st.lists(st.floats(0, 1, width=32), min_size=1, max_size=30),
    st.lists(st.floats(0, 1, width=32), min_size=1, max_size=30),
)
def test_a_threshold_in_any_case(healthy, tumor):
    assert 0 <= fitted(healthy, tumor) <= 1
