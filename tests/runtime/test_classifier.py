import copy
import os
import pickle
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import islice, repeat
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import onnxruntime
import pytest

from edge_mri.answers.prediction import Prediction, softmax
from edge_mri.classifier import SHIPPED_MODEL, Classifier
from edge_mri.errors import (
    ContractError,
    ImageDecodeError,
    ImageError,
    ImageReadError,
    ImageSupportError,
    ModelFormatError,
    ModelNotFoundError,
    OptionError,
)
from edge_mri.images.preprocess import preprocess_batch
from edge_mri.labels import Label
from edge_mri.phantoms.phantom import draw_phantom


@pytest.fixture(scope="module")
def files(phantoms: Path) -> list[Path]:
    """A dozen phantoms, one a class."""
    return sorted(phantoms.rglob("*.png"))[::4]


@pytest.fixture(scope="module")
def answers(classifier: Classifier, files: list[Path]) -> list[Prediction]:
    return [classifier.predict(path) for path in files]


def assert_close(found: list[Prediction], expected: list[Prediction]) -> None:
    """Same records; probabilities to 1e-5, though on x86 they have been equal to the bit."""
    assert [record.path for record in found] == [record.path for record in expected]
    for one, other in zip(found, expected, strict=True):
        assert (one.status, one.type, one.plane, one.error) == (
            *(other.status, other.type, other.plane, other.error),
        )
        assert one.type_probabilities == pytest.approx(other.type_probabilities, abs=1e-5)
        assert one.plane_probabilities == pytest.approx(other.plane_probabilities, abs=1e-5)


def test_the_model_that_ships_has_a_contract(classifier):
    contract = classifier.contract
    assert classifier.path == SHIPPED_MODEL
    assert classifier.device == "cpu"
    assert contract.precision == "int8"
    assert contract.quantization
    assert contract.training
    assert contract.labels.types == ("glioma", "meningioma", "pituitary", "no_tumor")
    assert contract.labels.planes == ("axial", "coronal", "sagittal")
    assert SHIPPED_MODEL.stat().st_size <= 1e6


def test_a_model_is_found_by_a_path_of_any_kind(classifier):
    for path in (str(SHIPPED_MODEL), SHIPPED_MODEL, None):
        assert Classifier.load(path, device="cpu").contract == classifier.contract


def test_a_missing_model_is_refused(tmp_path):
    with pytest.raises(ModelNotFoundError):
        Classifier.load(tmp_path / "missing.onnx")


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        (b"edge_mri.contract", b"edge_mri.kontract", "the file's metadata has no 'edge_mri.contr"),
        (b'{"schema_version"', b'["schema_version"', "it is no JSON (Expecting "),
        (b'"schema_version": 1', b'"schema_version": 7', "its schema_version is 7, this version"),
        (b'"intended_use"', b'"intended_job"', "it has keys this version does not know: intended"),
        (b'"fit": "letterbox"', b'"fit": "lettercut"', "preprocessing: unknown preprocessing fit="),
        (b'"sagittal"]', b'"sag","ax"]', "the graph's outputs are {'logits': ['N', 12]"),
    ],
)
def test_a_contract_that_cannot_be_used_is_refused(tmp_path, model, old, new, reason):
    assert len(old) == len(new)
    assert model.count(old) == 1
    path = tmp_path / "model.onnx"
    path.write_bytes(model.replace(old, new))
    with pytest.raises(ContractError) as refusal:
        Classifier.load(path, device="cpu")
    assert str(refusal.value).startswith(f"the model's contract cannot be used: {reason}")
    assert str(refusal.value).endswith("; write the model again with `edge-mri export`")


