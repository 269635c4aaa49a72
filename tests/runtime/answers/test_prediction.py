from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from edge_mri.answers.decision import Answers
from edge_mri.answers.prediction import Prediction, predictions, softmax
from edge_mri.images.preprocess import PreprocessSpec
from edge_mri.labels import PLANES, TYPES, LabelSpace
from edge_mri.model.contract import Contract
from edge_mri.model.rejection import Rejection

logits = arrays(np.float32, (2, 12), elements=st.floats(-1e4, 1e4, width=32))
temperatures = st.floats(0.05, 20)


def contract(labels: LabelSpace | None = None, **values) -> Contract:
    return Contract("test", labels or LabelSpace(), PreprocessSpec(64), **values)


def of_types(*rows: list[float], novelty: list[float] | None = None) -> Answers:
    """Answers of a model that knows no planes."""
    return Answers(np.float32(rows), None if novelty is None else np.float32(novelty))


@given(logits, temperatures)
def test_softmax_gives_distributions_whatever_the_logits(values, temperature):
    probabilities = softmax(values, temperature)
    assert probabilities.dtype == np.float32
    assert (probabilities >= 0).all()
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)


def test_softmax_is_the_ratio_of_exponentials():
    probabilities = softmax(np.log(np.float32([[1, 2, 5]])))
    np.testing.assert_allclose(probabilities, [[0.125, 0.25, 0.625]], rtol=1e-6)


def test_a_temperature_divides_the_logits():
    values = np.float32([[3, 1, -2]])
    np.testing.assert_allclose(softmax(values, 2), softmax(values / 2), rtol=1e-6)
    assert softmax(values, 4).max() < softmax(values).max() < softmax(values, 0.5).max()


@given(logits)
def test_a_record_names_the_decided_type_and_the_most_probable_plane(values):
    probabilities = softmax(values)
    for row, record in enumerate(predictions(["a", "b"], Answers(probabilities), contract())):
        assert record.status == "ok"
        assert list(record.type_probabilities) == list(TYPES)
        assert list(record.plane_probabilities) == list(PLANES)
        tumors = {name: p for name, p in record.type_probabilities.items() if name != "no_tumor"}
        if record.type == "no_tumor":
            assert record.tumor_probability <= 0.5
        else:
            assert record.tumor_probability >= 0.5
            assert tumors[record.type] == max(tumors.values())
        assert record.tumor_probability == pytest.approx(sum(tumors.values()), abs=3e-6)
        assert record.plane_probabilities[record.plane] == max(record.plane_probabilities.values())
        table = probabilities[row].reshape(4, 3)
        expected = dict(zip(TYPES, table.sum(axis=1).tolist(), strict=True))
        assert record.type_probabilities == pytest.approx(expected, abs=1e-6)
        assert sum(record.plane_probabilities.values()) == pytest.approx(1, abs=1e-5)


def test_the_type_is_the_sum_over_planes_not_the_best_single_class():
    probabilities = np.zeros((1, 12), np.float32)
    probabilities[0, :3] = 0.2  # glioma, spread over the planes
    probabilities[0, 4] = 0.4  # meningioma, coronal
    (record,) = predictions(["a"], Answers(probabilities), contract())
    assert (record.type, record.plane) == ("glioma", "coronal")


def test_a_model_without_planes_answers_none():
    answers = of_types([0.0625, 0.125, 0.25, 0.5625])
    (record,) = predictions(["a.png"], answers, contract(LabelSpace.for_task("type")))
    assert record.to_dict() == {
        "path": "a.png",
        "status": "ok",
        "type": "no_tumor",
        "plane": None,
        "type_probabilities": {
            "glioma": 0.0625,
            "meningioma": 0.125,
            "pituitary": 0.25,
            "no_tumor": 0.5625,
        },
        "plane_probabilities": None,
        "tumor_probability": 0.4375,
        "novelty": None,
        "box": None,
        "heatmap": None,
        "rejected": None,
        "reason": None,
        "error": None,
        "frame": None,
    }


def test_a_failed_record_has_a_reason_and_nothing_else():
    assert Prediction.failed("a.png", "the file is empty").to_dict() == {
        "path": "a.png",
        "status": "error",
        "type": None,
        "plane": None,
        "type_probabilities": None,
        "plane_probabilities": None,
        "tumor_probability": None,
        "novelty": None,
        "box": None,
        "heatmap": None,
        "rejected": None,
        "reason": None,
        "error": "the file is empty",
        "frame": None,
    }


TYPES_ONLY = LabelSpace.for_task("type")


@pytest.mark.parametrize(
    ("threshold", "expected"), [(0.0, "pituitary"), (0.625, "pituitary"), (0.626, "no_tumor")]
)
def test_the_threshold_on_any_tumour_decides_and_not_the_most_probable_type(threshold, expected):
    answers = of_types([0.125, 0.1875, 0.3125, 0.375])
    (record,) = predictions(["a"], answers, contract(TYPES_ONLY, tumor_threshold=threshold))
    assert (record.type, record.tumor_probability) == (expected, 0.625)


