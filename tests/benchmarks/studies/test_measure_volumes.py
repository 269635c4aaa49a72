import pytest

pytest.importorskip("nibabel", reason="needs the extra [nifti]")

from edge_mri.answers.prediction import Prediction
from edge_mri.model.volume_rule import VolumeRule
from measure_volumes import Stack, counted, fitted, in_order


def stack(source: str, *values: float, has_tumour: bool = False) -> Stack:
    """A stack whose slices come in any order."""
    records = [
        (
            number,
            Prediction(f"{number}.jpg", "ok", "glioma" if value > 0.6 else "no_tumor", "axial"),
        )
        for number, value in enumerate(values)
    ]
    given = [
        (number, Prediction(**{**vars(record), "tumor_probability": values[number]}))
        for number, record in records
    ]
    return Stack(source, source, has_tumour, True, "", in_order(reversed(given)))


STACKS = [
    stack("tcga-lgg", 0.1, 0.9, 0.95, 0.9, 0.1, has_tumour=True),
    stack("tcga-lgg", 0.1, 0.9, 0.1, 0.9, 0.1, has_tumour=True),
    stack("ixi", 0.1, 0.7, 0.8, 0.6, 0.1),
    stack("whole", 0.1, 0.2, 0.1, 0.1),
]


def test_a_threshold_is_what_no_tumour_free_stack_reaches():
    found = fitted(STACKS, VolumeRule())
    assert found["highest_free"] == pytest.approx(0.7)
    assert (found["found"], found["n"]) == (1, 2)
    assert found["left_out"] == {"ixi": [1, 1], "whole": [0, 1]}


def test_stacks_are_counted_as_the_product_calls_them():
    found = counted(STACKS, VolumeRule())
    assert (found["n"], found["tumour"], found["no_type"], found["no_tumor"]) == (4, 1, 2, 1)
    assert found["tumour_ci95"][0] < 0.25 < found["tumour_ci95"][1]