@pytest.mark.parametrize(
    ("name", "shape", "said"),
    [
        ("logits", [], "logits (N, 12)"),
        ("logits", ["N", 12, 1], "logits (N, 12)"),
        ("logits", ["N", None], "logits (N, 12)"),
        ("novelty", [], "novelty (N)"),
        ("novelty", ["N", 1], "novelty (N)"),
        ("novelty", [1], "novelty (N)"),
        ("lesion", [], "lesion (N, 1, h, w)"),
        ("lesion", ["N", 20, 20], "lesion (N, 1, h, w)"),
        ("lesion", ["N", 2, 20, 20], "lesion (N, 1, h, w)"),
        ("lesion", ["N", 1, 0, 20], "lesion (N, 1, h, w)"),
        ("cam", ["N", 12, 20, 20], "cam (N, 4, h, w)"),
    ],
)
def test_an_output_of_another_shape_than_it_means_is_refused(tmp_path, model, name, shape, said):
    onnx = pytest.importorskip("onnx", reason="changes a model with onnx")
    changed = onnx.load_from_string(model)
    zeros = np.zeros([2 if side in ("N", None) else side for side in shape], np.float32)
    constant = onnx.helper.make_node(
        "Constant", [], [name], value=onnx.numpy_helper.from_array(zeros)
    )
    kept = [output for output in changed.graph.output if output.name != name]
    for node in changed.graph.node:
        node.output[:] = [f"other_{one}" if one == name else one for one in node.output]
        node.input[:] = [f"other_{one}" if one == name else one for one in node.input]
    del changed.graph.output[:], changed.graph.value_info[:]
    declared = onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)
    changed.graph.output.extend([*kept, declared])
    changed.graph.node.append(constant)
    path = tmp_path / "model.onnx"
    onnx.save(changed, path)
    with pytest.raises(ContractError) as refusal:
        Classifier.load(path, device="cpu")
    assert f", the contract says {said}; write the model again" in str(refusal.value)


@pytest.mark.parametrize("kind", ["STRING", "INT64", "BOOL"])
def test_an_output_that_is_no_real_number_is_refused(tmp_path, model, kind):
    onnx = pytest.importorskip("onnx", reason="changes a model with onnx")
    changed, number = onnx.load_from_string(model), onnx.TensorProto.DataType.Value(kind)
    for node in changed.graph.node:
        node.output[:] = ["scores" if one == "logits" else one for one in node.output]
    changed.graph.node.append(onnx.helper.make_node("Cast", ["scores"], ["logits"], to=number))
    next(
        one for one in changed.graph.output if one.name == "logits"
    ).type.tensor_type.elem_type = number
    path = tmp_path / "model.onnx"
    onnx.save(changed, path)
    with pytest.raises(ContractError) as refusal:
        Classifier.load(path, device="cpu")
    said = f"the graph's output logits is a tensor({kind.lower()}), expected real numbers; "
    assert said in str(refusal.value)


def test_a_contract_for_another_size_than_the_graph_takes_is_refused(tmp_path, classifier, model):
    size = classifier.contract.preprocess.size
    old, new = f'"size": {size}'.encode(), f'"size": {size + 1}'.encode()
    assert model.count(old) == 1
    path = tmp_path / "model.onnx"
    path.write_bytes(model.replace(old, new))
    with pytest.raises(ContractError) as refusal:
        Classifier.load(path, device="cpu")
    reason = str(refusal.value)
    assert f"the graph takes tensor(uint8) ['N', 1, {size}, {size}]" in reason
    assert f"the contract says uint8 (N, 1, {size + 1}, {size + 1})" in reason


def test_a_path_its_bytes_and_its_pixels_have_one_answer(classifier, files, answers):
    for path, answer in zip(files, answers, strict=True):
        assert classifier.predict(str(path)) == answer
        nameless = replace(answer, path="")
        assert classifier.predict(path.read_bytes()) == nameless
        pixels = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
        assert classifier.predict(pixels) == nameless
        assert classifier.predict(np.dstack([pixels] * 3)) == nameless


def test_different_images_have_different_answers(answers):
    assert len({tuple(answer.type_probabilities.values()) for answer in answers}) == len(answers)


def test_a_view_of_an_array_has_the_answer_of_its_copy(classifier):
    size = classifier.contract.preprocess.size
    pixels = np.random.default_rng(0).integers(0, 256, (size, size), np.uint8)
    for view in (pixels[::-1, ::-1], pixels.T):
        assert classifier.predict(view) == classifier.predict(view.copy())


