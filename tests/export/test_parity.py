import numpy as np
import pytest

from edge_mri_export.errors import ParityError
from edge_mri_export.parity import Parity

ORIGINAL = np.array([[1.0, 0.0, -9.0], [0.0, 2.0, 1.0], [3.0, 0.0, 0.0], [0.0, 0.0, 1.0]])


def between(change: dict[tuple[int, int], float]) -> Parity:
    other = ORIGINAL.copy()
    for place, value in change.items():
        other[place] = value
    return Parity.between(ORIGINAL.astype(np.float32), other.astype(np.float32))


def test_figures_worked_out_by_hand():
    parity = between({(1, 2): 2.5, (3, 0): 0.75})
    assert parity.n == 4
    assert parity.max_logit_difference == pytest.approx(1.5)
    assert parity.mean_logit_difference == pytest.approx(2.25 / 12)
    assert parity.agreement == pytest.approx(0.75)
    assert parity.logit_scale == 9


def test_the_contract_says_against_what_and_on_how_many():
    assert between({}).to_dict() == {
        "reference": "PyTorch FP32",
        "n": 4,
        "max_logit_difference": 0.0,
        "mean_logit_difference": 0.0,
        "agreement": 1.0,
    }


def test_rounding_passes_as_the_same_logits_and_more_does_not():
    between({(0, 2): -9.0008}).require_same_logits()  # allowed: 1e-4 of 9
    with pytest.raises(ParityError) as caught:
        between({(0, 2): -9.01}).require_same_logits()
    assert str(caught.value) == (
        "the FP32 ONNX file differs from PyTorch: logits by up to 0.01 on 4 images, "
        "allowed 0.0009; no file was written"
    )
    assert caught.value.exit_code == 1


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_no_number_is_never_parity(value):
    with np.errstate(invalid="ignore"), pytest.raises(ParityError):
        between({(0, 0): value}).require_same_logits()


def test_as_many_answers_may_change_as_allowed():
    parity = between({(1, 2): 2.5})
    parity.require_agreement(25)
    with pytest.raises(ParityError) as caught:
        parity.require_agreement(24.9)
    assert str(caught.value) == (
        "INT8 changes the answer on 25.00 % of 4 images, allowed 24.9 %; no INT8 file was written. "
        "Calibrate with more or other images (--calibration DIR), or allow more with --max-drop"
    )
