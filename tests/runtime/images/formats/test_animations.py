"""Animated PNG and WebP: the still image is read, whatever state the other frames are in."""

import json
import struct
import zlib
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_mri.errors import ImageDecodeError
from edge_mri.images import decode_frames, decode_image
from edge_mri.images.reading import decode_stored
from edge_mri.labels import Label
from edge_mri.phantoms.phantom import draw_phantom

SIDE = 64


def noise(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 128, (SIDE, SIDE), np.uint8)


def deflated(image: np.ndarray, odd_row: int | None = None) -> bytes:
    """Deflate unfiltered rows; one may say that it is filtered in a way that there is not."""
    rows = [b"\0" + row.tobytes() for row in image]
    if odd_row is not None:
        rows[odd_row] = b"\x09" + rows[odd_row][1:]
    return zlib.compress(b"".join(rows))


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def apng(still: bytes, frames: list[bytes], order: str, after: bytes = b"") -> bytes:
    """A PNG of deflated parts; `order` puts a(cTL), I(DAT), f(cTL) and (f)d(AT) one by one."""
    header = struct.pack(">IIBBBBB", SIDE, SIDE, 8, 0, 0, 0, 0)
    data, number, left = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header), 0, iter(frames)
    for part in order:
        if part == "a":
            data += chunk(b"acTL", struct.pack(">II", order.count("f"), 0))
        elif part == "I":
            data += chunk(b"IDAT", still)
        elif part == "f":
            place = struct.pack(">IIIII", number, SIDE, SIDE, 0, 0)
            data += chunk(b"fcTL", place + struct.pack(">HHBB", 1, 10, 0, 0))
            number += 1
        else:
            data += chunk(b"fdAT", struct.pack(">I", number) + next(left))
            number += 1
    return data + chunk(b"IEND", b"") + after


def animated_webp(**options: object) -> bytes:
    pillow = pytest.importorskip("PIL.Image", reason="writes the file")
    first, *more = (pillow.fromarray(noise(seed)) for seed in range(3))
    file = BytesIO()
    first.save(file, "WEBP", save_all=True, append_images=more, lossless=True, **options)
    return file.getvalue()


ORDERS = [
    ("afIfdfd", 2),  # the still image is the first frame
    ("aIfdfd", 2),  # it is none
    ("Iafdfd", 2),  # what animates it comes after it
    ("fIafdfd", 2),
    ("afI", 0),
    ("aI", 0),
    ("Ifd", 1),  # nothing says that there are frames
]


