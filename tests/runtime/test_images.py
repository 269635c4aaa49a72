import errno
import os
import struct
import zlib
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_mri import images
from edge_mri.errors import (
    FolderNotFoundError,
    ImageDecodeError,
    ImageReadError,
    ImageSizeError,
)
from edge_mri.images import SUFFIXES, ImageFiles, decode_image, grey_array, read_image

UNKNOWN = "not an image in a known format, or damaged"
TOO_LARGE = "image too large: more pixels than allowed, the limit is 100,000,000 pixels"

LOSSLESS = [".png", ".bmp", ".tif", ".tiff"]

needs_rights = pytest.mark.skipif(
    os.name != "posix" or os.geteuid() == 0, reason="root may read everything"
)


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
def test_sixteen_bits_are_scaled_by_their_full_range(suffix):
    image = noise(40, 60)
    deep = image.astype(np.uint16) * 257
    np.testing.assert_array_equal(decode_image(encoded(deep, suffix)), image, strict=True)


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


@pytest.mark.parametrize(
    ("orientation", "upright"),
    [
        (1, lambda image: image),
        (2, np.fliplr),
        (3, lambda image: np.rot90(image, 2)),
        (4, np.flipud),
        (5, np.transpose),
        (6, lambda image: np.rot90(image, -1)),
        (7, lambda image: np.rot90(image, 2).T),
        (8, np.rot90),
    ],
)
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
        pytest.param(b"\0" * 128 + b"DICM" + b"\0" * 100, UNKNOWN, id="dicom"),
        pytest.param(b"\xff\xd8", UNKNOWN, id="JPEG start"),
        pytest.param(b"\x89PNG\r\n\x1a\n", UNKNOWN, id="PNG start"),
        pytest.param(png(0, 5, 8, 0, b""), UNKNOWN, id="PNG of no width"),
        pytest.param(png(40, 40, 8, 0, b"\0" * 41 * 20), UNKNOWN, id="PNG of half its rows"),
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
    assert str(refusal.value) == UNKNOWN


@pytest.mark.parametrize("cut", [1, 2, 100, 2000])
@pytest.mark.parametrize("progressive", [0, 1])
def test_a_truncated_jpeg_is_refused(cut, progressive):
    options = [cv2.IMWRITE_JPEG_PROGRESSIVE, progressive]
    data = bytes(cv2.imencode(".jpg", noise(60, 80), options)[1])
    assert decode_image(data).shape == (60, 80)
    with pytest.raises(ImageDecodeError) as refusal:
        decode_image(data[:-cut])
    assert str(refusal.value) == "the JPEG is truncated: it has no end marker"


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


@pytest.mark.parametrize("first", ["PreprocessSpec", "Contract", "Classifier"])
def test_opencv_has_its_guard_whatever_is_imported_first(process, first):
    data = png(12_000, 12_000, 8, 0, b"")  # more than our limit, less than OpenCV's own
    ended = process(
        "-c",
        f"from edge_mri import {first}\n"
        "from edge_mri.errors import ImageSizeError\n"
        "from edge_mri.images import decode_image\n"
        "try:\n"
        f"    decode_image({data!r})\n"
        "except ImageSizeError as error:\n"
        "    print(error)\n",
    )
    assert ended == (0, TOO_LARGE + "\n", "")


def test_too_many_pixels_are_refused_where_opencv_has_no_guard(monkeypatch):
    monkeypatch.setattr(images, "MAX_PIXELS", 2399)
    with pytest.raises(ImageSizeError) as refusal:
        decode_image(encoded(noise(40, 60), ".png"))
    assert str(refusal.value) == "image too large: 2,400 pixels, the limit is 2,399 pixels"
    assert decode_image(encoded(noise(40, 59), ".png")).shape == (40, 59)


def test_opencv_and_this_package_have_the_same_limit(process):
    ended = process("-c", "import os, edge_mri; print(os.environ['OPENCV_IO_MAX_IMAGE_PIXELS'])")
    assert int(ended.out) == images.MAX_PIXELS


