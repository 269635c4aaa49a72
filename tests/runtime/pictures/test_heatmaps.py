import json
import os
import re
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_mri.classifier import Classifier
from edge_mri.images.preprocess import PreprocessSpec
from edge_mri.model.rejection import Rejection
from edge_mri.pictures.heatmaps import NOTE, heatmap_name, overlay


@pytest.fixture(scope="module")
def spots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wide image with a bright square, and one without, twice by the same name."""
    folder = tmp_path_factory.mktemp("spots")
    wide = np.full((100, 300), 20, np.uint8)
    wide[50:80, 200:250] = 255
    for name, image in (("a/one.png", wide), ("b/one.png", np.full((90, 70), 20, np.uint8))):
        (folder / name).parent.mkdir()
        (folder / name).write_bytes(cv2.imencode(".png", image)[1].tobytes())
    return folder


def test_each_image_has_a_picture_whose_name_is_in_its_record(command, mapped, spots, tmp_path):
    folder = tmp_path / "new/heat"
    ended = command(
        *("infer", spots, "--model", mapped(), "--heatmaps", folder, "--format", "jsonl")
    )
    assert ended.code == 0
    records = [json.loads(line) for line in ended.out.splitlines()]
    names = [record["heatmap"] for record in records]
    assert sorted(path.name for path in folder.iterdir()) == sorted(names)
    assert len(set(names)) == 2
    plain = command("infer", spots, "--model", mapped(), "--format", "jsonl").out.splitlines()
    without = [record | {"heatmap": None} for record in records]
    assert [json.loads(line) for line in plain] == without


def test_the_picture_is_the_image_with_heat_where_the_map_says(command, mapped, spots, tmp_path):
    file = spots / "a/one.png"
    ended = command(
        *("infer", file, "--model", mapped(), "--heatmaps", tmp_path, "--format", "jsonl")
    )
    record = json.loads(ended.out)
    x, y, wide, high = record["box"]
    assert 170 < x < x + wide < 280
    assert 30 < y < y + high <= 100
    picture = cv2.imread(str(tmp_path / record["heatmap"]))
    assert picture.shape[0] > 100  # the caption is below
    image = cv2.imread(str(file))
    change = np.abs(picture[:100, :300].astype(int) - image).max(axis=2)
    assert change[60:70, 215:235].min() > 30
    assert change[:, :100].max() < 40
    assert (picture[y, x : x + wide] == 255).all()  # the box


def test_a_caption_says_that_it_is_no_evidence(command, mapped, spots, tmp_path, monkeypatch):
    written = []
    draw = cv2.putText
    monkeypatch.setattr(
        "edge_mri.pictures.heatmaps.cv2.putText",
        lambda canvas, text, *rest: (written.append(text), draw(canvas, text, *rest)),
    )
    gate = Rejection(max_novelty=0.01, undecided=(0.5, 0.5), kept=0.99, n=10)
    command("infer", spots / "a", "--model", mapped(rejection=gate), "--heatmaps", tmp_path)
    assert " ".join(written[-2:]) == NOTE
    assert written[0] == "suspected lesion, 0 to 1"
    assert re.fullmatch(r"rejected \(foreign\): glioma, P\(tumour\) 0\.\d\d", written[1])


def test_writing_grows_with_the_picture(command, mapped, tmp_path):
    strips = []
    for side in (256, 1344):
        image = np.full((side, side), 20, np.uint8)
        image[side // 2 : side // 2 + side // 4, : side // 4] = 255
        file, folder = tmp_path / f"{side}.png", tmp_path / str(side)
        file.write_bytes(cv2.imencode(".png", image)[1].tobytes())
        command("infer", file, "--model", mapped(), "--heatmaps", folder)
        (written,) = folder.iterdir()
        picture = cv2.imread(str(written))
        assert picture.shape[1] == side
        strips.append(picture[side:])
    plain, large = strips
    assert len(large) == 3 * len(plain)
    tall = [np.ptp(np.flatnonzero(one.max(axis=(1, 2)) > 128)) for one in strips]
    assert tall[1] == pytest.approx(3 * tall[0], abs=9)


@pytest.mark.parametrize("shape", [(1, 60_000), (60_000, 1)])
def test_an_image_of_any_shape_has_a_picture_that_memory_holds(command, mapped, tmp_path, shape):
    file = tmp_path / "long.png"
    file.write_bytes(cv2.imencode(".png", np.full(shape, 20, np.uint8))[1].tobytes())
    assert command("infer", file, "--model", mapped(), "--heatmaps", tmp_path / "heat").code == 0
    (written,) = (tmp_path / "heat").iterdir()
    height, width, _ = cv2.imread(str(written)).shape
    assert min(height, width) < max(height, width) < 2 * 2048


def test_a_large_image_is_shrunk_and_its_box_with_it(command, mapped, tmp_path):
    image = np.full((3000, 4096), 20, np.uint8)
    image[2000:2600, 1000:1600] = 255
    file = tmp_path / "large.png"
    file.write_bytes(cv2.imencode(".png", image)[1].tobytes())
    ended = command(
        *("infer", file, "--model", mapped(), "--heatmaps", tmp_path / "heat", "--format", "jsonl")
    )
    record = json.loads(ended.out)
    x, y, wide, high = record["box"]
    assert 900 < x < x + wide < 1700  # of the image, whatever its picture
    picture = cv2.imread(str(tmp_path / "heat" / record["heatmap"]))
    assert picture.shape[1] == 2048
    for row, column in ((y // 2, x // 2), ((y + high + 1) // 2 - 1, (x + wide + 1) // 2 - 1)):
        assert (picture[row, x // 2 : (x + wide + 1) // 2] == 255).all()
        assert (picture[y // 2 : (y + high + 1) // 2, column] == 255).all()
    change = np.abs(picture[:1500, :2048].astype(int) - image[::2, ::2, np.newaxis]).max(axis=2)
    assert change[1100:1200, 600:700].min() > 30
    assert change[:800].max() < 40


def test_class_activation_serves_a_model_without_a_lesion_map(command, mapped, spots, tmp_path):
    ended = command(
        *("infer", spots / "a", "--model", mapped("cam"), "--heatmaps", tmp_path),
        *("--format", "jsonl"),
    )
    record = json.loads(ended.out)
    assert record["box"] is None
    picture = cv2.imread(str(tmp_path / record["heatmap"]))
    change = np.abs(picture[:100, :300].astype(int) - cv2.imread(str(spots / "a/one.png")))
    assert change[60:70, 215:235].max() > 60


def test_a_model_with_neither_says_what_to_do(command, mapped, spots, tmp_path):
    folder = tmp_path / "heat"
    model = mapped(map_output=None)
    ended = command("infer", spots, "--model", model, "--heatmaps", folder)
    assert ended == (
        *(2, ""),
        "Error: no heatmaps from bright.onnx: the model has neither a lesion map nor class "
        "activation maps; write it again with `edge-mri export --outputs cam`\n",
    )
    assert not folder.exists()


def test_a_folder_that_cannot_be_made_is_one_line(command, mapped, spots, tmp_path):
    (tmp_path / "file").touch()
    folder = tmp_path / "file/heat"
    ended = command("infer", spots, "--model", mapped(), "--heatmaps", folder)
    assert ended == (
        2,
        "",
        f"Error: cannot write {folder}: Not a directory; "
        "a file lies where a folder must be: name another folder\n",
    )


@pytest.mark.parametrize(
    ("given", "heat"),
    [
        (".", "."),
        (".", "a/heat"),
        ("a", "linked/heat"),
        ("*", "b"),
        ("a/*.png", "a"),
        ("**/*.png", "b"),
    ],
)
def test_heatmaps_are_not_put_where_the_next_run_takes_them_for_images(
    command, mapped, spots, tmp_path, monkeypatch, given, heat
):
    monkeypatch.chdir(shutil.copytree(spots, tmp_path / "spots"))
    Path("linked").symlink_to("a")
    before = sorted(Path().rglob("*"))
    ended = command("infer", given, "--model", mapped(), "--heatmaps", heat)
    reason = (
        "the next run would take the heatmaps in it for images to classify; "
        "name a folder outside of those to classify"
    )
    assert ended == (2, "", f"Error: cannot write {heat}: {reason}\n")
    assert sorted(Path().rglob("*")) == before


@pytest.mark.parametrize("given", ["a", "a/one.png", "a/*.png", "?/one.png"])
def test_heatmaps_beside_what_is_classified_are_no_images(
    command, mapped, spots, tmp_path, monkeypatch, given
):
    monkeypatch.chdir(shutil.copytree(spots, tmp_path / "spots"))
    found = []
    for _ in range(2):
        ended = command(
            *("infer", given, "--model", mapped(), "--heatmaps", "heat", "--format", "jsonl")
        )
        assert ended.code == 0
        found.append([json.loads(line)["path"] for line in ended.out.splitlines()])
    assert found[0] == found[1]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_picture_that_cannot_be_written_is_one_line(command, mapped, spots, tmp_path):
    tmp_path.chmod(0o500)
    ended = command("infer", spots, "--model", mapped(), "--heatmaps", tmp_path)
    tmp_path.chmod(0o700)
    assert ended.code == 2
    assert ended.err.startswith(f"Error: cannot write {tmp_path}")


def test_no_heatmap_is_made_of_a_file_that_fails(command, mapped, tmp_path):
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"no image")
    ended = command("infer", bad, "--model", mapped(), "--heatmaps", tmp_path / "heat")
    assert ended.code == 1
    assert list((tmp_path / "heat").iterdir()) == []


paths = st.text(min_size=1, max_size=200)


@given(paths)
def test_a_name_stays_in_its_folder(path):
    name = heatmap_name(path)
    assert re.fullmatch(r"[A-Za-z0-9_-]{1,60}-[0-9a-f]{16}\.png", name)


@given(st.lists(paths, unique=True, max_size=20))
def test_two_paths_have_two_names(many):
    assert len({heatmap_name(path) for path in many}) == len(many)


def test_what_people_call_a_file_is_in_the_name():
    assert heatmap_name("/scans/patient 7/slice.012.png").startswith("slice_012-")
    assert heatmap_name("../../..").startswith("image-")


def test_no_heat_leaves_the_image_as_it_is():
    image = np.random.default_rng(0).integers(0, 256, (40, 30), np.uint8)
    shown = overlay(image, np.zeros((40, 30), np.float32))
    np.testing.assert_array_equal(shown, np.dstack([image] * 3))


def test_a_box_is_only_where_a_tumour_is_said_and_the_image_is_known(mapped, spots):
    file = spots / "a/one.png"
    assert Classifier.load(mapped(), device="cpu").predict(file).box is not None
    never = mapped(tumor_threshold=1.0)
    assert Classifier.load(never, device="cpu").predict(spots / "b/one.png").box is None
    gate = Rejection(max_novelty=0.01, undecided=(0.5, 0.5), kept=0.99, n=10)
    foreign = Classifier.load(mapped(rejection=gate), device="cpu").predict(file)
    assert (foreign.rejected, foreign.box) == ("foreign", None)
    answered = Classifier.load(mapped(rejection=gate), device="cpu", reject=False).predict(file)
    assert (answered.status, answered.rejected) == ("ok", None)
    assert answered.box is not None


def test_each_page_of_a_file_has_a_picture(command, mapped, tmp_path):
    pages = [np.full((64, 64), 20, np.uint8) for _ in range(3)]
    pages[1][32:48, 32:48] = 255
    file = tmp_path / "pages.tif"
    file.write_bytes(cv2.imencodemulti(".tif", pages)[1].tobytes())
    folder = tmp_path / "heat"
    ended = command(
        *("infer", file, "--model", mapped(), "--heatmaps", folder, "--format", "jsonl")
    )
    names = [json.loads(line)["heatmap"] for line in ended.out.splitlines()]
    assert [re.fullmatch(r"pages-(000\d)-\w{16}\.png", name).group(1) for name in names] == [
        *("0001", "0002", "0003"),
    ]
    assert len(set(folder.iterdir())) == 3


def test_an_image_decoded_at_half_size_has_its_own_geometry(command, mapped, tmp_path):
    image = np.full((256, 256), 20, np.uint8)
    image[160:224, 32:96] = 255
    file = tmp_path / "large.jpg"
    file.write_bytes(cv2.imencode(".jpg", image)[1].tobytes())
    model = mapped(spec=PreprocessSpec(64, decode="reduced"))
    ended = command(
        *("infer", file, "--model", model, "--heatmaps", tmp_path / "heat", "--format", "jsonl")
    )
    record = json.loads(ended.out)
    x, y, wide, high = record["box"]
    cell = 8 * 256 / 64
    assert abs(x - 32) < cell / 2 > abs(x + wide - 96)
    assert abs(y - 160) < cell / 2 > abs(y + high - 224)
    picture = cv2.imread(str(tmp_path / "heat" / record["heatmap"]))
    assert picture.shape[1] == 256
    assert (picture[y, x : x + wide] == 255).all()