@pytest.mark.parametrize(("order", "more"), ORDERS)
@pytest.mark.parametrize("frame", ["whole", "short", "cut", "empty", "damaged", "odd row"])
def test_the_still_image_of_an_animated_png_is_read(order, more, frame):
    whole = deflated(noise(1))
    damaged = bytearray(whole)
    damaged[len(whole) // 10] ^= 1
    body = {
        "whole": whole,
        "short": deflated(noise(1)[:30]),
        "cut": whole[:500],
        "empty": b"",
        "damaged": bytes(damaged),
        "odd row": deflated(noise(1), odd_row=30),
    }[frame]
    data = apng(deflated(noise()), [body] * 2, order)
    (found,) = decode_frames(data)
    np.testing.assert_array_equal(found.pixels, noise(), strict=True)
    assert (found.frame, found.unread) == (None, more)
    np.testing.assert_array_equal(decode_stored(data), noise())


def test_an_animated_png_of_sixteen_bits_keeps_them():
    """OpenCV cuts those of an animation to 8, and 12-bit data come out dark."""
    deep = noise().astype(np.uint16) * 16
    plain = bytes(cv2.imencode(".png", deep)[1])
    control = chunk(b"acTL", struct.pack(">II", 1, 0))
    place = struct.pack(">IIIIIHHBB", 0, SIDE, SIDE, 0, 0, 1, 10, 0, 0)
    moving = plain[:33] + control + chunk(b"fcTL", place) + plain[33:]
    np.testing.assert_array_equal(decode_image(moving), decode_image(plain))
    np.testing.assert_array_equal(decode_stored(moving), deep, strict=True)


def test_an_animated_png_without_a_still_image_is_refused():
    with pytest.raises(ImageDecodeError):
        decode_image(apng(b"", [deflated(noise())], "afd"))


@pytest.mark.parametrize("part", ["header", "still"])
def test_a_png_is_damaged_where_its_still_image_is(part):
    data = bytearray(apng(deflated(noise()), [deflated(noise())], "aIfd"))
    data[27 if part == "header" else data.find(b"IDAT") + 100] ^= 1
    name = "b'IHDR'" if part == "header" else "b'IDAT'"
    with pytest.raises(ImageDecodeError) as refusal:
        decode_image(bytes(data))
    assert str(refusal.value) == f"the PNG is damaged: its {name} chunk fails its checksum"


def test_a_png_has_one_header_and_that_first():
    data = apng(deflated(noise()), [], "I")
    for header in (chunk(b"acTL", bytes(8)) + data[8:33], data[8:33] * 2):
        with pytest.raises(ImageDecodeError) as refusal:
            decode_image(data[:8] + header + data[33:])
        reasons = (
            "the PNG is damaged: its header is not its first chunk",
            "the PNG header claims",
        )
        assert str(refusal.value).startswith(reasons)


@pytest.mark.parametrize("orientation", [1, 6])
def test_the_first_image_of_an_animated_webp_is_read(orientation):
    pillow = pytest.importorskip("PIL.Image", reason="writes the file")
    exif = pillow.Exif()
    exif[0x0112] = orientation
    (found,) = decode_frames(animated_webp(exif=exif))
    upright = noise() if orientation == 1 else np.rot90(noise(), -1)
    np.testing.assert_array_equal(found.pixels, upright)
    assert (found.frame, found.unread) == (None, 2)


def test_a_webp_whose_first_image_is_smaller_than_it_shows_it_in_its_place():
    data = bytearray(animated_webp())
    larger = (SIDE + 10 - 1).to_bytes(3, "little")
    data[24:27] = data[27:30] = larger
    frame = data.find(b"ANMF") + 8
    data[frame : frame + 6] = b"\x03\0\0\x02\0\0"  # in steps of two pixels
    shown = decode_image(bytes(data))
    assert shown.shape == (SIDE + 10, SIDE + 10)
    np.testing.assert_array_equal(shown[4 : 4 + SIDE, 6 : 6 + SIDE], noise())
    assert shown.sum() == noise().sum()
    assert decode_stored(bytes(data)).shape[:2] == (SIDE + 10, SIDE + 10)


def test_a_damaged_animated_webp_is_refused():
    whole = animated_webp()
    frame = whole.find(b"ANMF")
    reasons = {
        whole[: len(whole) - 100]: "the WebP is cut off",
        whole[:frame]: "the WebP is damaged: its animation has no image",
        whole[: frame + 14] + b"\xff\xff" + whole[frame + 16 :]: (
            "the WebP is damaged: its first image is larger than the animation"
        ),
        whole[: frame + 60] + bytes(500) + whole[frame + 560 :]: (
            "not an image in a known format, or damaged"
        ),
    }
    for data, reason in reasons.items():
        with pytest.raises(ImageDecodeError) as refusal:
            decode_image(data)
        assert str(refusal.value) == reason


def damaged_animations(folder: Path) -> list[Path]:
    """Animations with a row of a frame that is filtered in no known way, all checksums right.

    OpenCV 4.12 to 5.0 die of them.
    """
    drawing, paths = draw_phantom(Label("glioma", "axial"), size_px=SIDE), []
    folder.mkdir(parents=True, exist_ok=True)
    for row in range(9):
        frame = deflated(noise(1), odd_row=row)
        paths.append(folder / f"{row}.png")
        paths[-1].write_bytes(apng(deflated(drawing), [frame, frame], "aIfdfd"))
    return paths


def test_a_run_over_damaged_animations_has_a_record_of_each(process, tmp_path):
    """In a process of its own, which may die; then again with --resume."""
    folder, results = tmp_path / "in", tmp_path / "out.jsonl"
    folder.mkdir()
    (folder / "moving.webp").write_bytes(animated_webp())
    edge_mri = ("-m", "edge_mri", "infer", folder, "-o", results)
    first = process(*edge_mri)
    assert "\nanimations 1: of each one image was read, 2 more are in them\n" in first.err
    damaged_animations(folder)
    ended = process(*edge_mri, "--resume")
    records = [json.loads(line) for line in results.read_text().splitlines()]
    assert ended.code == 0
    assert "\nanimations 9: of each one image was read, 18 more are in them\n" in ended.err
    assert len(records) == 10
    assert {record["status"] for record in records} <= {"ok", "rejected"}
    assert not any("unread" in record for record in records)


def test_damaged_animations_are_trained_on_and_scored_as_their_still_images(process, tmp_path):
    pytest.importorskip("torch", reason="audit, split and evaluate are of the extra `train`")
    for name in ("glioma", "notumor"):
        damaged_animations(tmp_path / "set" / name)
    manifest = tmp_path / "split.csv"
    for command in (
        ("audit", tmp_path / "set"),
        ("split", tmp_path / "set", "--out", manifest),
        ("evaluate", "--no-reject", "--data", tmp_path / "set"),
    ):
        ended = process("-m", "edge_mri", *command)
        assert ended.code == 0, (command, ended)