def test_the_temperature_of_the_contract_is_applied(classifier, files, monkeypatch):
    batch = preprocess_batch(
        [cv2.imread(str(files[0]), cv2.IMREAD_GRAYSCALE)], classifier.contract.preprocess
    )
    for temperature in (0.5, 1.0, 3.0):
        contract = replace(classifier.contract, temperature=temperature)
        monkeypatch.setattr(classifier, "contract", contract)
        expected = softmax(classifier.logits(batch) / np.float32(temperature))
        np.testing.assert_allclose(classifier.probabilities(batch), expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("source", "error", "reason"),
    [
        (
            "missing.png",
            ImageReadError,
            "missing.png: cannot read the file: No such file or directory",
        ),
        (Path(), ImageReadError, ".: cannot read the file: it is a folder; expected a file"),
        (b"", ImageDecodeError, "the file is empty"),
        (b"text", ImageDecodeError, "not an image in a known format (JPEG, PNG, TIFF, "),
        (
            np.zeros((2, 2)),
            ImageDecodeError,
            "expected a uint8 array with pixels, got float64 (2, ",
        ),
        (None, ImageDecodeError, "expected a uint8 array with pixels, got <class 'NoneType'>"),
    ],
)
def test_an_image_that_cannot_be_used_raises(classifier, source, error, reason):
    with pytest.raises(error) as refusal:
        classifier.predict(source)
    assert isinstance(refusal.value, ImageError)
    assert str(refusal.value).startswith(reason)


def test_an_image_that_needs_an_extra_is_named(classifier, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "edge_mri.images.formats.nifti", None)
    path = tmp_path / "volume.nii.gz"
    path.write_bytes(b"\x1f\x8b")
    with pytest.raises(ImageSupportError) as refusal:
        classifier.predict(path)
    assert str(refusal.value).startswith(f"{path}: a file of this format needs ")


@pytest.mark.parametrize("batch_size", [1, 5, 8, 100])
@pytest.mark.parametrize("threads", [1, 3, None])
def test_answers_depend_neither_on_batches_nor_on_threads(
    classifier, files, answers, batch_size, threads
):
    found = list(classifier.stream(files, threads=threads, batch_size=batch_size))
    assert_close(found, answers)


def test_one_classifier_answers_many_threads_alike(classifier, files, answers):
    """Fewer calls than the study `soak.py --calls 10000` makes, each compared."""
    calls = [number % len(files) for number in range(400)]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda number: classifier.predict(files[number]), calls))
    assert_close(found, [answers[number] for number in calls])


def test_a_classifier_pickles_and_opens_its_model_again(classifier, files, answers):
    for copied in (pickle.loads(pickle.dumps(classifier)), copy.deepcopy(classifier)):
        assert copied.contract == classifier.contract
        assert_close(list(copied.stream(files[:3])), answers[:3])


def test_a_pickled_classifier_is_small_and_keeps_its_device(tmp_path):
    low = Classifier.load(device="cpu", low_power=True)
    data = pickle.dumps(low)
    assert len(data) < 1000
    assert pickle.loads(data).config == low.config


def test_a_model_that_changed_on_the_way_to_a_worker_is_refused(tmp_path, model):
    path = tmp_path / "model.onnx"
    path.write_bytes(model)
    sent = pickle.dumps(Classifier.load(path, device="cpu"))
    path.write_bytes(model.replace(b"Not a diagnostic", b"But a diagnostic"))
    with pytest.raises(ModelFormatError, match="is not the model that was sent to this process: "):
        pickle.loads(sent)


