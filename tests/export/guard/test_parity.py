import json
from dataclasses import replace

import numpy as np
import pytest

from edge_mri.images.preprocess import PreprocessSpec
from edge_mri.labels import Label, LabelSpace
from edge_mri.model.contract import Contract
from edge_mri_export.errors import ParityError
from edge_mri_export.guard.answers import Answers
from edge_mri_export.guard.comparison import compare
from edge_mri_export.guard.parity import Parity

TYPES = Contract("hand", LabelSpace.for_task("type"), PreprocessSpec(32))
LABELS = [Label("glioma"), Label("meningioma"), Label("glioma"), Label("no_tumor")]
PATHS = ["a.png", "b.png", "c.png", "d.png"]
ORIGINAL = np.array(
    [[1.0, 0.0, -9.0, 0.0], [0.0, 2.0, 1.0, 0.0], [3.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 3.0]],
    np.float32,
)


def between(
    change: dict[tuple[int, int], float], labels=LABELS, paths=PATHS, contract=TYPES
) -> Parity:
    other = ORIGINAL.copy()
    for place, value in change.items():
        other[place] = value
    return compare(Answers(ORIGINAL), Answers(other), labels, paths, contract)


def test_figures_worked_out_by_hand():
    parity = between({(1, 2): 2.5, (3, 0): 0.75})
    assert parity.n == 4
    assert parity.max_logit_difference == pytest.approx(1.5)
    assert parity.mean_logit_difference == pytest.approx(2.25 / 16)
    assert parity.agreement == pytest.approx(0.75)
    assert parity.logit_scale == 9
    ((path, label, before, after),) = [
        (one.path, one.label, one.reference, one.other) for one in parity.flipped
    ]
    assert (path, label, before, after) == ("b.png", "meningioma", "meningioma", "pituitary")
    assert parity.sensitivity_change == {"type": {"glioma": 0, "meningioma": -1, "no_tumor": 0}}
    assert parity.support == {"type": {"glioma": 2, "meningioma": 1, "no_tumor": 1}}
    assert (parity.only_reference_right, parity.only_other_right) == (1, 0)
    assert parity.mcnemar_p == 1.0  # one discordant image proves nothing
    assert parity.worst_sensitivity_change == -1


def test_five_images_lost_and_none_won_is_a_sixteenth():
    logits = np.tile(np.float32([5, 0, 0, 0]), (8, 1))
    worse = logits.copy()
    worse[:5, 1] = 6
    parity = compare(Answers(logits), Answers(worse), [Label("glioma")] * 8, PATHS * 2, TYPES)
    assert parity.mcnemar_p == pytest.approx(2 / 2**5)
    assert parity.sensitivity_change["type"]["glioma"] == pytest.approx(-5 / 8)
    assert parity.only_reference_right == 5


def test_calibration_error_is_that_of_the_temperature_in_use():
    sure = between({}).ece
    assert sure is not None
    assert sure[0] == sure[1]
    cooler = between({}, contract=replace(TYPES, temperature=3.0)).ece
    assert cooler is not None
    assert cooler[0] > sure[0]  # every answer is right: less sure is worse


def test_planes_are_measured_on_the_images_that_name_one():
    space = LabelSpace()
    contract = Contract("hand", space, PreprocessSpec(32))
    labels = [Label("glioma", "axial"), Label("glioma", "sagittal"), Label("glioma")]
    columns = [[str(one) for one in space.classes].index(str(label)) for label in labels[:2]]
    logits = np.zeros((3, 12), np.float32)
    logits[[0, 1], columns] = 4
    other = logits.copy()
    other[1, columns[0]] = 5  # sagittal becomes axial; the type stays
    parity = compare(Answers(logits), Answers(other), labels, PATHS[:3], contract)
    assert parity.sensitivity_change["plane"] == {"axial": 0, "sagittal": -1}
    assert parity.support == {"type": {"glioma": 3}, "plane": {"axial": 1, "sagittal": 1}}
    assert parity.sensitivity_change["type"] == {"glioma": 0}


