import json
import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from edge_mri.classifier import SHIPPED_MODEL, Classifier
from edge_mri.errors import NoImagesError, OptionError
from edge_mri.labels import Label, LabelSpace
from edge_mri.model.content_hash import with_hash
from edge_mri.model.contract import Contract
from edge_mri.model.rejection import Rejection
from edge_mri.terminal.progress import NoProgress, Progress
from edge_mri_train.data.layout import Layout
from edge_mri_train.data.manifest import read_manifest
from edge_mri_train.errors import UnknownClassError
from edge_mri_train.evaluation.evaluating import Evaluation, EvaluationConfig, evaluate
from edge_mri_train.evaluation.figures import figures
from edge_mri_train.evaluation.intervals import wilson
from edge_mri_train.networks.checkpoint import Checkpoint

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


def test_the_intervals_are_wilsons():
    truth = [Label("glioma")] * 263
    answers = [Label("glioma")] * 81 + [Label("pituitary")] * 182
    measured = figures(sure_of(answers, TYPE_SPACE), truth, TYPE_SPACE)["type"]
    assert measured["ci95"] == wilson(81, 263)
    assert measured["per_class"]["glioma"]["sensitivity_ci95"] == wilson(81, 263)


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


def run(model: Path, *data: Path, progress: Progress | None = None, **values) -> Evaluation:
    return evaluate(EvaluationConfig(model, data, **values), progress or NoProgress())


def measured(finished: Path, folder: Path, progress: Progress | None = None) -> dict:
    return run(finished / "checkpoint.pt", folder, progress=progress).report


def test_a_checkpoint_is_measured_on_a_folder(finished, phantoms):
    result = measured(finished, phantoms)
    assert result["model"] == "mobilenet_v2 (PyTorch)"
    assert result["n"] == result["type"]["n"] == result["plane"]["n"] == 48


