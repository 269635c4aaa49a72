import struct
import zlib
from io import BytesIO

import cv2
import numpy as np
import pytest

from edge_mri.errors import (
    ImageDecodeError,
    ImageSizeError,
)
from edge_mri.images import Limits, decode_image, grey_array

DAMAGED = "not an image in a known format, or damaged"
UNKNOWN = "not an image in a known format (JPEG, PNG, TIFF, BMP, WebP, DICOM, NIfTI), or damaged"
TOO_LARGE = (
    "image too large: 60,000 x 60,000 pixels, the limit is 100,000,000 pixels (--max-pixels)"
)

LOSSLESS = [".png", ".bmp", ".tif", ".tiff"]


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


def smooth(height: int = 48, width: int = 64) -> np.ndarray:
    """A gradient with a bright corner: survives JPEG, and no turn of it looks the same."""
    rows, columns = np.indices((height, width))
    image = (rows + columns).astype(np.uint8)
    image[: height // 4, : width // 2] += 100
    return image


def encoded(image: np.ndarray, suffix: str) -> bytes:
    return bytes(cv2.imencode(suffix, image)[1])


def png(
    width: int, height: int, bits: int, colour: int, rows: bytes, palette: bytes = b""
) -> bytes:
    """A PNG by hand, for what OpenCV does not write: palettes and false sizes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        checksum = zlib.crc32(kind + data)
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum)

    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    chunks = [chunk(b"IHDR", header)]
    if palette:
        chunks.append(chunk(b"PLTE", palette))
    chunks += [chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def with_orientation(jpeg: bytes, orientation: int) -> bytes:
    """The JPEG with an EXIF block that says how its camera was held."""
    entry = struct.pack("<HHHIHHI", 1, 0x0112, 3, 1, orientation, 0, 0)
    exif = b"Exif\0\0" + b"II*\0" + struct.pack("<I", 8) + entry
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + jpeg[2:]


@pytest.mark.parametrize("suffix", LOSSLESS)
def test_a_lossless_grey_file_gives_its_pixels(suffix):
    image = noise(40, 60)
    np.testing.assert_array_equal(decode_image(encoded(image, suffix)), image, strict=True)


@pytest.mark.parametrize("suffix", [".jpg", ".jpeg", ".webp"])
def test_a_lossy_grey_file_gives_nearly_its_pixels(suffix):
    image = smooth()
    decoded = decode_image(encoded(image, suffix))
    assert decoded.shape == image.shape
    assert decoded.dtype == np.uint8
    assert np.abs(decoded.astype(int) - image).mean() < 3


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_sixteen_bits_are_scaled_by_their_full_range_where_it_is_in_use(suffix):
    image = noise(40, 60)
    deep = image.astype(np.uint16) * 257
    np.testing.assert_array_equal(decode_image(encoded(deep, suffix)), image, strict=True)


@pytest.mark.parametrize("bits", [8, 9, 10, 12, 15])
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_fewer_bits_in_sixteen_are_not_dark(suffix, bits):
    deep = np.linspace(0, 2**bits - 1, 60 * 80).round().astype(np.uint16).reshape(60, 80)
    decoded = decode_image(encoded(deep, suffix))
    expected = deep / (2**bits - 1) * 255
    assert np.abs(decoded - expected).max() <= 0.5001
    assert decoded.max() == 255


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_alpha_is_dropped(suffix):
    image = noise(40, 60)
    transparent = np.dstack([image, image, image, np.zeros_like(image)])
    np.testing.assert_array_equal(decode_image(encoded(transparent, suffix)), image)


def test_a_palette_gives_the_colours_it_names():
    palette = bytes(value for index in range(4) for value in [index * 80] * 3)
    rows = b"".join(b"\0" + bytes([0, 1, 2, 3, 3]) for _ in range(6))
    decoded = decode_image(png(5, 6, 8, 3, rows, palette))
    np.testing.assert_array_equal(decoded, np.tile(np.uint8([0, 80, 160, 240, 240]), (6, 1)))


def test_one_bit_is_black_and_white():
    decoded = decode_image(png(8, 2, 1, 0, b"\0\x0f\0\xf0"))
    np.testing.assert_array_equal(decoded, [[0] * 4 + [255] * 4, [255] * 4 + [0] * 4])


@pytest.mark.parametrize("suffix", LOSSLESS)
def test_a_colour_file_and_its_rgb_array_give_the_same_grey(suffix):
    rgb = noise(40, 60, 3)
    decoded = decode_image(encoded(rgb[:, :, ::-1], suffix))
    assert np.abs(decoded.astype(int) - grey_array(rgb)).max() <= 1


def test_green_is_brighter_than_red_and_red_than_blue():
    red, green, blue = (int(grey_array(np.uint8([[row]]))[0, 0]) for row in np.eye(3) * 255)
    assert (red, green, blue) == (76, 150, 29)


ORIENTATIONS = [
    (1, lambda image: image),
    (2, np.fliplr),
    (3, lambda image: np.rot90(image, 2)),
    (4, np.flipud),
    (5, np.transpose),
    (6, lambda image: np.rot90(image, -1)),
    (7, lambda image: np.rot90(image, 2).T),
    (8, np.rot90),
]


@pytest.mark.parametrize(("orientation", "upright"), ORIENTATIONS)
@pytest.mark.parametrize("format_", ["PNG", "TIFF", "WEBP"])
def test_other_formats_say_how_they_stand_as_well(format_, orientation, upright):
    pillow = pytest.importorskip("PIL.Image", reason="writes the files")
    exif, file = pillow.Exif(), BytesIO()
    exif[0x0112] = orientation
    pillow.fromarray(smooth()).save(file, format=format_, exif=exif, lossless=True)
    np.testing.assert_array_equal(decode_image(file.getvalue()), upright(smooth()))


@pytest.mark.parametrize(("orientation", "upright"), ORIENTATIONS)
def test_an_image_stands_upright_by_its_exif_orientation(orientation, upright):
    jpeg = encoded(smooth(), ".jpg")
    turned = decode_image(with_orientation(jpeg, orientation))
    np.testing.assert_array_equal(turned, upright(decode_image(jpeg)))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        pytest.param(b"", "the file is empty", id="empty"),
        pytest.param(b"not an image\n", UNKNOWN, id="text"),
        pytest.param(b"<html><body>404</body></html>", UNKNOWN, id="html"),
        pytest.param(b"\0" * 1000, UNKNOWN, id="zeros"),
        pytest.param(b"P5 2 2 255 0000", UNKNOWN, id="a format that nobody asked for"),
        pytest.param(b"\xff\xd8", "the JPEG header is cut off", id="JPEG start"),
        pytest.param(
            b"\xff\xd8\xff\xda\0\x02",
            "the JPEG has no frame header before its scan",
            id="JPEG of no size",
        ),
        pytest.param(b"\x89PNG\r\n\x1a\n", "the PNG header is cut off", id="PNG start"),
        pytest.param(b"BM", "the BMP header is cut off", id="BMP start"),
        pytest.param(b"RIFF\0\0\0\0WEBP", "the WEBP header is cut off", id="WebP start"),
        pytest.param(b"II*\0", "the TIFF is cut off: page 1 is outside it", id="TIFF start"),
        pytest.param(
            png(0, 5, 8, 0, b""), "the PNG header claims 0 x 5 pixels", id="PNG of no width"
        ),
        pytest.param(png(40, 40, 8, 0, b"\0" * 41 * 20), DAMAGED, id="PNG of half its rows"),
    ],
)
def test_what_is_no_image_is_refused_with_the_reason(data, reason):
    with pytest.raises(ImageDecodeError) as refusal:
        decode_image(data)
    assert str(refusal.value) == reason


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.99])
@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif", ".webp"])
def test_a_truncated_file_is_refused(suffix, share):
    data = encoded(noise(60, 80), suffix)
    with pytest.raises(ImageDecodeError) as refusal:
        decode_image(data[: int(len(data) * share)])
    reasons = {
        ".png": "the PNG is cut off in its b'IDAT' chunk",
        ".tif": "the TIFF is cut off: page 1 is outside it",
    }
    assert str(refusal.value) == reasons.get(suffix, DAMAGED)


@pytest.mark.parametrize("length", [4_278_190_080, 3_254_788_096, 2**31 - 1, 100_000])
@pytest.mark.parametrize("deep", [False, True])
def test_a_png_chunk_that_is_longer_than_the_file_is_refused(deep, length):
    """OpenCV 5.0 never comes back from some of these; fuzzing found it."""
    pixels = noise(60, 80).astype(np.uint16) if deep else noise(60, 80)
    data = bytearray(encoded(pixels, ".png"))
    start = data.find(b"IDAT") - 4
    data[start : start + 4] = struct.pack(">I", length)
    with pytest.raises(ImageDecodeError) as refusal:
        decode_image(bytes(data))
    assert str(refusal.value) == "the PNG is cut off in its b'IDAT' chunk"


def test_a_png_without_its_end_is_refused():
    with pytest.raises(ImageDecodeError) as refusal:
        decode_image(encoded(noise(60, 80), ".png")[:-12])
    assert str(refusal.value) == "the PNG is cut off: it has no IEND chunk"


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
def test_a_png_with_a_changed_byte_is_refused(share):
    data = bytearray(encoded(noise(60, 80), ".png"))
    data[int(len(data) * share)] ^= 1
    with pytest.raises(ImageDecodeError) as refusal:
        decode_image(bytes(data))
    assert str(refusal.value) == "the PNG is damaged: its b'IDAT' chunk fails its checksum"


@pytest.mark.parametrize("cut", [1, 2, 100, 2000])
@pytest.mark.parametrize("progressive", [0, 1])
def test_a_truncated_jpeg_is_refused(cut, progressive):
    options = [cv2.IMWRITE_JPEG_PROGRESSIVE, progressive]
    data = bytes(cv2.imencode(".jpg", noise(60, 80), options)[1])
    assert decode_image(data).shape == (60, 80)
    with pytest.raises(ImageDecodeError) as refusal:
        decode_image(data[:-cut])
    assert str(refusal.value) == "the JPEG is truncated: it has no end marker"


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
@pytest.mark.parametrize("progressive", [0, 1])
def test_a_jpeg_that_is_cut_in_its_scan_and_then_ended_is_refused(progressive, share):
    options = [cv2.IMWRITE_JPEG_PROGRESSIVE, progressive]
    data = bytes(cv2.imencode(".jpg", noise(60, 80), options)[1])
    with pytest.raises(ImageDecodeError) as refusal:
        decode_image(data[: int(len(data) * share)] + b"\xff\xd9")
    assert str(refusal.value) == "the JPEG is truncated: its scan ends too early"


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_a_cut_jpeg_is_seen_whichever_way_it_is_turned(orientation):
    data = with_orientation(encoded(noise(60, 80), ".jpg"), orientation)
    with pytest.raises(ImageDecodeError, match="its scan ends too early"):
        decode_image(data[: len(data) * 3 // 4] + b"\xff\xd9")


@pytest.mark.parametrize("progressive", [0, 1])
def test_a_whole_jpeg_that_is_as_grey_as_a_cut_one_is_read(progressive):
    grey = np.full((60, 80), 128, np.uint8)
    options = [cv2.IMWRITE_JPEG_PROGRESSIVE, progressive]
    np.testing.assert_array_equal(decode_image(bytes(cv2.imencode(".jpg", grey, options)[1])), grey)


def test_a_jpeg_with_thousands_of_scans_is_refused():
    """Each makes libjpeg go over all pixels again: a few kilobytes for minutes."""
    options = [cv2.IMWRITE_JPEG_PROGRESSIVE, 1]
    data = bytes(cv2.imencode(".jpg", smooth(), options)[1])
    last = data.rfind(b"\xff\xda")
    with pytest.raises(ImageDecodeError) as refusal:
        decode_image(data[:last] + data[last:-2] * 1000 + data[-2:])
    assert str(refusal.value) == "the JPEG has more than 200 scans"


def test_a_truncated_jpeg_is_refused_though_its_thumbnail_is_whole():
    data = encoded(noise(60, 80), ".jpg")
    thumbnail = encoded(smooth(16, 16), ".jpg")
    block = b"\xff\xe1" + struct.pack(">H", len(thumbnail) + 2) + thumbnail
    assert decode_image(data[:2] + block + data[2:]).shape == (60, 80)
    with pytest.raises(ImageDecodeError, match="truncated"):
        decode_image(data[:2] + block + data[2:-500])


def test_a_jpeg_with_bytes_after_its_end_is_whole():
    assert decode_image(encoded(smooth(), ".jpg") + b"\0" * 64).shape == (48, 64)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(png(60_000, 60_000, 8, 0, b"\0" * 60_001), id="png"),
        pytest.param(
            b"BM"
            + struct.pack("<IHHIIiiHHIIiiII", 100, 0, 0, 54, 40, 60_000, 60_000, 1, 24, *[0] * 6),
            id="bmp",
        ),
    ],
)
def test_a_file_that_claims_billions_of_pixels_is_refused(data):
    with pytest.raises(ImageSizeError) as refusal:
        decode_image(data)
    assert str(refusal.value) == TOO_LARGE


def test_too_many_pixels_are_refused_before_they_are_decoded():
    data = encoded(noise(40, 60), ".png")
    with pytest.raises(ImageSizeError) as refusal:
        decode_image(data, Limits(max_pixels=2399))
    assert str(refusal.value) == (
        "image too large: 60 x 40 pixels, the limit is 2,399 pixels (--max-pixels)"
    )
    assert decode_image(data, Limits(max_pixels=2400)).shape == (40, 60)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp", ".webp", ".tif"])
def test_the_header_of_every_format_is_held_to_the_limit(suffix):
    data = encoded(noise(40, 60), suffix)
    assert decode_image(data, Limits(max_pixels=2400)).shape == (40, 60)
    with pytest.raises(ImageSizeError, match="60 x 40 pixels"):
        decode_image(data, Limits(max_pixels=2399))


@pytest.mark.parametrize("quality", [80, 101])  # lossy, and lossless, which has another header
def test_both_kinds_of_webp_are_read(quality):
    data = bytes(cv2.imencode(".webp", smooth(), [cv2.IMWRITE_WEBP_QUALITY, quality])[1])
    assert decode_image(data, Limits(max_pixels=48 * 64)).shape == (48, 64)


def test_damaged_files_leave_no_noise_on_stderr(process, tmp_path):
    """Nor does a JPEG, whose decoder tells stderr by itself, where stderr is kept from it."""
    for suffix in (".png", ".tif", ".webp"):
        (tmp_path / f"cut{suffix}").write_bytes(encoded(noise(60, 80), suffix)[:-100])
    jpeg = encoded(noise(60, 80), ".jpg")
    (tmp_path / "cut.jpg").write_bytes(jpeg[: len(jpeg) // 2] + b"\xff\xd9")
    ended = process(
        "-c",
        "import sys\n"
        "from pathlib import Path\n"
        "from edge_mri.errors import ImageError\n"
        "from edge_mri.images import read_image\n"
        "from edge_mri.process.quiet import native_stderr_silenced\n"
        "with native_stderr_silenced():\n"
        "    for name in sys.argv[1:]:\n"
        "        try:\n"
        "            read_image(Path(name))\n"
        "        except ImageError:\n"
        "            print(Path(name).name, file=sys.stderr)\n"
        "print('after', file=sys.stderr, flush=True)\n"
        "__import__('os').write(2, b'and by itself')\n",
        *sorted(tmp_path.iterdir()),
    )
    names = "".join(f"cut{suffix}\n" for suffix in (".jpg", ".png", ".tif", ".webp"))
    assert ended == (0, "", names + "after\nand by itself")


@pytest.mark.parametrize(
    ("array", "reason"),
    [
        (np.zeros((4, 4)), "expected a uint8 array with pixels, got float64 (4, 4)"),
        (np.zeros((4, 4), np.uint16), "expected a uint8 array with pixels, got uint16 (4, 4)"),
        (np.zeros((0, 4), np.uint8), "expected a uint8 array with pixels, got uint8 (0, 4)"),
        ([[0, 1]], "expected a uint8 array with pixels, got <class 'list'>"),
        (np.zeros(4, np.uint8), "expected shape (H, W) or (H, W, 3), got (4,)"),
        (np.zeros((4, 4, 4), np.uint8), "expected shape (H, W) or (H, W, 3), got (4, 4, 4)"),
        (np.zeros((1, 4, 4, 3), np.uint8), "expected shape (H, W) or (H, W, 3), got (1, 4, 4, 3)"),
    ],
)
def test_an_array_that_is_no_image_is_refused(array, reason):
    with pytest.raises(ImageDecodeError) as refusal:
        grey_array(array)
    assert str(refusal.value) == reason