GATE = Rejection(max_novelty=2, undecided=(0.25, 0.75), kept=0.99, n=1000)


@pytest.mark.parametrize(
    ("tumor", "novelty", "expected"),
    [
        (0.125, 1.0, None),
        (0.125, 2.0, None),
        (0.125, 2.001, "foreign"),
        (0.5, 2.001, "foreign"),
        (0.125, float("inf"), "foreign"),
        (0.25, 1.0, "undecided"),
        (0.75, 1.0, "undecided"),
        (0.8125, 1.0, None),
    ],
)
def test_a_rejected_record_says_why_and_keeps_what_would_have_been_said(tumor, novelty, expected):
    answers = of_types([tumor, 0, 0, 1 - tumor], novelty=[novelty])
    known = contract(TYPES_ONLY, rejection=GATE)
    (record,) = predictions(["a"], answers, known)
    assert record.status == ("rejected" if expected else "ok")
    assert (record.rejected, record.error) == (expected, None)
    assert record.type == ("glioma" if tumor >= 0.5 else "no_tumor")
    assert record.tumor_probability == tumor
    assert record.novelty == (pytest.approx(novelty) if np.isfinite(novelty) else None)
    (answered,) = predictions(["a"], answers, known, reject=False)
    assert answered == replace(record, status="ok", rejected=None)


SHOWN = replace(GATE, max_foreign=-1.5)


@pytest.mark.parametrize(
    ("tumor", "novelty", "odds", "expected"),
    [
        (0.125, 2.0, -1.5, None),
        (0.125, 2.0, -1.4, "foreign"),
        (0.125, 2.001, -1.4, "foreign"),
        (0.5, 2.001, float("inf"), "foreign"),
        (0.125, 2.001, -1.5, "unfamiliar"),
        (0.5, 2.001, -9.0, "unfamiliar"),
        (0.5, float("inf"), -9.0, "unfamiliar"),
        (0.5, 2.0, -9.0, "undecided"),
    ],
)
def test_what_is_foreign_and_what_is_unfamiliar_are_two_questions(tumor, novelty, odds, expected):
    given = of_types([tumor, 0, 0, 1 - tumor], novelty=[novelty])
    answers = replace(given, foreign=np.float32([odds]))
    known = contract(TYPES_ONLY, rejection=SHOWN)
    (record,) = predictions(["a"], answers, known)
    assert record.status == ("rejected" if expected else "ok")
    assert (record.rejected, record.error) == (expected, None)
    (answered,) = predictions(["a"], answers, known, reject=False)
    assert answered == replace(record, status="ok", rejected=None)
    (told,) = predictions(["a"], answers, known, reasons=["a mask"])
    assert (told.rejected, told.reason) == ("foreign", "a mask")


@pytest.mark.parametrize("odds", [float("nan"), -float("inf")])
def test_log_odds_that_are_no_number_are_no_answer(odds):
    given = of_types([1, 0, 0, 0], [0, 0, 0, 1], novelty=[1, 1])
    answers = replace(given, foreign=np.float32([-9, odds]))
    fine, failed = predictions(["a", "b"], answers, contract(TYPES_ONLY, rejection=SHOWN))
    assert (fine.status, fine.type) == ("ok", "glioma")
    assert failed.status == "error"
    assert "output foreign" in failed.error


def test_a_model_that_was_shown_nothing_foreign_says_unfamiliar_where_its_contract_does():
    gate = replace(GATE, above="unfamiliar")
    answers = of_types([0.5, 0, 0, 0.5], novelty=[2.001])
    (record,) = predictions(["a"], answers, contract(TYPES_ONLY, rejection=gate))
    assert record.rejected == "unfamiliar"


def test_without_a_measured_novelty_no_image_is_foreign():
    rows = of_types([0.9, 0, 0, 0.1], [0.5, 0, 0, 0.5])
    records = predictions(["a", "b"], rows, contract(TYPES_ONLY, rejection=GATE))
    assert [record.rejected for record in records] == [None, "undecided"]
    assert [record.novelty for record in records] == [None, None]


def test_an_empty_interval_decides_every_image():
    gate = replace(GATE, undecided=(0.5, 0.5))
    (record,) = predictions(["a"], of_types([0.5, 0, 0, 0.5]), contract(TYPES_ONLY, rejection=gate))
    assert (record.status, record.type) == ("ok", "glioma")


def test_probabilities_are_those_of_the_model_to_six_digits():
    space = LabelSpace()
    logits = np.random.default_rng(0).normal(0, 3, (3000, len(space.classes))).astype(np.float32)
    given = softmax(logits)
    contract = Contract("net", space, PreprocessSpec(32))
    records = predictions([""] * len(given), Answers(given), contract)
    by_type, by_plane = space.type_probabilities(given), space.plane_probabilities(given)
    for record, types, planes in zip(records, by_type.tolist(), by_plane.tolist(), strict=True):
        assert list(record.type_probabilities.values()) == [round(one, 6) for one in types]
        assert list(record.plane_probabilities.values()) == [round(one, 6) for one in planes]
        assert record.plane == space.planes[planes.index(max(planes))]
