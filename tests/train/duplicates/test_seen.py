import struct
import zlib

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_mri_train.duplicates.descriptors import turn
from edge_mri_train.duplicates.fingerprint import content_box, fingerprint_pixels
from edge_mri_train.duplicates.seen import SeenImages
from edge_mri_train.errors import SeenImagesError


def cropped(image, part):
    head = content_box(image).cut(image)
    y, x = (int(side * part) for side in head.shape)
    return head[y:-y, x:-x]


EDITS = {
    "jpeg": lambda image: cv2.imdecode(
        cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 40])[1], cv2.IMREAD_GRAYSCALE
    ),
    "smaller": lambda image: cv2.resize(image, (96, 96), interpolation=cv2.INTER_AREA),
    "cropped": lambda image: cropped(image, 0.06),
    "gamma": lambda image: np.round(255 * (image / 255) ** 1.4).astype(np.uint8),
    "contrast": lambda image: (image * 0.6 + 20).astype(np.uint8),
} | {f"turn {s}": lambda image, s=s: turn(image, s) for s in range(1, 8)}


@pytest.fixture(scope="module")
def fingerprints(heads):
    return [fingerprint_pixels(head) for head in heads]


@pytest.fixture(scope="module")
def seen(fingerprints):
    """What is remembered of the first twenty heads."""
    return SeenImages.of(fingerprints[:20])


def test_copies_are_told(seen, fingerprints):
    expected = np.arange(len(fingerprints)) < 20
    assert np.array_equal(seen.exact(fingerprints), expected)
    assert np.array_equal(seen.near(fingerprints), expected)


@pytest.mark.parametrize("edit", EDITS)
def test_edited_images_are_told_from_other_heads(seen, heads, edit):
    edited = [fingerprint_pixels(EDITS[edit](head)) for head in heads]
    assert not seen.exact(edited).any()
    assert np.array_equal(seen.near(edited), np.arange(len(heads)) < 20)


def test_the_image_of_which_a_crop_was_seen_is_told(heads, fingerprints):
    seen = SeenImages.of([fingerprint_pixels(cropped(head, 0.08)) for head in heads[:20]])
    assert seen.near(fingerprints[:20]).mean() > 0.9
    assert not seen.near(fingerprints[20:]).any()


def test_the_answer_for_an_image_does_not_depend_on_the_others(seen, heads):
    edited = [fingerprint_pixels(cropped(head, 0.04)) for head in heads]
    together = seen.near(edited)
    assert [bool(seen.near([image])[0]) for image in edited] == together.tolist()


def test_flat_images_are_told_by_their_pixels_alone(fingerprints):
    black, white = (fingerprint_pixels(np.full((40, 40), grey, np.uint8)) for grey in (0, 255))
    seen = SeenImages.of([black, *fingerprints[:3]])
    assert seen.near([black, white, *fingerprints[:4]]).tolist() == [
        True,
        False,
        *[True] * 3,
        False,
    ]
    assert SeenImages.of([black]).near([black, white, fingerprints[0]]).tolist() == [
        True,
        False,
        False,
    ]


def test_nothing_is_seen_of_nothing(fingerprints):
    nothing = SeenImages.of([])
    assert len(nothing) == 0
    assert not nothing.near(fingerprints).any()
    assert nothing.near([]).shape == (0,)
    assert SeenImages.from_bytes(nothing.to_bytes()).near(fingerprints[:2]).tolist() == [False] * 2


@given(data=st.data())
@settings(max_examples=20, deadline=None)
def test_order_and_repeats_do_not_matter(data, fingerprints):
    images = data.draw(st.lists(st.sampled_from(fingerprints), min_size=1, max_size=30))
    unique = {image.pixel_hash: image for image in images}
    seen = SeenImages.of(images)
    assert seen.to_bytes() == SeenImages.of(list(unique.values())).to_bytes()
    assert len(seen) == len(unique)


