import json
from zlib import crc32

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from edge_mri.errors import ContractError, OptionError
from edge_mri.images.preprocess import Placement, PreprocessSpec, preprocess, preprocess_batch

sides = st.integers(1, 700)
sizes = st.sampled_from([16, 64, 150, 160, 224])


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


@given(height=sides, width=sides, size=sizes, value=st.integers(1, 255))
@example(height=1, width=700, size=16, value=255)
@example(height=700, width=1, size=224, value=1)
@example(height=1, width=1, size=224, value=9)
@settings(deadline=None)
def test_an_even_image_fills_one_side_and_lies_in_the_middle_of_black(height, width, size, value):
    image = np.full((height, width), value, np.uint8)
    result = preprocess(image, PreprocessSpec(size))
    assert result.shape == (1, size, size)
    assert result.dtype == np.uint8
    assert set(np.unique(result)) <= {0, value}
    rows = np.flatnonzero(result[0].any(axis=1))
    columns = np.flatnonzero(result[0].any(axis=0))
    assert (result[0][np.ix_(rows, columns)] == value).all()
    for side, found in ((height, rows), (width, columns)):
        expected = max(side * size / max(height, width), 1)
        assert len(found) == found[-1] - found[0] + 1
        assert abs(len(found) - expected) <= 0.5
        assert abs(found[0] - (size - 1 - found[-1])) <= 1


def test_an_image_of_the_right_size_stays_as_it_is():
    image = noise(64, 64)
    np.testing.assert_array_equal(preprocess(image, PreprocessSpec(64))[0], image, strict=True)


@pytest.mark.parametrize("factor", [2, 4, 8])
def test_a_power_of_two_shrinks_by_the_mean_of_every_pixel(factor):
    image = noise(32 * factor, 32 * factor)
    means = image.reshape(32, factor, 32, factor).mean(axis=(1, 3))
    result = preprocess(image, PreprocessSpec(32))[0]
    assert np.abs(result - means).max() <= 1


def test_what_is_wide_keeps_its_proportions():
    image = np.zeros((100, 200), np.uint8)
    image[40:60, 80:120] = 200
    result = preprocess(image, PreprocessSpec(200))[0]
    np.testing.assert_array_equal(result[50:150], image)
    assert not result[:50].any()
    assert not result[150:].any()


# Pinned: a change here means that every model in use sees other pixels than it was trained on.
@pytest.mark.parametrize(
    ("shape", "size", "checksum"),
    [
        ((512, 512), 224, 668634065),
        ((450, 640), 160, 3428649449),
        ((91, 77), 224, 1764650287),
        ((1023, 777), 150, 3292801146),
    ],
)
def test_the_pixels_are_the_same_on_every_machine(shape, size, checksum):
    rows, columns = np.indices(shape)
    image = ((rows * 7 + columns * 13 + rows * columns // 17) % 256).astype(np.uint8)
    assert crc32(preprocess(image, PreprocessSpec(size)).tobytes()) == checksum


@pytest.mark.parametrize(
    "view",
    [
        lambda image: image[::-1, ::-1],
        lambda image: image.T,
        lambda image: image[::2, 1::3],
    ],
)
@pytest.mark.parametrize("side", [64, 300])
def test_a_view_of_an_array_counts_as_what_it_shows(view, side):
    shown = view(noise(side, side))
    spec = PreprocessSpec(64)
    np.testing.assert_array_equal(preprocess(shown, spec), preprocess(shown.copy(), spec))


def test_a_read_only_image_is_left_alone():
    image = noise(50, 40)
    before = image.copy()
    image.flags.writeable = False
    preprocess(image, PreprocessSpec(64))
    np.testing.assert_array_equal(image, before)


def test_a_batch_is_its_images_one_by_one():
    images = [noise(30, 40), noise(64, 64), noise(200, 100)]
    spec = PreprocessSpec(64)
    batch = preprocess_batch(images, spec)
    assert batch.shape == (3, 1, 64, 64)
    for row, image in zip(batch, images, strict=True):
        np.testing.assert_array_equal(row, preprocess(image, spec))


def test_a_spec_survives_json():
    spec = PreprocessSpec(150)
    assert PreprocessSpec.from_dict(json.loads(json.dumps(spec.to_dict()))) == spec


REFUSED = [
    ({"size": 15}, "image size 15 px; expected a whole number from 16 to 1024"),
    ({"size": 1025}, "image size 1025 px; expected a whole number from 16 to 1024"),
    ({"size": 64.0}, "image size 64.0 px; expected a whole number from 16 to 1024"),
    ({"size": None}, "image size None px; expected a whole number from 16 to 1024"),
    (
        {"size": 64, "fit": "stretch"},
        "unknown preprocessing fit='stretch', resize='halve-bilinear'; "
        "this version knows fit='letterbox', resize='halve-bilinear'",
    ),
    (
        {"size": 64, "resize": "lanczos"},
        "unknown preprocessing fit='letterbox', resize='lanczos'; "
        "this version knows fit='letterbox', resize='halve-bilinear'",
    ),
]


@pytest.mark.parametrize(("values", "reason"), REFUSED)
def test_a_spec_refuses_values_it_does_not_know(values, reason):
    with pytest.raises(OptionError) as refusal:
        PreprocessSpec(**values)
    assert str(refusal.value) == reason


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        *REFUSED,
        ({}, "missing 1 required positional argument: 'size'"),
        ({"size": 64, "crop": True}, "got an unexpected keyword argument 'crop'"),
    ],
)
def test_a_spec_from_a_file_is_refused_as_a_contract(values, reason):
    with pytest.raises(ContractError) as refusal:
        PreprocessSpec.from_dict(values)
    assert str(refusal.value).startswith("the model's contract cannot be used: preprocessing: ")
    assert reason in str(refusal.value)