def test_damaged_files_leave_no_noise_on_stderr(process, tmp_path):
    (tmp_path / "cut.png").write_bytes(encoded(noise(60, 80), ".png")[:-100])
    (tmp_path / "cut.tif").write_bytes(encoded(noise(60, 80), ".tif")[:-100])
    (tmp_path / "cut.webp").write_bytes(encoded(noise(60, 80), ".webp")[:-100])
    ended = process(
        "-c",
        "import sys\n"
        "from pathlib import Path\n"
        "from edge_mri.errors import ImageError\n"
        "from edge_mri.images import read_image\n"
        "for name in sys.argv[1:]:\n"
        "    try:\n"
        "        read_image(Path(name))\n"
        "    except ImageError as error:\n"
        "        print(error)\n",
        *sorted(tmp_path.iterdir()),
    )
    assert ended.out.splitlines() == [UNKNOWN] * 3
    assert "OpenCV" not in ended.err
    assert "ERROR" not in ended.err


def test_a_file_too_large_is_not_read(tmp_path, monkeypatch):
    path = tmp_path / "large.png"
    path.write_bytes(encoded(noise(40, 60), ".png"))
    size = path.stat().st_size
    monkeypatch.setattr(images, "MAX_FILE_BYTES", size)
    assert read_image(path).shape == (40, 60)
    monkeypatch.setattr(images, "MAX_FILE_BYTES", size - 1)
    with pytest.raises(ImageSizeError) as refusal:
        read_image(path)
    expected = f"image too large: {size:,} bytes, the limit is {size - 1:,} bytes"
    assert str(refusal.value) == expected


def test_a_file_that_is_gone_is_a_read_error(tmp_path):
    with pytest.raises(ImageReadError) as refusal:
        read_image(tmp_path / "gone.jpg")
    assert str(refusal.value) == "cannot read the file: No such file or directory"


