import numpy as np
import pytest

from edge_mri.errors import ImageDecodeError
from edge_mri.images import read_image
from edge_mri.images.preprocess import PreprocessSpec, preprocess
from edge_mri_train.data.pixels import load_pixels

SPEC = PreprocessSpec(40)


def test_files_keep_their_order_and_go_through_the_one_preprocessing(phantoms):
    files = sorted(phantoms.glob("*/*.png"))[::-1]
    steps = []
    pixels = load_pixels(files, SPEC, on_image=lambda: steps.append(1))
    assert pixels.shape == (48, 1, 40, 40)
    assert len(steps) == 48
    for file, image in zip(files, pixels, strict=True):
        np.testing.assert_array_equal(image, preprocess(read_image(file), SPEC), strict=True)


def test_the_first_file_that_cannot_be_used_is_named_with_the_reason(phantoms, tmp_path):
    files = sorted(phantoms.glob("*/*.png"))[:4]
    (tmp_path / "empty.png").touch()
    (tmp_path / "text.png").write_text("no image")
    with pytest.raises(ImageDecodeError) as caught:
        load_pixels([*files, tmp_path / "empty.png", tmp_path / "text.png"], SPEC)
    assert str(caught.value) == f"{tmp_path}/empty.png: the file is empty"


def test_a_file_that_is_gone_is_named(tmp_path):
    with pytest.raises(ImageDecodeError, match=f"^{tmp_path}/gone.png: cannot read the file: No"):
        load_pixels([tmp_path / "gone.png"], SPEC)