places = st.builds(
    lambda height, width, size: Placement.of((height, width), PreprocessSpec(size)),
    sides,
    sides,
    sizes,
)
shares = st.floats(0, 1)


@given(place=places, x=shares, y=shares)
def test_a_point_of_the_image_lies_inside_its_place_and_comes_back(place, x, y):
    point = np.array([[x * place.width, y * place.height]])
    inside = place.to_input(point)
    corner = np.array([place.left, place.top])
    assert (inside >= corner).all()
    assert (inside <= corner + (place.fitted_width, place.fitted_height) + 1e-9).all()
    np.testing.assert_allclose(place.to_image(inside), point, atol=1e-9)


@given(height=sides, width=sides, size=sizes)
@settings(deadline=None)
def test_what_preprocess_shows_lies_where_the_placement_says(height, width, size):
    place = Placement.of((height, width), PreprocessSpec(size))
    shown = preprocess(np.full((height, width), 255, np.uint8), PreprocessSpec(size))[0]
    corners = place.to_input(np.array([[0.0, 0.0], [width, height]]))
    (left, top), (right, bottom) = np.rint(corners).astype(int)
    np.testing.assert_allclose(corners, [[left, top], [right, bottom]], atol=1e-9)
    assert shown[top:bottom, left:right].all()
    assert np.count_nonzero(shown) == (right - left) * (bottom - top)


@pytest.mark.parametrize(("height", "width"), [(512, 512), (300, 431), (97, 640), (64, 40)])
def test_a_spot_is_found_where_the_placement_says(height, width):
    ys, xs = np.mgrid[:height, :width] + 0.5
    x, y, sigma = 0.7 * width, 0.4 * height, min(height, width) / 10
    spot = np.exp(-((xs - x) ** 2 + (ys - y) ** 2) / (2 * sigma**2))
    shown = preprocess((255 * spot).astype(np.uint8), PreprocessSpec(160))[0].astype(float)
    rows, columns = np.mgrid[:160, :160] + 0.5
    centre = np.array([[(columns * shown).sum(), (rows * shown).sum()]]) / shown.sum()
    place = Placement.of((height, width), PreprocessSpec(160))
    np.testing.assert_allclose(centre, place.to_input(np.array([[x, y]])), atol=0.1)


@pytest.mark.parametrize(("decode", "side"), [("full", None), ("reduced", 160)])
def test_a_decoder_may_reduce_only_where_the_spec_says_so(decode, side):
    spec = PreprocessSpec(160, decode=decode)
    assert spec.reduce_to == side
    assert PreprocessSpec.from_dict(spec.to_dict()) == spec


def test_an_older_spec_decodes_all_pixels():
    values = {"size": 160, "fit": "letterbox", "resize": "halve-bilinear"}
    assert PreprocessSpec.from_dict(values).decode == "full"


def test_an_unknown_way_to_decode_is_refused():
    with pytest.raises(OptionError) as refusal:
        PreprocessSpec(160, decode="half")
    expected = "unknown preprocessing decode='half'; this version knows full, reduced"
    assert str(refusal.value) == expected
