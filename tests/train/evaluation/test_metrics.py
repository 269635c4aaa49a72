import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from edge_mri_train.errors import LabelsMissingError
from edge_mri_train.evaluation.intervals import auroc, auroc_interval, ratio, wilson
from edge_mri_train.evaluation.metrics import (
    balanced_accuracy,
    binary_figures,
    class_figures,
    macro_f1,
)

NAMES = ("a", "b", "c")
INTERVALS = ("balanced_accuracy", "macro_f1", "ece", "brier")


def drawn(count: int, seed: int = 0, skill: float = 1.5) -> tuple[np.ndarray, list[str]]:
    """Answers of a model that is often right."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, len(NAMES), count)
    scores = rng.standard_normal((count, len(NAMES)))
    scores[np.arange(count), truth] += skill
    powers = np.exp(scores)
    return (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32), [
        NAMES[one] for one in truth
    ]


def point(figures: dict) -> dict:
    """The figures without intervals of the bootstrap."""
    return {key: figures[key] for key in figures if key.removesuffix("_ci95") not in INTERVALS}


def test_every_figure_is_scikit_learns():
    probabilities, truth = drawn(200)
    figures = class_figures(probabilities, truth, NAMES)
    said = [NAMES[column] for column in probabilities.argmax(axis=1)]
    assert figures["n"] == 200
    assert figures["accuracy"] == metrics.accuracy_score(truth, said)
    assert figures["balanced_accuracy"] == pytest.approx(
        metrics.balanced_accuracy_score(truth, said)
    )
    assert figures["macro_f1"] == pytest.approx(metrics.f1_score(truth, said, average="macro"))
    assert figures["log_loss"] == pytest.approx(metrics.log_loss(truth, probabilities), rel=1e-5)
    assert (
        figures["confusion_matrix"] == metrics.confusion_matrix(truth, said, labels=NAMES).tolist()
    )
    onehot = np.array([[name == one for name in NAMES] for one in truth])
    assert figures["brier"] == pytest.approx(((probabilities - onehot) ** 2).sum(axis=1).mean())
    for column, name in enumerate(NAMES):
        one = figures["per_class"][name]
        here, called = np.array(truth) == name, np.array(said) == name
        assert one["support"] == here.sum()
        assert one["sensitivity"] == pytest.approx(metrics.recall_score(here, called))
        assert one["specificity"] == pytest.approx(metrics.recall_score(~here, ~called))
        assert one["precision"] == pytest.approx(metrics.precision_score(here, called))
        assert one["f1"] == pytest.approx(metrics.f1_score(here, called))
        assert one["auroc"] == pytest.approx(metrics.roc_auc_score(here, probabilities[:, column]))


def test_calibration_worked_out_by_hand():
    """Two bins: 0.9 sure and right in 1 of 2, 0.6 sure and right in 2 of 2."""
    probabilities = np.array([[0.9, 0.1], [0.9, 0.1], [0.6, 0.4], [0.4, 0.6]], np.float32)
    figures = class_figures(probabilities, ["a", "b", "a", "b"], ("a", "b"))
    assert figures["ece"] == pytest.approx((2 * 0.4 + 2 * 0.4) / 4)
    assert figures["brier"] == pytest.approx((0.02 + 1.62 + 0.32 + 0.32) / 4)
    assert figures["log_loss"] == pytest.approx(-np.log([0.9, 0.1, 0.6, 0.6]).mean(), rel=1e-5)


def test_being_sure_and_wrong_costs_much_but_not_all():
    figures = class_figures(np.array([[1, 0]], np.float32), ["b"], ("a", "b"))
    assert figures["log_loss"] == pytest.approx(-np.log(1e-7), rel=1e-3)
    assert (figures["accuracy"], figures["brier"], figures["ece"]) == (0, 2, 1)


# Newcombe 1998 (Statistics in Medicine 17:857), table I, method 3.
@pytest.mark.parametrize(
    ("hits", "n", "low", "high"),
    [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_the_interval_of_a_proportion_is_wilsons(hits, n, low, high):
    assert wilson(hits, n) == pytest.approx([low, high], abs=5e-5)
    assert wilson(n - hits, n) == pytest.approx([1 - high, 1 - low], abs=5e-5)


def test_of_nothing_there_is_no_share():
    assert wilson(0, 0) is None
    assert ratio(0, 0) is None
    assert ratio(1, 4) == 0.25


@given(st.integers(0, 50), st.integers(1, 50))
def test_wilsons_interval_holds_the_estimate(part, more):
    low, high = wilson(part, part + more)
    assert 0 <= low <= part / (part + more) <= high <= 1


def test_classes_that_do_not_occur_count_in_no_mean():
    matrix = np.array([[1, 1, 0], [0, 0, 0], [0, 0, 5]])
    assert balanced_accuracy(matrix) == pytest.approx(0.75)
    assert macro_f1(matrix) == pytest.approx((2 / 3 + 1) / 2)


def test_one_class_alone_has_no_roc_curve():
    probabilities, _ = drawn(5)
    figures = class_figures(probabilities, ["a"] * 5, NAMES)
    assert [figures["per_class"][name]["auroc"] for name in NAMES] == [None] * 3
    assert figures["per_class"]["a"]["specificity"] is None
    assert figures["per_class"]["b"]["sensitivity"] is None
    assert auroc(np.array([True]), np.array([0.5], np.float32)) is None


def test_one_image_has_figures_and_no_bootstrap():
    figures = class_figures(np.array([[0.2, 0.8]], np.float32), ["b"], ("a", "b"))
    assert figures["accuracy"] == figures["balanced_accuracy"] == 1
    assert [figures[f"{name}_ci95"] for name in INTERVALS] == [None] * 4
    json.dumps(figures, allow_nan=False)


@given(st.integers(2, 40), st.integers(0, 99), st.permutations(range(3)))
@settings(max_examples=25, deadline=None)
def test_neither_the_order_of_images_nor_of_classes_matters(count, seed, order):
    probabilities, truth = drawn(count, seed)
    figures = class_figures(probabilities, truth, NAMES)
    rows = np.random.default_rng(seed).permutation(count)
    shuffled = class_figures(
        probabilities[rows][:, order], [truth[row] for row in rows], [NAMES[one] for one in order]
    )
    for key in ("n", "accuracy", "ci95", "balanced_accuracy", "macro_f1", "ece", "brier"):
        assert shuffled[key] == pytest.approx(figures[key])
    assert shuffled["log_loss"] == pytest.approx(figures["log_loss"])
    for name in NAMES:
        for key, value in figures["per_class"][name].items():
            assert shuffled["per_class"][name][key] == (
                None if value is None else pytest.approx(value)
            )
    matrix = np.array(figures["confusion_matrix"])[np.ix_(order, order)]
    assert shuffled["confusion_matrix"] == matrix.tolist()


def test_the_bootstrap_follows_from_its_seed_and_changes_no_figure():
    probabilities, truth = drawn(80)
    first, again, other = (class_figures(probabilities, truth, NAMES, seed=s) for s in (0, 0, 1))
    assert first == again
    assert first["ece_ci95"] != other["ece_ci95"]
    assert point(first) == point(other)
    for name in ("balanced_accuracy", "macro_f1", "brier"):
        low, high = first[f"{name}_ci95"]
        assert low < first[name] < high


def test_the_bootstraps_interval_covers_the_truth_nineteen_times_in_twenty():
    """The truth is the figure over very many images of the same model."""
    probabilities, truth = drawn(200_000, seed=99)
    columns = np.array([NAMES.index(one) for one in truth])
    answers = probabilities.argmax(axis=1)
    expected = np.mean([(answers[columns == one] == one).mean() for one in range(3)])
    covered = 0
    for seed in range(100):
        figures = class_figures(*drawn(120, seed), NAMES)
        low, high = figures["balanced_accuracy_ci95"]
        covered += low <= expected <= high
    assert 88 <= covered <= 100


def test_images_of_one_group_are_less_evidence_than_as_many_of_their_own():
    probabilities, truth = drawn(30)
    probabilities, truth = np.repeat(probabilities, 10, axis=0), np.repeat(truth, 10).tolist()
    singly = class_figures(probabilities, truth, NAMES)
    grouped = class_figures(probabilities, truth, NAMES, np.repeat(np.arange(30), 10))
    assert point(singly) == point(grouped)
    for name in INTERVALS:
        widths = [one[f"{name}_ci95"][1] - one[f"{name}_ci95"][0] for one in (singly, grouped)]
        assert widths[1] > 2 * widths[0]


def test_the_numbers_of_groups_are_only_names():
    probabilities, truth = drawn(40)
    groups = np.arange(40) // 4
    assert class_figures(probabilities, truth, NAMES, groups) == class_figures(
        probabilities, truth, NAMES, groups * 1000 + 7
    )


def test_yes_or_no_at_a_threshold():
    scores = np.array([0.9, 0.5, 0.4, 0.6, 0.1, 0.2], np.float32)
    truth = np.array([True, True, True, False, False, False])
    figures = binary_figures(scores, truth, 0.5)
    assert figures == {
        "n": 6,
        "threshold": 0.5,
        "positives": 3,
        "negatives": 3,
        "sensitivity": 2 / 3,  # 0.5 itself is yes
        "sensitivity_ci95": wilson(2, 3),
        "specificity": 2 / 3,
        "specificity_ci95": wilson(2, 3),
        "auroc": metrics.roc_auc_score(truth, scores),
        "auroc_ci95": auroc_interval(truth, scores),
        "confident_misses": 0,
        "confident_misses_ci95": wilson(0, 3),
    }
    sure = binary_figures(np.array([0.05, 0.1, 0.9, 0.05], np.float32), truth[[0, 1, 2, 3]], 0.5)
    assert sure["confident_misses"] == pytest.approx(1 / 3)  # not the 0.1, nor the other side's


def test_the_interval_of_the_area_covers_it_as_often_as_it_says():
    """Two normal distributions a standard deviation apart have an area of 0.7602."""
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(400):
        scores = np.concatenate([rng.normal(1, 1, 60), rng.normal(0, 1, 90)]).astype(np.float32)
        low, high = auroc_interval(np.arange(150) < 60, scores)
        assert 0 < low < high < 1
        covered += low < 0.7602 < high
    assert 0.92 < covered / 400 < 0.98


def test_an_area_without_any_spread_has_no_interval():
    scores = np.array([0.9, 0.8, 0.2, 0.1], np.float32)
    assert auroc_interval(np.array([True, True, False, False]), scores) is None
    assert auroc_interval(np.array([True, True, True, True]), scores) is None
    assert auroc_interval(np.array([False, True, False, False]), scores) is None


def test_yes_or_no_where_one_side_is_missing():
    figures = binary_figures(np.array([0.9], np.float32), np.array([True]), 0.5)
    assert (figures["specificity"], figures["specificity_ci95"], figures["auroc"]) == (None,) * 3
    assert figures["sensitivity"] == 1


def test_labels_that_the_model_does_not_know_are_one_line():
    with pytest.raises(LabelsMissingError) as refusal:
        class_figures(np.eye(2), ["a", "x"], ["a", "b"])
    assert str(refusal.value) == (
        "there are images of x, and the model answers with a, b; name a model for these labels, or "
        "leave such folders out with --map FOLDER=skip"
    )