def test_labels_of_several_types_count_neither_for_nor_against_a_type():
    logits = np.zeros((4, 4), np.float32)
    logits[[0, 1, 2, 3], [0, 1, 0, 3]] = 4
    labels = [
        Label("glioma"),
        Label("meningioma"),
        Label(["glioma", "meningioma"]),
        Label("glioma"),
    ]
    full = [0, 1, 3]
    told = compare(Answers(logits), Answers(logits), labels, PATHS[:4], TYPES)
    alone = compare(
        Answers(logits[full]), Answers(logits[full]), [labels[at] for at in full], PATHS[:3], TYPES
    )
    assert told.n == 4
    assert (told.ece, told.support) == (alone.ece, alone.support)
    unsaid = compare(Answers(logits), Answers(logits), [labels[2]] * 4, PATHS[:4], TYPES)
    assert (unsaid.ece, unsaid.support) == (None, {"type": {}})


def test_without_labels_only_the_answers_are_compared():
    parity = between({(1, 2): 2.5}, labels=[], paths=[])
    assert (parity.ece, parity.mcnemar_p, parity.sensitivity_change) == (None, None, {})
    assert (parity.flipped[0].path, parity.flipped[0].label) == ("1", "")


def test_an_answer_is_what_users_are_told_at_the_operating_point():
    """Not the most probable class: that is no_tumor in both."""
    logits = np.log(np.float32([[0.24, 0.25, 0.02, 0.49]] * 3))
    other = np.log(np.float32([[0.25, 0.24, 0.02, 0.49]] * 3))
    labels = [Label("meningioma")] * 2 + [Label("glioma")]
    parity = compare(Answers(logits), Answers(other), labels, PATHS[:3], TYPES)
    assert parity.agreement == 0
    assert (parity.flipped[0].reference, parity.flipped[0].other) == ("meningioma", "glioma")
    assert parity.sensitivity_change == {"type": {"glioma": 1, "meningioma": -1}}
    assert (parity.only_reference_right, parity.only_other_right) == (2, 1)
    assert parity.ece == (pytest.approx(2 / 3 - 0.25), pytest.approx(1 / 3 - 0.25))
    assert parity.threshold_crossed == 0


def test_crossing_the_operating_point_is_another_answer():
    contract = replace(TYPES, tumor_threshold=0.9)
    parity = between({(2, 3): 1.0}, contract=contract)  # P(tumour) of 0.959 becomes 0.895
    assert (parity.agreement, parity.threshold_crossed) == (0.75, 1)
    assert (parity.flipped[0].reference, parity.flipped[0].other) == ("glioma", "no_tumor")
    assert parity.sensitivity_change["type"]["glioma"] == -0.5
    assert between({(2, 3): 1.0}).threshold_crossed == 0


def test_a_lesion_peak_may_move_one_cell_and_only_tumours_count():
    maps = np.zeros((4, 1, 6, 6), np.float32)
    maps[:, 0, 2, 2] = 0.9
    moved = np.zeros_like(maps)
    for row, (y, x) in enumerate([(3, 3), (2, 4), (2, 2), (5, 5)]):
        moved[row, 0, y, x] = 0.8
    parity = compare(Answers(ORIGINAL, maps), Answers(ORIGINAL, moved), LABELS, PATHS, TYPES)
    assert parity.lesion_peaks_moved == 1  # the second; the last is called free of tumour
    assert parity.lesion_peaks_lower == 1
    assert parity.losses(33) == [
        "the lesion map's peak moves to a lower place on 1 of 3 images called tumour"
    ]
    assert parity.losses(34) == []
    maps[1, 0, 2, 4] = 0.895  # a plateau: the report counts it, the guard knows that it is a tie
    tied = compare(Answers(ORIGINAL, maps), Answers(ORIGINAL, moved), LABELS, PATHS, TYPES)
    assert (tied.lesion_peaks_moved, tied.lesion_peaks_lower) == (1, 0)
    assert between({}).lesion_peaks_moved is None
    assert tied.losses(0) == []


