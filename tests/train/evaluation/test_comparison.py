from pathlib import Path

import numpy as np
import pytest

from edge_mri.labels import Label, LabelSpace
from edge_mri_train.data.folders import Sample
from edge_mri_train.evaluation.comparison import compare

SPACE = LabelSpace.for_task("type")


def columns(answers: list[str], space: LabelSpace = SPACE) -> np.ndarray:
    return np.array([space.types.index(answer) for answer in answers])


def samples(truth: list[str]) -> list[Sample]:
    return [Sample(Path("set"), Path(f"{row}.png"), Label(one)) for row, one in enumerate(truth)]


def compared(truth: list[str], first: list[str], second: list[str]) -> dict:
    return compare(("one", SPACE, columns(first)), ("two", SPACE, columns(second)), samples(truth))


# Fagerland, Lydersen and Laake 2013 (BMC Medical Research Methodology 13:91), table 1: airway
# hyper-responsiveness before and after stem cell transplantation, 1 and 7 discordant of 21 pairs;
# exact conditional test, p = 0.070.
def test_mcnemars_exact_test_on_a_published_example():
    truth = ["glioma"] * 21
    first = ["glioma"] * 1 + ["pituitary"] * 7 + ["glioma"] * 13
    second = ["pituitary"] * 1 + ["glioma"] * 7 + ["glioma"] * 13
    result = compared(truth, first, second)
    assert (result["only_first_right"], result["only_second_right"]) == (1, 7)
    assert result["mcnemar_p"] == pytest.approx(0.0703, abs=5e-5)
    assert result["agreement"] == pytest.approx(13 / 21)


def test_flipped_images_are_listed_with_both_answers():
    truth = ["glioma", "glioma", "pituitary", "no_tumor"]
    first = ["glioma", "glioma", "glioma", "no_tumor"]
    second = ["glioma", "no_tumor", "meningioma", "no_tumor"]
    result = compared(truth, first, second)
    assert (result["first"], result["second"], result["n"]) == ("one", "two", 4)
    assert result["flipped"] == [
        {"path": "set/1.png", "label": "glioma", "first": "glioma", "second": "no_tumor"},
        {"path": "set/2.png", "label": "pituitary", "first": "glioma", "second": "meningioma"},
    ]
    assert result["agreement"] == 0.5
    # Both wrong, in different ways, speaks for neither.
    assert (result["only_first_right"], result["only_second_right"]) == (1, 0)
    assert result["sensitivity_change"] == {"glioma": 0.5, "pituitary": 0.0, "no_tumor": 0.0}


def test_a_model_agrees_with_itself():
    result = compared(["glioma", "pituitary"], ["glioma"] * 2, ["glioma"] * 2)
    assert (result["agreement"], result["mcnemar_p"], result["flipped"]) == (1, 1, [])


def test_models_of_other_label_spaces_are_compared_by_type():
    other = LabelSpace(types=tuple(reversed(SPACE.types)), planes=("axial",))
    answers = ["glioma", "no_tumor", "pituitary"]
    result = compare(
        ("one", SPACE, columns(answers)), ("two", other, columns(answers, other)), samples(answers)
    )
    assert result["agreement"] == 1
    assert set(result["sensitivity_change"].values()) == {0}


def test_swapping_the_models_swaps_the_figures():
    truth, first, second = (
        [SPACE.types[one] for one in np.random.default_rng(seed).integers(0, 4, 50)]
        for seed in range(3)
    )
    one, two = compared(truth, first, second), compared(truth, second, first)
    assert one["mcnemar_p"] == two["mcnemar_p"]
    assert one["only_first_right"] == two["only_second_right"]
    for name, change in one["sensitivity_change"].items():
        assert two["sensitivity_change"][name] == -change
