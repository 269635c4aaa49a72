"""Which of several quantised graphs is kept."""

import onnx

from edge_mri_export.guard.parity import Parity
from edge_mri_export.int8.trial import Recipe, Trial


def trial(agreement: float, difference: float, *losses: str) -> Trial:
    parity = Parity(100, 1.0, difference, agreement, 1.0)
    return Trial(Recipe("minmax"), onnx.ModelProto(), onnx.ModelProto(), (0, 0), parity, losses)


def test_of_those_that_pass_the_nearest_is_kept_not_the_luckiest():
    lucky, nearest = trial(1.0, 0.08), trial(0.997, 0.06)
    refused = trial(0.99, 0.01, "the answer changes on 1.00 % of 100 images")
    assert min([lucky, refused, nearest], key=lambda one: one.rank) is nearest
    assert min([refused, lucky], key=lambda one: one.rank) is lucky


def test_a_report_says_why_a_trial_does_not_pass():
    why = "the answer changes on 1.00 % of 100 images"
    refused, passed = trial(0.99, 0.01, why).to_dict(), trial(1.0, 0.08).to_dict()
    assert (refused["passes"], refused["losses"]) == (False, [why])
    assert (passed["passes"], passed["losses"]) == (True, [])
