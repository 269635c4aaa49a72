import shutil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from edge_mri.errors import NoImagesError, UnknownClassError
from edge_mri.labels import Label, LabelSpace
from edge_mri.progress import NoProgress
from edge_mri_train.checkpoint import Checkpoint
from edge_mri_train.evaluation import balanced_accuracy, evaluate, figures
from edge_mri_train.split import read_manifest

SPACE = LabelSpace()
TYPE_SPACE = LabelSpace.for_task("type")


def sure_of(answers: list[Label], space: LabelSpace) -> np.ndarray:
    """Probabilities of one who answers these classes."""
    probabilities = np.full((len(answers), len(space.classes)), 0.01, np.float32)
    for row, answer in enumerate(answers):
        probabilities[row, space.classes.index(answer)] = 1
    return probabilities / probabilities.sum(axis=1, keepdims=True)


# Six gliomas of which four are found, three meningiomas of which all, one healthy that is not.
TRUTH = [Label("glioma")] * 6 + [Label("meningioma")] * 3 + [Label("no_tumor")]
ANSWERS = ([Label("glioma")] * 4 + [Label("meningioma")] * 2 + [Label("meningioma")] * 3) + [
    Label("glioma")
]


def test_figures_worked_out_by_hand():
    result = figures(sure_of(ANSWERS, TYPE_SPACE), TRUTH, TYPE_SPACE)
    assert (result["n"], result["plane"], result["joint"]) == (10, None, None)
    measured = result["type"]
    assert measured["n"] == 10
    assert measured["labels"] == ["glioma", "meningioma", "pituitary", "no_tumor"]
    assert measured["confusion_matrix"] == [[4, 2, 0, 0], [0, 3, 0, 0], [0, 0, 0, 0], [1, 0, 0, 0]]
    assert measured["accuracy"] == pytest.approx(0.7)
    # Pituitary does not occur: it counts in no mean.
    assert measured["balanced_accuracy"] == pytest.approx((4 / 6 + 1 + 0) / 3)
    assert measured["macro_f1"] == pytest.approx((8 / 11 + 6 / 8 + 0) / 3)
    glioma = measured["per_class"]["glioma"]
    assert glioma["sensitivity"] == pytest.approx(4 / 6)
    assert glioma["specificity"] == pytest.approx(3 / 4)
    assert glioma["precision"] == pytest.approx(4 / 5)
    assert glioma["f1"] == pytest.approx(8 / 11)
    assert glioma["support"] == 6
    pituitary = measured["per_class"]["pituitary"]
    assert pituitary["support"] == 0
    assert pituitary["sensitivity"] is None
    assert pituitary["sensitivity_ci95"] is None
    assert pituitary["precision"] is None
    assert pituitary["specificity"] == 1


labelled = st.lists(
    st.tuples(st.sampled_from(SPACE.classes), st.sampled_from(SPACE.classes)),
    min_size=1,
    max_size=40,
)


@given(pairs=labelled)
@settings(max_examples=40, deadline=None)
def test_figures_are_those_of_scikit_learn(pairs):
    truth, answers = map(list, zip(*pairs, strict=True))
    result = figures(sure_of(answers, SPACE), truth, SPACE)
    for axis, value in (
        ("type", lambda label: label.type),
        ("plane", lambda label: label.plane),
        ("joint", str),
    ):
        true, said = [value(one) for one in truth], [value(one) for one in answers]
        occurring = sorted(set(true))
        precision, recall, f1, support = metrics.precision_recall_fscore_support(
            true, said, labels=occurring, zero_division=np.nan
        )
        measured = result[axis]
        assert measured["accuracy"] == pytest.approx(metrics.accuracy_score(true, said))
        assert measured["balanced_accuracy"] == pytest.approx(recall.mean())
        assert measured["macro_f1"] == pytest.approx(f1.mean())
        for row, name in enumerate(occurring):
            one = measured["per_class"][name]
            assert one["support"] == support[row]
            assert one["sensitivity"] == pytest.approx(recall[row])
            assert one["precision"] == pytest.approx(precision[row], nan_ok=True) or (
                one["precision"] is None and np.isnan(precision[row])
            )


