import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from edge_mri.answers.prediction import softmax
from edge_mri.errors import ContractError, OptionError
from edge_mri.labels import PLANES, TYPES, Label, LabelSpace, parse_folder_name


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("glioma", Label("glioma")),
        ("meningioma", Label("meningioma")),
        ("pituitary", Label("pituitary")),
        ("notumor", Label("no_tumor")),
        ("no", Label("no_tumor")),
        ("no_tumor", Label("no_tumor")),
        ("no_tumour", Label("no_tumor")),
        ("No Tumors", Label("no_tumor")),
        ("normal", Label("no_tumor")),
        ("healthy", Label("no_tumor")),
        ("glioma_tumor", Label("glioma")),
        ("Meningioma Tumour", Label("meningioma")),
        ("pituitary_tumor", Label("pituitary")),
        ("PituitaryAdenoma", Label("pituitary")),
        ("Pituitary adenoma", Label("pituitary")),
        ("pituitary-adenomas", Label("pituitary")),
        ("Pituitary_Macroadenoma_cor", Label("pituitary", "coronal")),
        ("adenoma (pituitary)", Label("pituitary")),
        ("Gliomas", Label("glioma")),
        ("meningiomas-sagittal", Label("meningioma", "sagittal")),
        ("non-tumor", Label("no_tumor")),
        ("no_transverse", Label("no_tumor", "axial")),
        ("glioma_axial", Label("glioma", "axial")),
        ("meningioma coronal", Label("meningioma", "coronal")),
        ("Sagittal-Pituitary", Label("pituitary", "sagittal")),
        ("notumor_sag", Label("no_tumor", "sagittal")),
        ("3.glioma.cor", Label("glioma", "coronal")),
    ],
)
def test_a_folder_name_means_its_label(name, label):
    assert parse_folder_name(name) == label


@pytest.mark.parametrize(
    "name",
    [
        "",
        "tumor",
        "Training",
        "axial",
        "gliomas_meningioma",
        "glioma_meningioma",
        "glioma_axial_coronal",
        "glioma_oblique",
        "no_glioma",
        "nothing",
        "brain_tumor",
        "adenoma",
        "no_adenoma",
        "glioma adenoma",
        "non glioma",
        "gliomaaxial",
        "1",
    ],
)
def test_another_name_means_no_label(name):
    assert parse_folder_name(name) is None


@pytest.mark.parametrize("task", ["type-plane", "type"])
def test_the_name_of_a_class_means_that_class(task):
    for label in LabelSpace.for_task(task).classes:
        assert parse_folder_name(str(label)) == label


def test_classes_run_type_by_type_with_the_planes_innermost():
    names = [str(label) for label in LabelSpace().classes]
    assert names == [f"{type_}_{plane}" for type_ in TYPES for plane in PLANES]
    assert names[:4] == ["glioma_axial", "glioma_coronal", "glioma_sagittal", "meningioma_axial"]


def test_without_planes_the_classes_are_the_types():
    labels = LabelSpace.for_task("type")
    assert [str(label) for label in labels.classes] == list(TYPES)
    assert labels.plane_probabilities(np.full((1, 4), 0.25, np.float32)) is None


def test_an_unknown_task_is_refused():
    with pytest.raises(OptionError, match=r"^unknown task 'planes'; expected one of type-plane, "):
        LabelSpace.for_task("planes")


@given(arrays(np.float32, (3, 12), elements=st.floats(-30, 30, width=32)))
def test_both_marginals_of_a_distribution_sum_to_one(logits):
    probabilities = softmax(logits)
    types = LabelSpace().type_probabilities(probabilities)
    planes = LabelSpace().plane_probabilities(probabilities)
    assert types.shape == (3, 4)
    assert planes.shape == (3, 3)
    np.testing.assert_allclose(types.sum(axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(planes.sum(axis=1), 1, atol=1e-5)


@pytest.mark.parametrize("number", range(12))
def test_a_certain_class_is_a_certain_type_and_a_certain_plane(number):
    labels = LabelSpace()
    certain = np.eye(12, dtype=np.float32)[[number]]
    label = labels.classes[number]
    assert labels.types[labels.type_probabilities(certain)[0].argmax()] == label.type
    assert labels.planes[labels.plane_probabilities(certain)[0].argmax()] == label.plane
    assert labels.type_probabilities(certain).max() == 1


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"types": ["glioma"]}, "labels: expected types and planes, got types"),
        (
            {"types": ["a"], "planes": [], "sides": []},
            "labels: expected types and planes, got types, planes, sides",
        ),
        (
            {"types": "glioma", "planes": []},
            "labels: types is 'glioma', expected a list of distinct names",
        ),
        ({"types": [], "planes": []}, "labels: types is [], expected a list of distinct names"),
        (
            {"types": ["a", "b"], "planes": ["x", "x"]},
            "labels: planes is ['x', 'x'], expected a list of distinct names",
        ),
        ({"types": [1], "planes": []}, "labels: types is [1], expected a list of distinct names"),
    ],
)
def test_a_label_space_from_a_file_is_checked(values, reason):
    with pytest.raises(ContractError) as refusal:
        LabelSpace.from_dict(values)
    assert reason in str(refusal.value)