def test_bytes_bring_it_back(seen, heads):
    data = seen.to_bytes()
    again = SeenImages.from_bytes(data)
    assert again.to_bytes() == data
    assert len(again) == 20
    edited = [fingerprint_pixels(turn(head, 3)) for head in heads]
    assert np.array_equal(again.near(edited), seen.near(edited))


def test_an_image_costs_at_most_72_bytes(fingerprints):
    few, many = (len(SeenImages.of(fingerprints[:count]).to_bytes()) for count in (10, 30))
    assert many - few <= 20 * 72


@given(data=st.data())
@settings(max_examples=100, deadline=None)
def test_damaged_bytes_are_refused(data, seen):
    whole = seen.to_bytes()
    kind = data.draw(st.sampled_from(["cut", "longer", "changed"]))
    position = data.draw(st.integers(0, len(whole) - 1))
    if kind == "cut":
        damaged = whole[:position]
    elif kind == "longer":
        damaged = whole + b"\0"
    else:
        flipped = whole[position] ^ data.draw(st.integers(1, 255))
        damaged = whole[:position] + bytes([flipped]) + whole[position + 1 :]
    with pytest.raises(SeenImagesError):
        SeenImages.from_bytes(damaged)


@pytest.mark.parametrize("data", [b"", b"emriseen", b"PK\x03\x04 something else altogether"])
def test_other_bytes_are_refused(data):
    with pytest.raises(SeenImagesError):
        SeenImages.from_bytes(data)


def test_a_later_version_says_so(seen):
    data = bytearray(seen.to_bytes())
    struct.pack_into("<H", data, 8, 9)
    with pytest.raises(SeenImagesError, match="version is 9"):
        SeenImages.from_bytes(bytes(data))


@pytest.mark.parametrize("claimed", [20, 2**32 - 1])
def test_a_bomb_is_not_unpacked(seen, claimed):
    header = bytearray(seen.to_bytes()[:18])
    struct.pack_into("<II", header, 10, claimed, claimed)
    with pytest.raises(SeenImagesError, match=r"size|images"):
        SeenImages.from_bytes(bytes(header) + zlib.compress(bytes(10**8)))


def test_real_testing_images_that_were_trained_on_are_told(real):
    def of(pattern):
        return [image for path, image in real.items() if path.match(pattern)]

    seen = SeenImages.of(of("nickparvar/Testing/notumor/*"))
    assert seen.near(of("artemis/Testing/no_*/*")).mean() > 0.97
    assert seen.near(of("artemis/Testing/pituitary_*/*")).mean() == 0


def test_a_model_knows_what_those_before_it_have_seen(seen, heads, fingerprints):
    own = SeenImages.of(fingerprints[20:24])
    last = SeenImages.of(fingerprints[24:26])
    both = own.with_those_of([last.with_those_of([seen]), seen])
    assert len(both) == 26
    again = SeenImages.from_bytes(both.to_bytes())
    assert again.to_bytes() == seen.to_bytes() + own.to_bytes() + last.to_bytes()
    smaller = [fingerprint_pixels(EDITS["smaller"](head)) for head in heads]
    for one in (both, again):
        assert np.array_equal(one.exact(fingerprints), np.arange(len(heads)) < 26)
        assert np.array_equal(one.near(smaller), np.arange(len(heads)) < 26)
    assert len(own) == 4
    assert own.with_those_of([own]).to_bytes() == own.to_bytes()


def test_what_a_model_before_it_holds_whole_is_not_held_twice(seen, heads, fingerprints):
    few = SeenImages.of(fingerprints[3:18])
    for both in (few.with_those_of([seen]), seen.with_those_of([few, few])):
        assert both.to_bytes() == seen.to_bytes()


def test_bytes_behind_the_last_model_are_damage(seen):
    with pytest.raises(SeenImagesError):
        SeenImages.from_bytes(seen.to_bytes() + b"emri")
    with pytest.raises(SeenImagesError):
        SeenImages.from_bytes(seen.to_bytes() + b"\0")