# Newcombe 1998 (Statistics in Medicine 17:857), table I, method 3.
@pytest.mark.parametrize(
    ("hits", "n", "low", "high"),
    [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_the_interval_is_wilsons(hits, n, low, high):
    truth = [Label("glioma")] * n
    answers = [Label("glioma")] * hits + [Label("pituitary")] * (n - hits)
    measured = figures(sure_of(answers, TYPE_SPACE), truth, TYPE_SPACE)["type"]
    assert measured["ci95"] == pytest.approx([low, high], abs=5e-5)
    assert measured["per_class"]["glioma"]["sensitivity_ci95"] == measured["ci95"]


@pytest.mark.parametrize("hits", [0, 7])
def test_the_interval_stays_in_0_to_1_and_holds_the_estimate(hits):
    truth = [Label("glioma")] * 7
    answers = [Label("glioma")] * hits + [Label("pituitary")] * (7 - hits)
    low, high = figures(sure_of(answers, TYPE_SPACE), truth, TYPE_SPACE)["type"]["ci95"]
    assert 0 <= low <= hits / 7 <= high <= 1 + 1e-12


def test_planes_are_measured_on_the_images_that_name_one():
    truth = [Label("glioma"), Label("glioma", "axial"), Label("pituitary", "coronal")]
    answers = [
        Label("glioma", "sagittal"),
        Label("meningioma", "axial"),
        Label("pituitary", "coronal"),
    ]
    result = figures(sure_of(answers, SPACE), truth, SPACE)
    assert (result["type"]["n"], result["plane"]["n"], result["joint"]["n"]) == (3, 2, 2)
    assert result["type"]["accuracy"] == pytest.approx(2 / 3)
    assert result["plane"]["accuracy"] == 1
    assert result["joint"]["accuracy"] == 0.5
    assert len(result["joint"]["confusion_matrix"]) == 12


def test_without_labelled_planes_only_the_type_is_measured():
    result = figures(sure_of([Label("glioma", "axial")], SPACE), [Label("glioma")], SPACE)
    assert result["type"]["accuracy"] == 1
    assert result["plane"] is None
    assert result["joint"] is None


def test_the_type_is_the_sum_over_planes_and_not_the_type_of_the_likeliest_class():
    probabilities = np.full((1, 12), 0.0, np.float32)
    probabilities[0, :3] = 0.2  # glioma, in any plane: 0.6
    probabilities[0, 3] = 0.4  # meningioma, axial
    result = figures(probabilities, [Label("glioma", "axial")], SPACE)
    assert result["type"]["accuracy"] == 1
    assert result["joint"]["accuracy"] == 0


def test_balanced_accuracy_ignores_classes_that_do_not_occur():
    matrix = np.array([[1, 1, 0], [0, 0, 0], [0, 0, 5]])
    assert balanced_accuracy(matrix) == pytest.approx(0.75)


def test_a_checkpoint_is_measured_on_a_folder(finished, phantoms):
    result = evaluate(finished / "checkpoint.pt", [phantoms], NoProgress())
    assert result["model"] == "mobilenet_v2 (PyTorch)"
    assert result["n"] == result["type"]["n"] == result["plane"]["n"] == 48


def test_the_figures_are_those_the_run_saw(finished, tmp_path):
    training = Checkpoint.load(finished / "checkpoint.pt").training
    for row in read_manifest(finished / "split.csv"):
        if row.sample.split == "val":
            (tmp_path / row.sample.path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(row.sample.file, tmp_path / row.sample.path)
    result = evaluate(finished / "checkpoint.pt", [tmp_path], NoProgress())
    for axis in ("type", "plane", "joint"):
        assert result[axis]["accuracy"] == training["validation"][f"{axis}_accuracy"]


def test_beside_other_folders_only_the_test_folder_counts(finished, tmp_path, type_only, recorder):
    shutil.copytree(type_only, tmp_path / "Training")
    shutil.copytree(type_only / "glioma", tmp_path / "Testing" / "glioma")
    result = evaluate(finished / "checkpoint.pt", [tmp_path], recorder)
    assert result["n"] == 12
    assert result["type"]["per_class"]["glioma"]["support"] == 12
    assert recorder.lines == ["Left out 48 images outside the test folders."]


def test_a_training_folder_alone_is_measured_whole(finished, tmp_path, type_only, recorder):
    shutil.copytree(type_only, tmp_path / "Training")
    assert evaluate(finished / "checkpoint.pt", [tmp_path], recorder)["n"] == 48
    assert recorder.lines == []


def test_folders_that_cannot_be_measured_are_refused(finished, tmp_path):
    with pytest.raises(NoImagesError):
        evaluate(finished / "checkpoint.pt", [tmp_path], NoProgress())
    (tmp_path / "cats").mkdir()
    (tmp_path / "cats" / "a.png").touch()
    with pytest.raises(UnknownClassError):
        evaluate(finished / "checkpoint.pt", [tmp_path], NoProgress())