def test_the_figures_are_those_the_run_saw(finished, tmp_path):
    training = Checkpoint.load(finished / "checkpoint.pt").training
    for row in read_manifest(finished / "split.csv"):
        if row.sample.split == "val":
            (tmp_path / row.sample.path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(row.sample.file, tmp_path / row.sample.path)
    result = measured(finished, tmp_path)
    for axis in ("type", "plane", "joint"):
        assert result[axis]["accuracy"] == training["validation"][f"{axis}_accuracy"]


def test_beside_other_folders_only_the_test_folder_counts(finished, tmp_path, type_only, recorder):
    shutil.copytree(type_only, tmp_path / "Training")
    shutil.copytree(type_only / "glioma", tmp_path / "Testing" / "glioma")
    result = measured(finished, tmp_path, recorder)
    assert result["n"] == 12
    assert result["type"]["per_class"]["glioma"]["support"] == 12
    assert recorder.lines == ["Left out 48 images outside the test folders."]


def test_a_training_folder_alone_is_measured_whole(finished, tmp_path, type_only, recorder):
    shutil.copytree(type_only, tmp_path / "Training")
    assert measured(finished, tmp_path, recorder)["n"] == 48
    assert recorder.lines == []


def test_folders_that_cannot_be_measured_are_refused(finished, tmp_path):
    with pytest.raises(NoImagesError):
        measured(finished, tmp_path)
    (tmp_path / "cats").mkdir()
    (tmp_path / "cats" / "a.png").touch()
    with pytest.raises(UnknownClassError):
        measured(finished, tmp_path)


READING = {
    *("asked", "n", "coverage", "coverage_ci95", "rejected"),
    *("type", "plane", "joint", "tumor", "partial"),
}
FIGURES = {"accuracy", "ci95", "balanced_accuracy", "macro_f1", "ece", "brier", "log_loss"}
CLASS = {"sensitivity", "specificity", "precision", "f1", "auroc", "support", "sensitivity_ci95"}


@pytest.fixture(scope="module")
def mixed(finished, head, save, tmp_path_factory) -> Path:
    """Images of which two were trained on, one is an edited such image, two are each other."""
    folder = tmp_path_factory.mktemp("mixed")
    rows = read_manifest(finished / "split.csv")
    for name, row in (("0.png", rows[0]), ("1.bmp", rows[-1])):
        image = cv2.imread(str(row.sample.file), cv2.IMREAD_GRAYSCALE)
        save(folder / str(row.sample.label) / name, image)
    image = cv2.imread(str(rows[20].sample.file), cv2.IMREAD_GRAYSCALE)
    save(folder / str(rows[20].sample.label) / "2.png", cv2.flip(image, 1))
    for index in range(30, 36):
        save(folder / "no_axial" / f"{index}.png", head(index))
    save(folder / "no_axial" / "again.bmp", head(30))
    return folder


def test_the_layout_is_the_documented_one(finished, mixed):
    report = measured(finished, mixed)
    text = json.dumps(report, allow_nan=False)
    assert json.loads(text) == report
    assert set(report) == READING | {*("model", "training_images", "present", "by", "subsets")}
    assert list(report["subsets"]) == ["all", "duplicate_free", "group_clean"]
    for reading in (report, *report["subsets"].values()):
        assert set(reading) >= READING
        for axis in ("type", "plane", "joint"):
            assert FIGURES | {"labels", "confusion_matrix", "per_class"} <= set(reading[axis])
            assert list(reading[axis]["per_class"]) == reading[axis]["labels"]
            for one in reading[axis]["per_class"].values():
                assert set(one) == CLASS
        assert {"sensitivity", "specificity", "auroc", "threshold"} <= set(reading["tumor"])
    assert (report["coverage"], report["rejected"]) == (
        1,
        {"foreign": 0, "unfamiliar": 0, "undecided": 0},
    )
    assert report["by"] == {}


def test_the_model_knows_by_itself_what_it_has_seen(finished, mixed):
    report = measured(finished, mixed)
    assert report["training_images"] == "what the model remembers, 48 images"
    assert {name: part["n"] for name, part in report["subsets"].items()} == {
        "all": 10,
        "duplicate_free": 7,  # without the two, and the repeat
        "group_clean": 6,  # without the mirrored one
    }


def test_a_manifest_tells_the_same(finished, mixed):
    report = run(finished / "checkpoint.pt", mixed, against=finished / "split.csv").report
    assert report["training_images"] == "manifest split.csv, 48 images"
    own = measured(finished, mixed)
    assert report["subsets"] == own["subsets"]


def test_each_reading_has_the_figures_of_its_images(finished, mixed):
    result = run(finished / "checkpoint.pt", mixed)
    rows = np.flatnonzero(result.leakage.group_clean)
    clean = figures(
        result.probabilities[rows],
        [result.samples[row].label for row in rows],
        result.space,
        result.leakage.groups[rows],
    )
    part = result.report["subsets"]["group_clean"]
    assert {key: part[key] for key in clean} == clean
    assert (part["asked"], part["coverage"]) == (len(rows), 1)
    assert result.report["subsets"]["all"]["type"] == result.report["type"]


def test_where_all_was_seen_nothing_is_left(finished, phantoms):
    subsets = measured(finished, phantoms)["subsets"]
    assert subsets["duplicate_free"] is None
    assert subsets["group_clean"] is None


def test_of_a_model_that_remembers_nothing_no_image_is_called_new(finished, mixed, tmp_path):
    checkpoint = replace(Checkpoint.load(finished / "checkpoint.pt"), seen=None)
    checkpoint.save(tmp_path / "checkpoint.pt")
    report = run(tmp_path / "checkpoint.pt", mixed).report
    assert report["training_images"] is None
    assert report["subsets"]["all"]["n"] == 10
    assert report["subsets"]["duplicate_free"] is None
    assert report["subsets"]["group_clean"] is None


def tagged(mixed: Path, folder: Path) -> Layout:
    files = sorted(mixed.rglob("*.*"))
    lines = [
        f"{file.relative_to(mixed)},{file.parent.name},{('t1', 'flair')[n % 2]},P{n % 3}"
        for n, file in enumerate(files)
    ]
    text = "path,label,contrast,patient\n" + "\n".join(lines)
    (folder / "index.csv").write_text(text)
    return Layout(index=folder / "index.csv")


def test_figures_by_tag_are_those_of_the_images_with_it(finished, mixed, tmp_path):
    layout = tagged(mixed, tmp_path)
    report = run(finished / "checkpoint.pt", mixed, layout=layout, by=("contrast",)).report
    assert list(report["by"]) == ["contrast"]
    assert list(report["by"]["contrast"]) == ["flair", "t1"]
    parts = report["by"]["contrast"].values()
    assert [part["n"] for part in parts] == [5, 5]
    matrices = [np.array(part["type"]["confusion_matrix"]) for part in parts]
    assert (sum(matrices) == report["type"]["confusion_matrix"]).all()


def test_a_tag_that_no_image_has_is_refused(finished, mixed, tmp_path):
    with pytest.raises(OptionError, match=r"^--by scanner: no image has this tag; known are none$"):
        run(finished / "checkpoint.pt", mixed, by=("scanner",))
    with pytest.raises(OptionError, match=r"^--by scanner: .* known are contrast$"):
        run(finished / "checkpoint.pt", mixed, layout=tagged(mixed, tmp_path), by=("scanner",))


def test_two_models_are_compared_on_the_same_images(finished, mixed):
    path = finished / "checkpoint.pt"
    compared = run(path, mixed, other=path).report["comparison"]
    assert (compared["n"], compared["agreement"], compared["flipped"]) == (10, 1, [])
    shipped = run(path, mixed, other=None)
    assert "comparison" not in shipped.report


def test_one_image_can_be_measured(finished, head, save, tmp_path):
    save(tmp_path / "no_axial" / "a.png", head(50))
    report = measured(finished, tmp_path)
    assert report["n"] == report["subsets"]["group_clean"]["n"] == 1
    assert report["type"]["balanced_accuracy_ci95"] is None
    assert report["tumor"]["sensitivity"] is None
    json.dumps(report, allow_nan=False)


def test_the_threshold_decides_the_type_and_the_tumour_figures():
    probabilities = np.float32([[0.3, 0.3, 0.0, 0.4], [0.1, 0.05, 0.05, 0.8]])
    truth = [Label("no_tumor"), Label("glioma")]
    half = figures(probabilities, truth, TYPE_SPACE)
    assert half["type"]["confusion_matrix"][3] == [1, 0, 0, 0]
    assert half["type"]["accuracy"] == 0
    assert (half["tumor"]["sensitivity"], half["tumor"]["specificity"]) == (0, 0)
    low = figures(probabilities, truth, TYPE_SPACE, tumor_threshold=0.15)
    assert low["type"]["confusion_matrix"] == [[1, 0, 0, 0], [0] * 4, [0] * 4, [1, 0, 0, 0]]
    assert (low["tumor"]["sensitivity"], low["tumor"]["threshold"]) == (1, 0.15)
    high = figures(probabilities, truth, TYPE_SPACE, tumor_threshold=0.7)
    assert high["type"]["accuracy"] == 0.5
    assert high["tumor"]["specificity"] == 1


def test_the_calibration_error_is_that_of_what_is_said():
    probabilities = np.float32([[0.3, 0.3, 0.0, 0.4]])  # glioma is said, at 0.3
    measured = figures(probabilities, [Label("glioma")], TYPE_SPACE)["type"]
    assert (measured["accuracy"], measured["ece"]) == (1, pytest.approx(0.7))


def gated(classifier_path: Path, folder: Path, **values) -> Path:
    """The packaged model, with thresholds of one's own."""
    onnx = pytest.importorskip("onnx")
    model = onnx.load(classifier_path)
    contract = Contract.from_metadata({one.key: one.value for one in model.metadata_props})
    onnx.helper.set_model_props(model, replace(contract, **values).to_metadata())
    path = folder / "gated.onnx"
    path.write_bytes(with_hash(model.SerializeToString()))
    return path


def test_what_the_model_rejects_is_coverage_and_not_in_the_figures(heads, tmp_path):
    tumor = run(SHIPPED_MODEL, heads, reject=False).decisions.tumor
    low, high = (float(one) for one in np.quantile(tumor, (0.2, 0.6)))
    gate = Rejection(max_novelty=1e9, undecided=(low, high), kept=0.9, n=10)
    model = gated(SHIPPED_MODEL, tmp_path, rejection=gate, tumor_threshold=high)
    everything = run(model, heads, reject=False)
    result = run(model, heads)
    undecided = (tumor >= np.float32(low)) & (tumor <= np.float32(high))
    assert 0 < undecided.sum() < len(undecided) == 24
    np.testing.assert_array_equal(result.decisions.undecided, undecided)
    report, kept = result.report, int((~undecided).sum())
    assert (report["asked"], report["n"], report["coverage"]) == (24, kept, kept / 24)
    assert report["rejected"] == {"foreign": 0, "unfamiliar": 0, "undecided": len(undecided) - kept}
    assert report["type"]["n"] == report["tumor"]["n"] == kept
    assert report["tumor"]["threshold"] == high
    rows = np.flatnonzero(~undecided)
    expected = figures(
        everything.probabilities[rows],
        [everything.samples[row].label for row in rows],
        everything.space,
        everything.leakage.groups[rows],
        tumor_threshold=high,
    )
    assert {key: report[key] for key in expected} == expected
    assert (everything.report["asked"], everything.report["n"]) == (24, 24)


def test_what_is_unfamiliar_is_counted_apart_from_what_is_foreign(heads, mapped):
    gate = Rejection(1e9, (0.5, 0.5), 0.9, 10, max_foreign=1e9)
    files = sorted(heads.rglob("*.png"))
    model = Classifier.load(mapped(rejection=gate), device="cpu")
    found = np.sort([one.novelty for one in model.stream(map(str, files))])
    half = replace(gate, max_novelty=float(found[11] + found[12]) / 2)
    report = run(mapped(rejection=half), heads).report
    assert report["rejected"] == {"foreign": 0, "unfamiliar": 12, "undecided": 0}
    assert report["n"] == 12
    everything = run(mapped(rejection=replace(half, max_foreign=-1.0)), heads, reject=False)
    assert everything.report["n"] == 24


def test_a_mask_among_the_images_is_rejected_as_users_see_it(heads, tmp_path):
    folder = tmp_path / "set"
    shutil.copytree(heads, folder)
    some = next(folder.rglob("*.png"))
    mask = np.zeros((96, 96), np.uint8)
    mask[30:60, 30:60] = 255
    cv2.imwrite(str(some.with_name("mask.png")), mask)
    gate = Rejection(max_novelty=1e9, undecided=(0.5, 0.5), kept=0.9, n=10)
    model = gated(SHIPPED_MODEL, tmp_path, rejection=gate)
    report = run(model, folder).report
    assert report["rejected"] == {"foreign": 1, "unfamiliar": 0, "undecided": 0}
    assert report["n"] == report["asked"] - 1
    assert run(model, folder, reject=False).report["n"] == report["asked"]


def test_a_model_that_rejects_everything_cannot_be_measured(heads, tmp_path):
    gate = Rejection(max_novelty=1e9, undecided=(0, 1), kept=0.9, n=10)
    model = gated(SHIPPED_MODEL, tmp_path, rejection=gate)
    with pytest.raises(OptionError) as refusal:
        run(model, heads)
    assert str(refusal.value) == (
        "edge_net int8 (ONNX) rejects all 24 images, nothing is left to measure; "
        "--no-reject measures them all the same"
    )
