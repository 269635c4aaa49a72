import numpy as np
import pytest

from edge_mri.classifier import SHIPPED_MODEL
from edge_mri_bench.backends.networks import Network
from edge_mri_bench.figures.goals import Goal, peak_goal
from edge_mri_bench.figures.results import IMPORTS, REFERENCE, Measured, goals
from edge_mri_bench.figures.statistics import Ratio

NETWORK = Network("net", 160, int8=SHIPPED_MODEL)
ROW = "net@160/ort-int8"


def times(value):
    return np.full((5, 2), float(value))


def measured(**changes):
    values = {
        "stages": {
            (ROW, "end_to_end"): times(0.5),
            (ROW, "inference_1"): times(0.3),
            (REFERENCE, "end_to_end"): times(15),
            ("net@160/openvino-int8", "inference_1"): times(0.2),
            ("limit", "grey_decode"): times(0.25),
        },
        "folders": {(ROW, 1): times(0.5), (ROW, 2): times(0.25)},
        "starts": {ROW: times(200), REFERENCE: times(3000), IMPORTS: times(100)},
        "peaks": {ROW: 90_000_000},
        "many": {ROW: (100_000, 101_000_000)},
    }
    return Measured(**values | changes)


def test_the_goals_are_those_of_the_runtime():
    table = goals(measured(), NETWORK, cores=2)
    assert [(one.target, one.at_least, one.verdict) for one in table] == [
        (25.0, True, "pass"),  # 30 times
        (2.5, False, "pass"),  # 2 decodes
        (1.9, True, "pass"),  # 2.0
        (0.1, False, "pass"),  # 1/15
        (2.5, False, "pass"),  # 2 imports
        (100.0, False, "pass"),
        (100.0, False, "miss"),  # 101 MB for 100,000 images
        (1.0, False, "miss"),  # 1.5 times OpenVINO
    ]
    assert table[0].to_dict()["value"] == pytest.approx(30)
    assert table[-2].goal == "peak memory of `edge-mri infer`, 100,000 images"


def test_what_was_not_measured_is_no_pass():
    table = goals(Measured(), NETWORK, cores=1)
    assert {one.verdict for one in table} == {"not measured"}
    assert [one.measured for one in table] == [
        *["not part of this run"] * 2,
        "1 core may be used",
        *["not part of this run"] * 2,
        "OpenVINO did not run",
    ]


@pytest.mark.parametrize(
    ("ratio", "at_least", "verdict", "sure"),
    [
        (Ratio(30, 26, 35, 9), True, "pass", True),
        (Ratio(30, 24, 35, 9), True, "pass", False),
        (Ratio(24, 20, 26, 9), True, "miss", False),
        (Ratio(24, 20, 24.5, 9), True, "miss", True),
        (Ratio(24, 20, 24.5, 9), False, "pass", True),
        (Ratio(26, 25.5, 27, 9), False, "miss", True),
    ],
)
def test_a_verdict_says_whether_it_is_sure(ratio, at_least, verdict, sure):
    goal = Goal("g", 25, at_least, ratio, "")
    assert (goal.verdict, goal.sure) == (verdict, sure)


def test_memory_that_is_not_told_is_not_passed():
    assert peak_goal(1, None).verdict == "not measured"
