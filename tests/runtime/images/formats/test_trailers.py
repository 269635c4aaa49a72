"""What stands behind an image's end in its file is no part of it, and no reason to refuse it."""

import struct

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_mri.errors import ImageDecodeError
from edge_mri.images import decode_frames, decode_image
from edge_mri.labels import Label
from edge_mri.phantoms.phantom import draw_phantom

DRAWING = draw_phantom(Label("glioma", "axial"), size_px=64)
NO_END = "the JPEG is truncated: it has no end marker"


def encoded(suffix: str, image: np.ndarray = DRAWING, *options: int) -> bytes:
    return bytes(cv2.imencode(suffix, image, options)[1])


SECOND = encoded(".jpg", np.flipud(DRAWING))
JPEGS = {
    "baseline": encoded(".jpg"),
    "progressive": encoded(".jpg", DRAWING, cv2.IMWRITE_JPEG_PROGRESSIVE, 1),
    "restarts": encoded(".jpg", DRAWING, cv2.IMWRITE_JPEG_RST_INTERVAL, 2),
    "colour": encoded(".jpg", cv2.cvtColor(DRAWING, cv2.COLOR_GRAY2BGR)),
    "grey as where a scan is cut": encoded(".jpg", np.full((64, 64), 128, np.uint8)),
}
TRAILERS = {
    "zeros": bytes(64),
    "scan markers": b"\xff\xda\0\x08" + bytes(32) + b"\xff\xda",
    "the note of a telephone": b"\0\0\x01\x0a\x0e\0\0\0Image_UTC_Data1638226800000SEFT",
    "another JPEG": SECOND,
    "half of another JPEG": SECOND[: len(SECOND) // 2],
    "a video": b"\0\0\0\x18ftypmp42" + bytes(range(256)) * 8,
    "an end of its own": b"\xff\xd9",
}


@pytest.mark.parametrize("trailer", TRAILERS)
@pytest.mark.parametrize("kind", JPEGS)
def test_a_whole_jpeg_with_a_trailer_is_read(kind, trailer):
    data = JPEGS[kind]
    read = decode_image(data + TRAILERS[trailer])
    np.testing.assert_array_equal(read, decode_image(data), strict=True)


@pytest.mark.parametrize("trailer", TRAILERS)
@pytest.mark.parametrize("kind", ["baseline", "progressive", "restarts", "colour"])
@pytest.mark.parametrize("share", [0.5, 0.7, 0.9])
def test_a_truncated_jpeg_with_a_trailer_is_refused(kind, trailer, share):
    data = JPEGS[kind]
    with pytest.raises(ImageDecodeError, match=r"^the JPEG (is truncated|header)|^not an image"):
        decode_image(data[: int(len(data) * share)] + TRAILERS[trailer])


@settings(max_examples=150, deadline=5000, derandomize=True, database=None)
@given(st.sampled_from(sorted(JPEGS)), st.binary(max_size=200))
def test_whatever_stands_behind_a_jpeg_it_is_the_same_image(kind, trailer):
    data = JPEGS[kind]
    np.testing.assert_array_equal(decode_image(data + trailer), decode_image(data))


@pytest.mark.parametrize("suffix", [".png", ".webp", ".bmp", ".tif"])
@pytest.mark.parametrize("trailer", TRAILERS)
def test_other_formats_may_have_trailers_too(suffix, trailer):
    data = encoded(suffix)
    (frame,) = decode_frames(data + TRAILERS[trailer])
    np.testing.assert_array_equal(frame.pixels, decode_image(data), strict=True)
    assert frame.unread == 0


def test_frames_behind_the_end_of_a_png_do_not_make_it_an_animation():
    data = encoded(".png") + struct.pack(">I", 8) + b"acTL" + bytes(12)
    (frame,) = decode_frames(data)
    assert frame.unread == 0


def test_junk_before_a_jpeg_is_no_jpeg():
    """Other programs do not read it either."""
    with pytest.raises(ImageDecodeError, match=r"^not an image in a known format"):
        decode_image(b"\r\n" + JPEGS["baseline"])


@pytest.mark.parametrize("progressive", [0, 1])
def test_a_colour_jpeg_of_thousands_of_scans_is_refused(progressive):
    """Each scan costs libjpeg all pixels again, in a sequential file with a scan a colour too."""
    data = encoded(".jpg", cv2.merge([DRAWING] * 3), cv2.IMWRITE_JPEG_PROGRESSIVE, progressive)
    scan = data.rfind(b"\xff\xda")
    one = b"\xff\xda\0\x08\x01\x01\0\0\x3f\0" + bytes(40)
    with pytest.raises(ImageDecodeError) as refusal:
        decode_image(data[:scan] + one * 1000 + b"\xff\xd9")
    assert str(refusal.value) == "the JPEG has more than 200 scans"


@pytest.mark.parametrize("end", [b"", b"\xff", b"\xff\xd0"])
def test_a_jpeg_of_no_end_is_refused(end):
    with pytest.raises(ImageDecodeError) as refusal:
        decode_image(JPEGS["baseline"][:-2] + end)
    assert str(refusal.value) == NO_END
