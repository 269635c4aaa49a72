import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from edge_mri.answers.prediction import softmax
from edge_mri.errors import ContractError, OptionError
from edge_mri.labels import PLANES, TYPES, Label, LabelSpace, Vocabulary, parse_folder_name


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
        ("Glioblastoma", Label("glioma")),
        ("tumor", Label(TYPES[:3])),
        ("yes", Label(TYPES[:3])),
        ("Tumours-axial", Label(TYPES[:3], "axial")),
        ("schwannoma", Label(TYPES[:3])),
        ("choroid_plexus_papilloma", Label(TYPES[:3])),
    ],
)
def test_a_folder_name_means_its_label(name, label):
    assert parse_folder_name(name) == label


@pytest.mark.parametrize(
    "name",
    [
        "",
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


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"absent": "c"}, "labels: absent is 'c' and present 'tumor', expected one of the types"),
        ({"absent": 1}, "labels: absent is 1, expected a name or null"),
        ({"absent": "a", "present": ""}, "labels: absent is 'a' and present '', expected one of"),
        ({"absent": "a", "present": None}, "labels: absent is 'a' and present None, expected"),
    ],
)
def test_an_absent_type_from_a_file_is_checked(values, reason):
    with pytest.raises(ContractError) as refusal:
        LabelSpace.from_dict({"types": ["a", "b"], "planes": [], **values})
    assert reason in str(refusal.value)


def test_files_that_say_nothing_of_an_absent_type_mean_the_default():
    assert LabelSpace.from_dict({"types": TYPES, "planes": PLANES}) == LabelSpace()
    other = LabelSpace.from_dict({"types": ["a", "b"], "planes": []})
    assert (other.absent, other.present, other.present_key) == (None, None, None)
    space = LabelSpace(("a", "no", "b"), ("up",), "no", "finding")
    assert LabelSpace.from_dict(space.to_dict()) == space
    assert space.present_key == "finding_probability"
    assert space.present_types == ("a", "b")


@pytest.mark.parametrize(
    ("label", "told"),
    [
        (Label("no"), False),
        (Label(("a", "b")), True),
        (Label("a"), True),
        (Label(("a", "no")), None),
    ],
)
def test_a_label_says_present_absent_or_neither(label, told):
    assert LabelSpace(("a", "no", "b"), (), "no").is_present(label) is told
    assert LabelSpace(("a", "no", "b"), (), None).is_present(label) is None


DEMENTIA = LabelSpace(("Non Demented", "Mild-Demented", "🧠 x"), (), "Non Demented", "dementia")


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("non_demented", Label("Non Demented")),
        ("Mild Demented", Label("Mild-Demented")),
        ("🧠 x", Label("🧠 x")),
        ("normal", Label("Non Demented")),
        ("dementia", Label(("Mild-Demented", "🧠 x"))),
        ("md", Label("Mild-Demented")),
        ("glioma", None),
        ("Demented", None),
        ("Mild-Demented|🧠 x", Label(("Mild-Demented", "🧠 x"))),
        ("🧠 x|Mild-Demented", Label(("Mild-Demented", "🧠 x"))),
        ("Mild-Demented|cat", None),
    ],
)
def test_names_mean_labels_of_another_space(name, label):
    assert Vocabulary(DEMENTIA, {"md": ("Mild-Demented",)}).parse(name) == label


NAMES = re.compile(r"\b(glioma|meningioma|pituitary|no_tumou?r|notumou?r)\b")


def test_no_class_name_of_the_default_stands_outside_labels_and_phantoms():
    root = Path(__file__).parents[2]
    code = ("runtime/edge_mri", "train/edge_mri_train", "export/edge_mri_export")
    found = []
    for folder in (*code, "benchmarks/edge_mri_bench"):
        for file in (root / folder).rglob("*"):
            inside = file.relative_to(root / folder).parts[0]
            if file.suffix in (".py", ".html", ".js") and inside not in ("labels", "phantoms"):
                text = file.read_text(encoding="utf-8")
                found += [f"{file.relative_to(root)}: {one}" for one in NAMES.findall(text)]
    assert found == []
