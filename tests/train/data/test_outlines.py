import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_mri.images.preprocess import PreprocessSpec
from edge_mri.labels import Label
from edge_mri_train.data.folders import Sample, read_folders
from edge_mri_train.data.outlines import lesion_mask
from edge_mri_train.errors import OutlineError

SPEC = PreprocessSpec(64)


@pytest.fixture
def glioma(tmp_path, save) -> Sample:
    """A wide image, 128 x 64, so that the letterbox moves the outline down."""
    save(tmp_path / "glioma" / "1_t1.png", np.full((64, 128), 90, np.uint8))
    return Sample(tmp_path, Path("glioma/1_t1.png"), Label("glioma"))


def outline(sample: Sample, corners: object) -> None:
    (sample.root / "outlines.json").write_text(json.dumps({sample.path.as_posix(): corners}))


def test_an_outline_goes_where_the_preprocessing_puts_its_pixels(glioma):
    outline(glioma, [[32, 16], [95, 16], [95, 47], [32, 47]])
    mask = lesion_mask(glioma, SPEC)
    expected = np.zeros((64, 64), np.uint8)
    expected[24:40, 16:48] = 255
    assert mask.dtype == np.uint8
    assert np.array_equal(mask, expected)


@pytest.mark.parametrize("name", ["1_t1.png", "1.png"])
def test_a_mask_image_serves_its_own_image_or_all_contrasts_of_the_slice(glioma, save, name):
    white = np.zeros((64, 128), np.uint8)
    white[16:48, 32:96] = 255
    save(glioma.root / "masks" / name, white)
    mask = lesion_mask(glioma, SPEC)
    assert mask[24:40, 16:48].all()
    assert np.count_nonzero(mask) == 16 * 32


def test_equal_names_of_two_classes_have_their_own_masks(glioma, save):
    meningioma = Sample(glioma.root, Path("meningioma/1_t1.png"), Label("meningioma"))
    save(meningioma.file, np.full((64, 128), 90, np.uint8))
    deep = Sample(glioma.root, Path("Training/glioma/1_t1.png"), Label("glioma"))
    save(deep.file, np.full((64, 128), 90, np.uint8))
    samples = [glioma, meningioma, deep]
    names = ["glioma/1_t1", "meningioma/1", "Training/glioma/1"]
    for columns, name in enumerate(names, start=1):
        white = np.zeros((64, 128), np.uint8)
        white[:, : 32 * columns] = 255
        save(glioma.root / "masks" / f"{name}.png", white)
    save(glioma.root / "masks" / "1_t1.png", np.full((64, 128), 255, np.uint8))
    for columns, sample in enumerate(samples, start=1):
        assert np.count_nonzero(lesion_mask(sample, SPEC)) == 32 * 16 * columns
    assert {one.path for one in read_folders([glioma.root])} == {one.path for one in samples}


def test_a_mask_of_another_size_is_refused_with_both(glioma, save):
    file = save(glioma.root / "masks" / "1.png", np.zeros((128, 64), np.uint8))
    with pytest.raises(OutlineError) as caught:
        lesion_mask(glioma, SPEC)
    assert str(caught.value) == (
        f"the outlines in {file} cannot be used: it is 64 x 128 px, its image {glioma.file} "
        "128 x 64 px; expected one size"
    )


def test_nobody_outlined_it(glioma):
    assert lesion_mask(glioma, SPEC) is None


def test_a_slice_without_tumour_has_an_empty_mask(glioma):
    free = Sample(glioma.root, Path("no_tumor/1.png"), Label("no_tumor"))
    assert not lesion_mask(free, SPEC).any()


@pytest.mark.parametrize("corners", [3, "x", [[1, 2, 3]], [["a", "b"]]])
def test_an_outline_that_is_none_is_refused_by_name(glioma, corners):
    outline(glioma, corners)
    with pytest.raises(OutlineError) as caught:
        lesion_mask(glioma, SPEC)
    assert str(caught.value).startswith(
        f"the outlines in {glioma.root / 'outlines.json'} cannot be used: glioma/1_t1.png: expected"
    )


def test_outlines_that_are_no_json_are_refused(glioma):
    (glioma.root / "outlines.json").write_text("{")
    with pytest.raises(OutlineError, match=r"cannot be used: it is no JSON \(Expecting property"):
        lesion_mask(glioma, SPEC)


def test_a_mask_that_cannot_be_read_is_refused(glioma):
    (glioma.root / "masks").mkdir()
    (glioma.root / "masks" / "1.png").write_bytes(b"no image")
    with pytest.raises(OutlineError, match=r"masks/1.png cannot be used: "):
        lesion_mask(glioma, SPEC)


def test_a_real_outline_lies_on_a_bright_spot(data_dir):
    root = data_dir / "cheng"
    name = next(iter(json.loads((root / "outlines.json").read_text())))
    mask = lesion_mask(Sample(root, Path(name), Label("meningioma")), PreprocessSpec(160))
    assert 20 < np.count_nonzero(mask) < 160 * 160 / 3
    assert cv2.connectedComponents(mask)[0] == 2
