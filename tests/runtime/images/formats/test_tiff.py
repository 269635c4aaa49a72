"""TIFF files of several pages, written here by hand and by OpenCV."""

import struct

import cv2
import numpy as np
import pytest

from edge_mri.errors import ImageDecodeError, ImageSizeError
from edge_mri.images import Limits, decode_frames, decode_image
from edge_mri.images.formats.tiff import pages


def gradient(number: int, dtype: type = np.uint8) -> np.ndarray:
    image = np.add.outer(np.arange(20), np.arange(30)) + 40 * number
    return image.astype(dtype)


def tiff(*images: np.ndarray, order: str = "<", big: bool = False, **tags: int) -> bytes:
    """Uncompressed grey pages; `tags` are the same on every page."""
    extra = {"photometric": 1, "subfile": 0} | tags
    head = (b"II" if order == "<" else b"MM") + struct.pack(order + "H", 43 if big else 42)
    head += struct.pack(order + "HHQ", 8, 0, 0) if big else struct.pack(order + "I", 0)
    data = bytearray(head)
    link = len(head) - (8 if big else 4)
    number, count, entry = ("Q", "Q", "HHQQ") if big else ("I", "H", "HHII")
    for image in images:
        pixels = len(data)
        data += image.astype(image.dtype.newbyteorder(order)).tobytes()
        struct.pack_into(order + number, data, link, len(data))
        bits = image.dtype.itemsize * 8
        values = {
            254: extra["subfile"],
            256: image.shape[1],
            257: image.shape[0],
            258: bits,
            259: 1,
            262: extra["photometric"],
            273: pixels,
            277: 1,
            278: image.shape[0],
            279: image.nbytes,
        }
        data += struct.pack(order + count, len(values))
        for tag, value in values.items():
            data += struct.pack(order + entry, tag, 16 if big else 4, 1, value)
        link = len(data)
        data += struct.pack(order + number, 0)
    return bytes(data)


def rgba_tiff(grey: np.ndarray, alpha: np.ndarray, order: str, extra: int) -> bytes:
    """An uncompressed RGBA page; `extra` is what its ExtraSamples says the fourth sample is."""
    pixels = np.dstack([grey, grey, grey, alpha])
    head = (b"II" if order == "<" else b"MM") + struct.pack(order + "H", 42)
    data = bytearray(head + struct.pack(order + "I", 8 + pixels.nbytes + 8) + pixels.tobytes())
    data += struct.pack(order + "4H", *[8] * 4)
    rows, columns = grey.shape
    tags = [(256, 4, 1, columns), (257, 4, 1, rows), (258, 3, 4, 8 + pixels.nbytes), (259, 4, 1, 1)]
    tags += [(262, 4, 1, 2), (273, 4, 1, 8), (277, 4, 1, 4), (278, 4, 1, rows)]
    tags += [(279, 4, 1, pixels.nbytes)]
    data += struct.pack(order + "H", len(tags) + 1)
    for tag in tags:
        data += struct.pack(order + "HHII", *tag)
    return bytes(data + struct.pack(order + "HHIHHI", 338, 3, 1, extra, 0, 0))


@pytest.mark.parametrize("extra", [0, 1, 2])  # unspecified, multiplied already, alpha
@pytest.mark.parametrize("order", ["<", ">"])
def test_what_is_transparent_is_as_bright_as_it_is_stored(order, extra):
    image = gradient(1)
    for alpha in (np.zeros_like(image), image):
        decoded = decode_image(rgba_tiff(image, alpha, order, extra))
        np.testing.assert_array_equal(decoded, image)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("order", ["<", ">"])
def test_every_page_is_a_frame(order, big, dtype):
    images = [gradient(number, dtype) for number in range(3)]
    frames = list(decode_frames(tiff(*images, order=order, big=big)))
    assert [frame.frame for frame in frames] == [1, 2, 3]
    assert {(frame.plane, frame.series) for frame in frames} == {(None, None)}
    for frame, image in zip(frames, images, strict=True):
        np.testing.assert_array_equal(frame.pixels, image.astype(np.uint8), strict=True)


def test_pages_that_another_program_wrote_are_frames():
    images = [gradient(number) for number in range(3)]
    done, data = (
        cv2.imencodemulti(".tif", images) if hasattr(cv2, "imencodemulti") else (False, b"")
    )
    if not done:
        pytest.skip("this OpenCV writes no pages into memory")
    frames = list(decode_frames(bytes(data)))
    assert [frame.frame for frame in frames] == [1, 2, 3]
    for frame, image in zip(frames, images, strict=True):
        np.testing.assert_array_equal(frame.pixels, image)