@pytest.fixture
def in_threes(monkeypatch):
    """A graph that takes three images a call, whatever the packaged one takes."""
    start = onnxruntime.InferenceSession

    class Threes:
        def __init__(self, *arguments, **settings):
            self.session = start(*arguments, **settings)

        def __getattr__(self, name):
            return getattr(self.session, name)

        def get_inputs(self):
            (takes,) = self.session.get_inputs()
            shape = [3, *takes.shape[1:]]
            return [SimpleNamespace(name=takes.name, type=takes.type, shape=shape)]

        def run(self, outputs, feed):
            assert all(len(batch) == 3 for batch in feed.values())
            return self.session.run(outputs, feed)

    monkeypatch.setattr(onnxruntime, "InferenceSession", Threes)


@pytest.mark.parametrize("count", [1, 3, 7])
def test_a_graph_of_a_fixed_batch_takes_any_number(in_threes, files, answers, count):
    fixed = Classifier.load(device="cpu")
    assert fixed.graph.fixed_batch == 3
    assert_close(list(fixed.stream(files[:count], threads=1)), answers[:count])
    assert fixed.logits(np.zeros((0, 1, 160, 160), np.uint8)).shape == (0, 12)


def test_a_model_that_reduces_decodes_jpegs_at_half_their_size(classifier, tmp_path, monkeypatch):
    spec = replace(classifier.contract.preprocess, decode="reduced")
    reduced = Classifier.load(device="cpu")
    reduced.contract = replace(reduced.contract, preprocess=spec)
    pixels = draw_phantom(Label("glioma", "axial"), size_px=512)
    paths = [tmp_path / f"image.{suffix}" for suffix in ("jpg", "png")]
    flags = []
    decode = cv2.imdecode
    monkeypatch.setattr(cv2, "imdecode", lambda data, how: flags.append(how) or decode(data, how))
    for path in paths:
        path.write_bytes(cv2.imencode(path.suffix, pixels)[1].tobytes())
        for way in (path, path.read_bytes()):
            whole, half = classifier.predict(way), reduced.predict(way)
            assert half.type_probabilities == pytest.approx(whole.type_probabilities, abs=0.03)
    half = cv2.IMREAD_REDUCED_GRAYSCALE_2
    assert [how == half for how in flags] == [False, True] * 2 + [False, False] * 2


def test_answers_do_not_depend_on_their_order(classifier, files, answers):
    assert_close(list(classifier.stream(reversed(files), batch_size=5)), answers[::-1])


def test_a_stream_takes_paths_of_any_kind(classifier, files, answers):
    assert_close(list(classifier.stream(map(str, files[:2]))), answers[:2])


def test_one_classifier_serves_many_threads(classifier, files, answers):
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(classifier.predict, files * 4))
    assert_close(found, answers * 4)


@pytest.mark.parametrize("batch_size", [1, 3, 8])
def test_a_stream_records_what_fails_and_goes_on(classifier, files, answers, tmp_path, batch_size):
    (tmp_path / "empty.png").touch()
    (tmp_path / "text.png").write_text("hello")
    bad = [tmp_path / "empty.png", tmp_path / "gone.png", tmp_path / "text.png"]
    reasons = [
        "the file is empty",
        "cannot read the file: No such file or directory",
        "not an image in a known format (JPEG, PNG, TIFF, BMP, WebP, DICOM, NIfTI), or damaged",
    ]
    failed = [Prediction.failed(str(p), reason) for p, reason in zip(bad, reasons, strict=True)]
    paths = [bad[0], files[0], bad[1], bad[2], *files[1:7], bad[2]]
    expected = [failed[0], answers[0], failed[1], failed[2], *answers[1:7], failed[2]]
    assert_close(list(classifier.stream(paths, batch_size=batch_size, threads=2)), expected)


def test_a_stream_of_nothing_ends(classifier):
    assert list(classifier.stream([])) == []


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"threads": 0}, "threads and batch size must be 1 or more, got 0 and 8"),
        ({"threads": -1}, "threads and batch size must be 1 or more, got -1 and 8"),
        (
            {"threads": 2, "batch_size": 0},
            "threads and batch size must be 1 or more, got 2 and 0",
        ),
    ],
)
def test_a_stream_refuses_no_threads_and_no_batches(classifier, files, options, reason):
    with pytest.raises(OptionError) as refusal:
        list(classifier.stream(files, **options))
    assert str(refusal.value) == reason


