"""Damaged image files: whole ones of every format, and what may befall their bytes.

The whole ones are drawings, and the test files of pydicom and nibabel where they are installed.
"""

import gzip
import random
import struct
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_mri.labels import Label
from edge_mri.phantom import draw_phantom

MAX_SEED_BYTES = 300_000
ODD_NUMBERS = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 60_000, 0x7FFFFFFF, 0xFFFFFFFF)


def whole_files() -> list[tuple[str, bytes]]:
    """Return a whole file of every kind, with a name for it, in a fixed order."""
    drawing = draw_phantom(Label("glioma", "axial"), size_px=96)
    deep = drawing.astype(np.uint16) * 16
    encodings: dict[str, tuple[str, NDArray[Any], list[int]]] = {
        "jpeg": (".jpg", drawing, []),
        "jpeg progressive": (".jpg", drawing, [cv2.IMWRITE_JPEG_PROGRESSIVE, 1]),
        "jpeg colour": (".jpg", cv2.cvtColor(drawing, cv2.COLOR_GRAY2BGR), []),
        "jpeg restarts": (".jpg", drawing, [cv2.IMWRITE_JPEG_RST_INTERVAL, 4]),
        "png": (".png", drawing, []),
        "png 16": (".png", deep, []),
        "png alpha": (".png", cv2.cvtColor(drawing, cv2.COLOR_GRAY2BGRA), []),
        "bmp": (".bmp", drawing, []),
        "webp": (".webp", drawing, [cv2.IMWRITE_WEBP_QUALITY, 80]),
        "webp lossless": (".webp", drawing, [cv2.IMWRITE_WEBP_QUALITY, 101]),
        "tiff": (".tif", drawing, []),
        "tiff 16": (".tif", deep, []),
        "tiff float": (".tif", drawing.astype(np.float32), []),
        "tiff lzw": (".tif", drawing, [cv2.IMWRITE_TIFF_COMPRESSION, 5]),
        "tiff jpeg": (".tif", drawing, [cv2.IMWRITE_TIFF_COMPRESSION, 7]),
    }
    files = [
        (name, bytes(cv2.imencode(suffix, pixels, options)[1]))
        for name, (suffix, pixels, options) in encodings.items()
    ]
    files.append(("tiff pages", bytes(cv2.imencodemulti(".tif", [drawing] * 3)[1])))
    if find_spec("pydicom"):
        import pydicom

        folder = Path(pydicom.__file__).parent / "data/test_files"
        files += [
            ("dicom " + path.stem, path.read_bytes()) for path in sorted(folder.glob("*.dcm"))
        ]
    if find_spec("nibabel"):
        import nibabel as nib

        volume = np.stack([drawing[::8, ::8]] * 6, axis=2)
        stored = nib.Nifti1Image(volume, np.eye(4)).to_bytes()
        files += [("nifti", stored), ("nifti gzip", gzip.compress(stored, mtime=0))]
        files.append(("nifti 2", nib.Nifti2Image(volume, np.eye(4)).to_bytes()))
    return [(name, data) for name, data in files if len(data) <= MAX_SEED_BYTES]


def damaged(files: list[tuple[str, bytes]], seed: int, number: int) -> tuple[str, bytes]:
    """Return the kind and the bytes of a case."""
    rng = random.Random(f"{seed}/{number}")
    name, whole = rng.choice(files)
    if name.startswith("dicom") and rng.random() < 0.6:  # they are many: less of each
        name, whole = rng.choice(files[:16])
    data = bytearray(whole)
    for _ in range(rng.choice((1, 1, 2, 4))):
        if data:
            _DAMAGES[rng.randrange(len(_DAMAGES))](data, rng, files)
    return name, bytes(data)


def _cut(data: bytearray, rng: random.Random, _: object) -> None:
    del data[rng.randrange(len(data)) :]


def _cut_and_end(data: bytearray, rng: random.Random, _: object) -> None:
    tail = bytes(data[-rng.choice((2, 12, 64)) :])
    del data[rng.randrange(len(data)) :]
    data += tail


def _flip(data: bytearray, rng: random.Random, _: object) -> None:
    for _ in range(rng.choice((1, 3, 10, 100))):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def _flip_header(data: bytearray, rng: random.Random, _: object) -> None:
    for _ in range(rng.choice((1, 3, 10))):
        data[rng.randrange(min(len(data), 512))] = rng.randrange(256)


def _odd_number(data: bytearray, rng: random.Random, _: object) -> None:
    kind = rng.choice(("<H", ">H", "<I", ">I"))
    size = struct.calcsize(kind)
    position = rng.randrange(max(min(len(data), rng.choice((64, 512, 1 << 30))) - size, 1))
    value = rng.choice(ODD_NUMBERS) & (256**size - 1)
    data[position : position + size] = struct.pack(kind, value)


def _other_header(data: bytearray, rng: random.Random, files: list[tuple[str, bytes]]) -> None:
    length = rng.choice((2, 8, 32, 132, 352))
    data[:length] = rng.choice(files)[1][:length]


def _leave_out(data: bytearray, rng: random.Random, _: object) -> None:
    start = rng.randrange(len(data))
    del data[start : start + rng.choice((1, 2, 16, 256))]


def _repeat(data: bytearray, rng: random.Random, _: object) -> None:
    start = rng.randrange(len(data))
    part = data[start : start + rng.choice((1, 16, 256, 4096))]
    data[start:start] = part * rng.choice((1, 2, 50))


def _blank(data: bytearray, rng: random.Random, _: object) -> None:
    start = rng.randrange(len(data))
    length = min(rng.choice((4, 64, 4096)), len(data) - start)
    data[start : start + length] = bytes([rng.choice((0, 255))]) * length


_DAMAGES = (
    *(_cut, _cut_and_end, _flip, _flip_header, _odd_number, _odd_number),
    *(_other_header, _leave_out, _repeat, _blank),
)
