import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_mri.labels import Label
from edge_mri.preprocess import PreprocessSpec
from edge_mri_train.errors import OutlineError
from edge_mri_train.folders import Sample
from edge_mri_train.outlines import lesion_mask

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