def test_a_folder_is_no_image(tmp_path):
    with pytest.raises(ImageReadError) as refusal:
        read_image(tmp_path)
    assert str(refusal.value) == "cannot read the file: Is a directory"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_pipe_is_no_image_and_nobody_waits_for_it(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    with pytest.raises(ImageReadError) as refusal:
        read_image(tmp_path / "pipe.jpg")
    assert str(refusal.value) == "cannot read the file: it is not a regular file"


@needs_rights
def test_a_file_without_rights_is_a_read_error(picture):
    picture.chmod(0)
    with pytest.raises(ImageReadError) as refusal:
        read_image(picture)
    assert str(refusal.value) == "cannot read the file: Permission denied"


def test_a_file_that_fails_while_it_is_read_is_a_read_error(picture, monkeypatch):
    def fail(_: Path) -> bytes:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(Path, "read_bytes", fail)
    with pytest.raises(ImageReadError) as refusal:
        read_image(picture)
    assert str(refusal.value) == "cannot read the file: Input/output error"


@pytest.mark.parametrize(
    "name", ["with space.png", "line\nbreak.png", "Schädel-脑.png", "quote'\".png", "-o.png"]
)
def test_a_file_is_read_whatever_its_name(tmp_path, name):
    (tmp_path / name).write_bytes(encoded(noise(40, 60), ".png"))
    (path,) = ImageFiles([tmp_path])
    assert path == tmp_path / name
    assert read_image(path).shape == (40, 60)


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


def touched(folder: Path, *names: str) -> list[Path]:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return [folder / name for name in names]


def test_files_come_by_name_at_any_depth(tmp_path):
    made = touched(tmp_path, "c.webp", "b/e.tif", "b/c/d.bmp", "b/a.jpg", "a.png")
    assert list(ImageFiles([tmp_path])) == made[::-1]


def test_paths_come_in_the_order_they_are_given(tmp_path):
    one, two, other = touched(tmp_path, "z/1.png", "z/2.png", "a/3.png")
    files = ImageFiles([tmp_path / "z", other, one])
    assert list(files) == [one, two, other, one]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_the_case_of_a_suffix_does_not_matter(tmp_path, suffix):
    expected = touched(tmp_path, f"a{suffix}", f"b{suffix.upper()}")
    assert list(ImageFiles([tmp_path])) == expected


def test_other_files_are_skipped_and_counted_each_time(tmp_path):
    (image,) = touched(tmp_path, "a.png")
    touched(tmp_path, "notes.txt", "b/scan.dcm", "b/jpg", "c.jpg.part")
    files = ImageFiles([tmp_path])
    for _ in range(2):
        assert list(files) == [image]
        assert files.skipped == 4


def test_hidden_files_and_folders_are_passed_over(tmp_path):
    (image,) = touched(tmp_path, "a.png")
    touched(tmp_path, "._a.png", ".cache/b.png")
    files = ImageFiles([tmp_path])
    assert list(files) == [image]
    assert files.skipped == 0


def test_a_file_that_is_named_counts_whatever_it_is_called(tmp_path):
    paths = touched(tmp_path, "scan", ".hidden.png", "notes.txt")
    assert list(ImageFiles(paths)) == paths


def test_a_hidden_folder_that_is_named_counts(tmp_path):
    (image,) = touched(tmp_path, ".set/a.png")
    assert list(ImageFiles([tmp_path / ".set"])) == [image]


def test_a_link_that_leads_back_is_not_followed(tmp_path):
    (image,) = touched(tmp_path, "a/b/c.png")
    (tmp_path / "a/b/up").symlink_to(tmp_path / "a")
    (tmp_path / "a/b/self").symlink_to(".")
    assert list(ImageFiles([tmp_path])) == [image]


def test_a_link_to_another_folder_is_followed(tmp_path):
    touched(tmp_path, "far/a.png")
    (tmp_path / "set").mkdir()
    (tmp_path / "set/link").symlink_to(tmp_path / "far")
    assert list(ImageFiles([tmp_path / "set"])) == [tmp_path / "set/link/a.png"]


def test_a_link_to_itself_or_to_nothing_is_a_file_that_cannot_be_read(tmp_path):
    (tmp_path / "loop.jpg").symlink_to("loop.jpg")
    (tmp_path / "nothing.jpg").symlink_to("nowhere.jpg")
    (tmp_path / "turn").symlink_to("turn")
    files = ImageFiles([tmp_path])
    loop, nothing = files
    assert files.skipped == 1
    with pytest.raises(ImageReadError, match="Too many levels of symbolic links"):
        read_image(loop)
    with pytest.raises(ImageReadError, match="No such file or directory"):
        read_image(nothing)


def refuse_to_list(monkeypatch: pytest.MonkeyPatch, refused: Path) -> None:
    scandir = os.scandir

    def list_folder(folder: Path):
        if folder == refused:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(folder))
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", list_folder)


def test_a_folder_that_cannot_be_listed_comes_itself_and_the_rest_goes_on(tmp_path, monkeypatch):
    first, _, last = touched(tmp_path, "a.png", "b/hidden.png", "c.png")
    refuse_to_list(monkeypatch, tmp_path / "b")
    assert list(ImageFiles([tmp_path])) == [first, tmp_path / "b", last]


@needs_rights
def test_a_folder_without_rights_tells_why(tmp_path):
    touched(tmp_path, "a/b.png")
    (tmp_path / "a").chmod(0)
    try:
        (path,) = ImageFiles([tmp_path])
        with pytest.raises(ImageReadError, match="Permission denied"):
            read_image(path)
    finally:
        (tmp_path / "a").chmod(0o700)


def test_files_are_found_as_they_are_asked_for(tmp_path):
    expected = touched(tmp_path, *(f"{number:03}.png" for number in range(100)))
    assert list(islice(ImageFiles([tmp_path]), 3)) == expected[:3]


@pytest.mark.parametrize("name", ["missing", "missing/a.png", "a" * 300])
def test_a_path_that_is_not_there_is_refused_at_once(tmp_path, name):
    with pytest.raises(FolderNotFoundError) as refusal:
        ImageFiles([tmp_path, tmp_path / name])
    assert str(refusal.value) == f"no such file or folder: {tmp_path / name}"