def test_the_contract_names_no_file_and_the_report_all_flips():
    parity = between({(1, 2): 2.5})
    contract, report = parity.to_dict(), parity.to_report()
    assert "b.png" not in json.dumps(contract)
    assert contract["reference"] == "PyTorch FP32"
    assert (contract["n"], contract["flipped"], contract["agreement"]) == (4, 1, 0.75)
    assert report["flipped"] == [
        {"path": "b.png", "label": "meningioma", "reference": "meningioma", "other": "pituitary"}
    ]


def test_rounding_passes_as_the_same_logits_and_more_does_not():
    between({(0, 2): -9.0008}).require_same_outputs()  # allowed: 1e-4 of 9
    with pytest.raises(ParityError) as caught:
        between({(0, 2): -9.01}).require_same_outputs()
    assert str(caught.value) == (
        "the FP32 ONNX file differs from PyTorch: logits by up to 0.01 on 4 images, "
        "allowed 0.0009; no file was written"
    )
    assert caught.value.exit_code == 1


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_no_number_is_never_parity(value):
    with np.errstate(invalid="ignore"):
        parity = between({(0, 0): value})
    with pytest.raises(ParityError):
        parity.require_same_outputs()
    with pytest.raises(ParityError):
        parity.require_no_loss(99)


def between_maps(cell: float | None) -> Parity:
    """The same logits; the map differs in one cell, or is missing."""
    maps = np.full((4, 1, 6, 6), 0.25, np.float32)
    other = None if cell is None else maps.copy()
    if other is not None:
        other[3, 0, 5, 5] = cell
    return compare(Answers(ORIGINAL, maps), Answers(ORIGINAL, other), LABELS, PATHS, TYPES)


def test_an_fp32_file_must_give_the_lesion_map_too():
    parity = between_maps(0.25008)
    assert parity.max_lesion_difference == pytest.approx(8e-5, rel=1e-2)
    assert parity.to_dict()["max_lesion_difference"] == parity.max_lesion_difference
    parity.require_same_outputs()
    with pytest.raises(ParityError) as caught:
        between_maps(0.26).require_same_outputs()
    assert str(caught.value) == (
        "the FP32 ONNX file differs from PyTorch: the lesion map by up to 0.01 on 4 images, "
        "allowed 0.0001; no file was written"
    )
    between_maps(0.26).require_no_loss(0)  # a quantised map may differ, if it shows the same
    assert between({}).max_lesion_difference is None


@pytest.mark.parametrize(("cell", "said"), [(np.nan, "nan"), (np.inf, "inf"), (None, "inf")])
def test_a_lesion_map_that_is_missing_or_no_number_is_never_parity(cell, said):
    parity = between_maps(cell)
    with pytest.raises(ParityError, match=rf": the lesion map by up to {said} on 4 images, "):
        parity.require_same_outputs()
    assert parity.losses(99) == ["the lesion map is missing or holds values that are no numbers"]
    with pytest.raises(ParityError):
        parity.require_no_loss(99)


def test_as_much_may_be_lost_as_allowed():
    parity = between({(1, 2): 2.5}, labels=[])
    parity.require_no_loss(25)
    with pytest.raises(ParityError) as caught:
        parity.require_no_loss(24.9)
    assert str(caught.value) == (
        "INT8 does not give PyTorch's answers: the answer changes on 25.00 % of 4 images; allowed "
        "24.9 %. No INT8 file was written. Calibrate with more or other images "
        "(--calibration DIR), try --quantize fp16, or allow more with --max-drop"
    )
    with pytest.raises(
        ParityError, match=r"\. No FP16 file was written\. Try --quantize int8, or "
    ):
        parity.require_no_loss(24.9, kind="FP16")


def test_one_class_may_not_pay_for_the_rest():
    with pytest.raises(ParityError, match=r"meningioma loses 100\.00 points of sensitivity"):
        between({(1, 2): 2.5}).require_no_loss(50)