def test_a_stream_reads_only_a_little_ahead(classifier, files):
    asked = []

    def endless():
        for path in repeat(files[0]):
            asked.append(path)
            yield path

    stream = classifier.stream(endless(), threads=2, batch_size=2)
    assert len(list(islice(stream, 10))) == 10
    stream.close()
    assert len(asked) <= 10 + 2 * (2 * 2 + 2)


def test_a_stream_that_is_closed_leaves_no_thread_behind(classifier, files):
    stream = classifier.stream(repeat(files[0]), threads=3, batch_size=1)
    next(stream)
    assert any(thread.name.startswith("edge-mri") for thread in threading.enumerate())
    stream.close()
    assert not any(thread.name.startswith("edge-mri") for thread in threading.enumerate())


def test_an_error_in_the_paths_ends_the_stream(classifier, files):
    def broken():
        yield files[0]
        raise RuntimeError("the disk is gone")

    with pytest.raises(RuntimeError, match="the disk is gone"):
        list(classifier.stream(broken(), batch_size=1))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_stream_does_not_wait_for_a_pipe(classifier, tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    (record,) = classifier.stream([tmp_path / "pipe.png"])
    assert record.error == "cannot read the file: it is not a regular file"


FORKED = """
import os, sys, time
from edge_mri import Classifier
from edge_mri.errors import ModelFormatError

classifier = Classifier.load(sys.argv[1], device="cpu")
expected = classifier.predict(sys.argv[2])

def never_ends(*given):  # as a session whose lock a thread of the parent holds
    time.sleep(300)

classifier.graph._run = never_ends
for changes, code in ((False, 0), (True, 4)):
    if changes:
        with open(sys.argv[1], "r+b") as file:
            data = file.read().replace(b"Not a diagnostic", b"But a diagnostic")
            file.seek(0)
            file.write(data)
    child = os.fork()
    if not child:
        try:
            answers = [classifier.predict(sys.argv[2]), *classifier.stream(sys.argv[2:] * 9)]
            os._exit(any(answer != expected for answer in answers))
        except ModelFormatError as error:
            print(error, file=sys.stderr, flush=True)
            os._exit(4)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == code
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no forks here")
def test_a_child_that_was_forked_in_the_middle_of_a_prediction_answers(
    process, files, model, tmp_path
):
    path = tmp_path / "model.onnx"
    path.write_bytes(model)
    ended = process("-c", FORKED, path, files[0])
    assert ended.code == 0, ended.err
    assert ended.err == (
        f"{path} is not the model that this process forked with: it was written again since\n"
    )


def test_the_frames_of_one_file_are_answered_by_all_threads(classifier, tmp_path):
    pages = [np.full((64, 64), 20 + number, np.uint8) for number in range(40)]
    path = tmp_path / "pages.tif"
    cv2.imwritemulti(str(path), pages)
    threads = {threading.current_thread()}
    together = threading.Barrier(2)

    def finish(record, image, cells):
        if threading.current_thread() not in threads:
            threads.add(threading.current_thread())
            together.wait(timeout=60)
        return record

    records = list(classifier.stream([path], threads=2, finish=finish))
    assert [record.frame for record in records] == list(range(1, 41))
    assert len(threads) == 3
    assert records == list(classifier.stream([path], threads=1))


def test_large_pages_are_answered_a_few_at_a_time(classifier, tmp_path):
    """Whoever finishes records wants their pixels: eight pages of 25 megapixels would be 200 MB."""
    path = tmp_path / "pages.tif"
    cv2.imwritemulti(str(path), [np.zeros((5000, 5000), np.uint8)] * 3)
    together = []
    answer = classifier.records

    def records(paths, images, finish):
        together.append(len(images))
        return answer(paths, images, finish)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(classifier, "records", records)
        assert len(list(classifier.stream([path], threads=1))) == 3
    assert together == [1, 1, 1]
