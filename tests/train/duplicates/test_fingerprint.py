import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from edge_mri.errors import ImageDecodeError
from edge_mri_train.duplicates.fingerprint import (
    content_box,
    fingerprint,
    fingerprint_pixels,
)

images = arrays.arrays(
    st.sampled_from([np.uint8, np.uint16, np.float32]),
    st.one_of(
        st.tuples(st.integers(1, 40), st.integers(1, 40)),
        st.tuples(st.integers(1, 40), st.integers(1, 40), st.integers(1, 4)),
    ),
)


def encode(suffix, image, *options):
    return cv2.imencode(suffix, image, list(options))[1].tobytes()


def likeness(first, second):
    return np.corrcoef(first.thumbnail.ravel(), second.thumbnail.ravel())[0, 1]


@given(image=images)
@settings(max_examples=150, deadline=None)
def test_any_image_has_a_fingerprint(image):
    made = fingerprint_pixels(image)
    assert len(made.pixel_hash) == 32
    assert made.thumbnail.shape == (64, 64)
    assert made.thumbnail.dtype == np.uint8
    assert made.is_flat == (not made.thumbnail.any())


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tiff", ".webp"])
def test_hash_is_of_the_pixels_whatever_the_format(heads, suffix):
    lossless = [cv2.IMWRITE_WEBP_QUALITY, 101] if suffix == ".webp" else []
    made = fingerprint(encode(suffix, heads[0], *lossless))
    assert made.pixel_hash == fingerprint_pixels(heads[0]).pixel_hash


def test_colour_of_equal_channels_is_grey_and_opaque_alpha_is_none(heads):
    grey = fingerprint_pixels(heads[0])
    colour = cv2.cvtColor(heads[0], cv2.COLOR_GRAY2BGR)
    opaque = cv2.cvtColor(heads[0], cv2.COLOR_GRAY2BGRA)
    for image in (colour, opaque, heads[0][..., np.newaxis]):
        assert fingerprint_pixels(image).pixel_hash == grey.pixel_hash
    colour[5, 5, 0] ^= 1
    opaque[5, 5, 3] = 0
    for image in (colour, opaque):
        assert fingerprint_pixels(image).pixel_hash != grey.pixel_hash


def test_hash_tells_pixels_shapes_and_depths_apart(heads):
    other = heads[0].copy()
    other[80, 80] ^= 1
    flat = np.zeros((8, 8), np.uint8)
    variants = [heads[0], other, flat, flat.reshape(4, 16), flat.view(np.uint16), heads[0].T]
    assert len({fingerprint_pixels(image).pixel_hash for image in variants}) == len(variants)


@pytest.mark.parametrize("data", [b"", b"no image", b"\xff\xd8\xff\xda rest"])
def test_what_cannot_be_decoded_says_why(data):
    with pytest.raises(ImageDecodeError):
        fingerprint(data)


def test_depth_does_not_matter_to_the_thumbnail(heads):
    deep = heads[0].astype(np.uint16) * 257
    fractions = heads[0].astype(np.float32) / 255
    for image in (deep, fractions):
        assert likeness(fingerprint_pixels(image), fingerprint_pixels(heads[0])) > 0.995


def test_pixels_that_are_no_numbers_do_no_harm(heads):
    image = heads[0].astype(np.float32)
    image[0, :3] = np.nan, np.inf, -np.inf
    assert likeness(fingerprint_pixels(image), fingerprint_pixels(heads[0])) > 0.99


@pytest.mark.parametrize(
    "edit",
    [
        lambda x: np.clip(x.astype(int) + 30, 0, 255).astype(np.uint8),
        lambda x: (x * 0.6).astype(np.uint8),
        lambda x: np.round(255 * (x / 255) ** 0.7).astype(np.uint8),
        lambda x: cv2.copyMakeBorder(x, 20, 30, 10, 40, cv2.BORDER_CONSTANT),
        lambda x: cv2.resize(x, (240, 120), interpolation=cv2.INTER_AREA),
        lambda x: cv2.imdecode(
            np.frombuffer(encode(".jpg", x, cv2.IMWRITE_JPEG_QUALITY, 40), np.uint8), 0
        ),
    ],
    ids=["brighter", "darker", "gamma", "frame", "stretched", "jpeg"],
)
def test_edits_hardly_change_the_thumbnail(heads, edit):
    found = [
        likeness(fingerprint_pixels(head), fingerprint_pixels(edit(head))) for head in heads[::5]
    ]
    assert min(found) > 0.8


def test_the_box_holds_the_head_and_no_frame(heads):
    framed = cv2.copyMakeBorder(heads[0], 40, 40, 80, 0, cv2.BORDER_CONSTANT)
    box, inner = content_box(framed), content_box(heads[0])
    assert box.top * 240 == pytest.approx(40 + inner.top * 160, abs=4)
    assert box.left * 240 == pytest.approx(80 + inner.left * 160, abs=4)
    assert box.cut(framed).shape == pytest.approx(inner.cut(heads[0]).shape, abs=6)


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((50, 70), np.uint8),
        np.full((50, 70, 3), 255, np.uint8),
        np.full((1, 1), 7, np.uint8),
        np.random.default_rng(0).integers(0, 3, (90, 90), np.uint8),
    ],
    ids=["black", "white", "pixel", "faint noise"],
)
def test_blank_images_are_flat(image):
    assert fingerprint_pixels(image).is_flat


def test_heads_are_not_flat(heads):
    assert not any(fingerprint_pixels(head).is_flat for head in heads)
