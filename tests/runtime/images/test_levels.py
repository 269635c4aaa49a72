"""Masks, label maps and empty images are told from images by their grey values."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_mri.images.pixels import levels
from edge_mri.images.pixels.levels import why_not_an_image
from edge_mri.labels import Label
from edge_mri.phantoms.phantom import draw_phantom

HANDFUL = "it has only a handful of grey values, as masks and drawings do"
EMPTY = "it is empty: all of one grey value"


def head(brightest: int, side: int) -> np.ndarray:
    """A smooth bright blob on black with grain in it."""
    y, x = np.mgrid[-1 : 1 : side * 1j, -1 : 1 : side * 1j]
    grain = np.random.default_rng(0).normal(0, 0.01, (side, side))
    blob = np.clip(1.2 - np.hypot(x, y * 0.8) * 1.3, 0, 1) + grain
    return np.rint(np.clip(blob, 0, 1) * brightest).astype(np.uint8)


def mask(radius: int = 30, values: tuple[int, ...] = (255,)) -> np.ndarray:
    image = np.zeros((256, 256), np.uint8)
    for number, value in enumerate(values):
        cv2.circle(image, (70 + 25 * number, 90 + 20 * number), radius, value, -1)
    return image


def jpeg(image: np.ndarray, quality: int) -> np.ndarray:
    data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return cv2.imdecode(data, cv2.IMREAD_GRAYSCALE)


@pytest.mark.parametrize("radius", [8, 20, 60])
@pytest.mark.parametrize("quality", [100, 95, 75, 50])
def test_a_mask_is_no_image_however_it_was_saved(radius, quality):
    one = mask(radius)
    assert why_not_an_image(one) == HANDFUL
    assert why_not_an_image(255 - one) == HANDFUL
    assert why_not_an_image(jpeg(one, quality)) == HANDFUL
    small = cv2.resize(one, (200, 200), interpolation=cv2.INTER_AREA)
    assert why_not_an_image(small) == HANDFUL


@pytest.mark.parametrize("values", [(1,), (20, 90), (1, 2, 4), (50, 100, 150, 200, 250)])
def test_a_label_map_is_none_either(values):
    reason = EMPTY if max(values) <= 8 else HANDFUL
    assert why_not_an_image(mask(30, values)) == reason
    stretched = cv2.resize(mask(30, values), (256, 600), interpolation=cv2.INTER_LINEAR_EXACT)
    assert why_not_an_image(stretched) == reason


@pytest.mark.parametrize("value", [0, 7, 128, 255])
def test_an_empty_image_is_none(value):
    assert why_not_an_image(np.full((64, 64), value, np.uint8)) == EMPTY


@pytest.mark.parametrize("brightest", [60, 120, 255])
@pytest.mark.parametrize("side", [32, 96, 300])
def test_an_image_may_be_dim_small_or_coarse(brightest, side):
    image = head(brightest, side)
    assert why_not_an_image(image) is None
    assert why_not_an_image(jpeg(image, 60)) is None
    assert why_not_an_image(255 - image) is None


@pytest.mark.parametrize("source", ["artemis", "nickparvar/Testing", "tcga-lgg", "f44", "ds002748"])
def test_real_slices_are_images(data_dir, source):
    files = sorted(data_dir.joinpath(source).rglob("*.jpg"))[::40]
    assert len(files) > 20
    found = [why_not_an_image(cv2.imread(str(file), cv2.IMREAD_GRAYSCALE)) for file in files]
    assert HANDFUL not in found
    assert found.count(EMPTY) <= 1


@pytest.mark.parametrize("seed", range(5))
def test_phantoms_are_images(seed):
    assert why_not_an_image(draw_phantom(Label("glioma", "axial"), seed=seed)) is None


@pytest.fixture
def counted(monkeypatch) -> list[int]:
    """How many pixels were counted, a number a histogram."""
    counted: list[int] = []
    real = cv2.calcHist

    def counting(images, *rest):
        counted.append(images[0].size)
        return real(images, *rest)

    monkeypatch.setattr(cv2, "calcHist", counting)
    return counted


def test_some_rows_tell_that_an_image_is_one(counted):
    phantom = draw_phantom(Label("glioma", "axial"), size_px=512, seed=1)
    assert why_not_an_image(phantom) is None
    assert sum(counted) <= phantom.size / 16


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 60),
    st.lists(st.integers(0, 255), min_size=1, max_size=6),
    st.sampled_from([(160, 224), (224, 224), (512, 512), (97, 131)]),
    st.floats(0, 4),
    st.floats(0, 6),
    st.sampled_from([None, 30, 60, 90]),
)
def test_the_answer_is_that_of_all_pixels(radius, values, shape, blurred_px, grain, quality):
    image = np.zeros(shape, np.uint8)
    for number, value in enumerate(values):
        cv2.circle(image, (40 + 20 * number, 50 + 12 * number), radius, value, -1)
    if blurred_px > 0.3:
        image = cv2.GaussianBlur(image, (0, 0), blurred_px)
    noise = np.random.default_rng(0).normal(0, grain, shape)
    image = np.clip(image + noise, 0, 255).astype(np.uint8)
    image = image if quality is None else jpeg(image, quality)
    found = why_not_an_image(image)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(levels, "_has_many", lambda counts, size: False)
        assert found == why_not_an_image(image)