def test_a_single_page_has_no_number():
    (frame,) = decode_frames(tiff(gradient(0)))
    assert frame.frame is None


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("order", ["<", ">"])
def test_a_page_is_given_to_its_decoder_without_those_behind_it(order, big):
    """libtiff goes through all that follow, which made a page of a long file take a second."""
    images = [gradient(number) for number in range(4)]
    given = []
    for page in pages(tiff(*images, order=order, big=big), Limits()):
        read, decoded = cv2.imdecodemulti(np.frombuffer(page.data, np.uint8), cv2.IMREAD_UNCHANGED)
        assert read
        given.append(decoded)
    assert [len(decoded) for decoded in given] == [1, 1, 1, 1]
    for (decoded,), image in zip(given, images, strict=True):
        np.testing.assert_array_equal(decoded, image)


@pytest.mark.parametrize("subfile", [0, 1])  # pages, and previews that are passed over
def test_more_pages_than_are_read_are_refused_behind_the_first_ones(subfile):
    whole = tiff(*[gradient(number) for number in range(3)])
    data = _joined(whole, 3, tiff(gradient(3), subfile=subfile))
    found = decode_frames(data, Limits(max_frames=3))
    for number in range(3):
        np.testing.assert_array_equal(next(found).pixels, gradient(number))
    with pytest.raises(ImageSizeError) as refusal:
        next(found)
    told = "image too large: more than 3 frames, the limit is 3 frames (--max-frames)"
    assert str(refusal.value) == told
    assert len(list(decode_frames(whole, Limits(max_frames=3)))) == 3


def _joined(data: bytes, pages: int, last: bytes) -> bytes:
    """Hang the only page of `last` on the pages of another file."""
    joined, link = bytearray(data + last), 4
    for _ in range(pages):
        first = struct.unpack_from("<I", joined, link)[0]
        link = first + 2 + struct.unpack_from("<H", joined, first)[0] * 12
    shift = len(data)
    struct.pack_into("<I", joined, link, struct.unpack_from("<I", last, 4)[0] + shift)
    directory = shift + struct.unpack_from("<I", last, 4)[0]
    for entry in range(struct.unpack_from("<H", joined, directory)[0]):
        place = directory + 2 + 12 * entry
        if struct.unpack_from("<H", joined, place)[0] == 273:  # where its pixels are
            struct.pack_into("<I", joined, place + 8, 8 + shift)
    return bytes(joined)


@pytest.mark.parametrize("subfile", [1, 4])
def test_previews_and_masks_are_passed_over(subfile):
    page, preview = tiff(gradient(0)), tiff(gradient(1), subfile=subfile)
    shift = len(page)
    joined = bytearray(page + preview)
    first = struct.unpack_from("<I", page, 4)[0]
    second = struct.unpack_from("<I", preview, 4)[0] + shift
    struct.pack_into("<I", joined, first + 2 + 10 * 12, second)
    (frame,) = decode_frames(bytes(joined))
    assert frame.frame is None
    np.testing.assert_array_equal(frame.pixels, gradient(0))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_page_on_which_white_is_zero_is_turned(dtype):
    image = gradient(0, dtype)
    shown = decode_image(tiff(image, photometric=0))
    np.testing.assert_array_equal(shown, 255 - image.astype(np.uint8))


@pytest.mark.parametrize("dtype", [np.float32, np.int32])
def test_measurements_are_shown_between_two_percentiles(dtype):
    values = np.linspace(-500, 3000, 20 * 30).reshape(20, 30).astype(dtype)
    data = bytes(cv2.imencode(".tif", values)[1])
    shown = decode_image(data)
    assert (shown.min(), shown.max()) == (0, 255)
    assert (np.diff(shown.ravel().astype(int)) >= 0).all()


def test_more_than_one_page_is_more_than_one_image():
    with pytest.raises(ImageDecodeError) as refusal:
        decode_image(tiff(gradient(0), gradient(1)))
    assert str(refusal.value) == "it holds more than one image; expected one"


def test_pages_that_lead_round_in_a_circle_are_refused():
    data = bytearray(tiff(gradient(0), gradient(1)))
    first = struct.unpack_from("<I", data, 4)[0]
    data[-4:] = struct.pack("<I", first)
    with pytest.raises(ImageDecodeError) as refusal:
        list(decode_frames(bytes(data)))
    assert str(refusal.value) == "the TIFF's pages lead back to an earlier one"


def test_a_page_that_claims_billions_of_pixels_is_refused_before_the_first_is_read():
    data = tiff(gradient(0), np.zeros((40, 60), np.uint8))
    assert len(list(decode_frames(data, Limits(max_pixels=2400)))) == 2
    with pytest.raises(ImageSizeError, match="60 x 40 pixels"):
        next(decode_frames(data, Limits(max_pixels=2399)))


def test_a_damaged_page_is_named_and_those_before_it_are_good():
    data = bytearray(tiff(gradient(0), gradient(1)))
    second = len(data) - 4 - 10 * 12
    for entry in range(second, len(data) - 4, 12):
        if struct.unpack_from("<H", data, entry)[0] == 273:
            struct.pack_into("<I", data, entry + 8, 2**31)
    frames = decode_frames(bytes(data))
    np.testing.assert_array_equal(next(frames).pixels, gradient(0))
    with pytest.raises(ImageDecodeError, match=r"^page 2: "):
        next(frames)
