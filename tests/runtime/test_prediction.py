import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from edge_mri.labels import PLANES, TYPES, LabelSpace
from edge_mri.prediction import Prediction, predictions, softmax

logits = arrays(np.float32, (2, 12), elements=st.floats(-1e4, 1e4, width=32))
temperatures = st.floats(0.05, 20)


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
def test_a_record_names_the_most_probable_type_and_plane(values):
    probabilities = softmax(values)
    for row, record in enumerate(predictions(["a", "b"], probabilities, LabelSpace())):
        assert record.status == "ok"
        assert list(record.type_probabilities) == list(TYPES)
        assert list(record.plane_probabilities) == list(PLANES)
        assert record.type_probabilities[record.type] == max(record.type_probabilities.values())
        assert record.plane_probabilities[record.plane] == max(record.plane_probabilities.values())
        table = probabilities[row].reshape(4, 3)
        expected = dict(zip(TYPES, table.sum(axis=1).tolist(), strict=True))
        assert record.type_probabilities == pytest.approx(expected, abs=1e-6)
        assert sum(record.plane_probabilities.values()) == pytest.approx(1, abs=1e-5)


def test_the_type_is_the_sum_over_planes_not_the_best_single_class():
    probabilities = np.zeros((1, 12), np.float32)
    probabilities[0, :3] = 0.2  # glioma, spread over the planes
    probabilities[0, 4] = 0.4  # meningioma, coronal
    (record,) = predictions(["a"], probabilities, LabelSpace())
    assert (record.type, record.plane) == ("glioma", "coronal")


def test_a_model_without_planes_answers_none():
    probabilities = np.float32([[0.1, 0.2, 0.3, 0.4]])
    (record,) = predictions(["a.png"], probabilities, LabelSpace.for_task("type"))
    assert record.to_dict() == {
        "path": "a.png",
        "status": "ok",
        "type": "no_tumor",
        "plane": None,
        "type_probabilities": {
            "glioma": 0.1,
            "meningioma": 0.2,
            "pituitary": 0.3,
            "no_tumor": 0.4,
        },
        "plane_probabilities": None,
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
        "error": "the file is empty",
        "frame": None,
    }
