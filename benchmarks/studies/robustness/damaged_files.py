"""Damaged image files: whole ones of every format, and what may befall their bytes.

The whole ones are drawings, what Pillow writes of them where it is installed (animations, palettes,
run lengths, tiles and fax among them), and the test files of pydicom and nibabel.
"""

import gzip
import random
import struct
import tempfile
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_mri.labels import Label
from edge_mri.phantoms.phantom import draw_phantom
from structural_damage import ODD_NUMBERS, damage_structure

MAX_SEED_BYTES = 300_000


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
        "tiff jpeg": (
            *(".tif", drawing),
            [cv2.IMWRITE_TIFF_COMPRESSION, 7, cv2.IMWRITE_TIFF_ROWSPERSTRIP, 32],
        ),
    }
    files = [
        (name, bytes(cv2.imencode(suffix, pixels, options)[1]))
        for name, (suffix, pixels, options) in encodings.items()
    ]
    with tempfile.TemporaryDirectory() as place:  # OpenCV before 4.11 writes pages to files alone
        pages = Path(place) / "pages.tif"
        cv2.imwritemulti(str(pages), [drawing] * 3)
        files.append(("tiff pages", pages.read_bytes()))
    if find_spec("PIL"):
        files += _by_pillow(drawing)
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


def _by_pillow(drawing: NDArray[np.uint8]) -> list[tuple[str, bytes]]:
    from PIL import Image

    grey = Image.fromarray(drawing)
    colour = Image.merge("RGB", (grey, grey.rotate(90), grey.rotate(180)))
    clear = colour.copy()
    clear.putalpha(grey)
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = [image.rotate(angle) for image in (grey,) for angle in (0, 90, 180)]
    moving = {"save_all": True, "append_images": turned}
    moving_colour = {"save_all": True, "append_images": [colour.rotate(90), colour.rotate(180)]}
    written: dict[str, tuple[str, Any, dict[str, Any]]] = {
        "apng": ("PNG", grey, moving),
        "apng colour": ("PNG", colour, moving_colour),
        "apng default": ("PNG", clear, moving_colour | {"default_image": True}),
        "apng 16": ("PNG", Image.fromarray(drawing.astype(np.uint16) * 16), moving),
        "awebp": ("WEBP", colour, moving_colour),
        "awebp lossless": ("WEBP", clear, moving_colour | {"lossless": True, "exif": exif}),
        "png palette": ("PNG", colour.quantize(16), {"transparency": 3}),
        "png bits": ("PNG", grey.convert("1"), {"exif": exif}),
        "webp alpha": ("WEBP", clear, {"exif": exif}),
        "bmp bits": ("BMP", grey.convert("1"), {}),
        "bmp palette": ("BMP", colour.quantize(256), {}),
        "bmp alpha": ("BMP", clear, {}),
        "tiff deflate": ("TIFF", colour, {"compression": "tiff_adobe_deflate"}),
        "tiff packbits": ("TIFF", colour.quantize(64), {"compression": "packbits"}),
        "tiff fax": ("TIFF", grey.convert("1"), {"compression": "group4"}),
        "tiff fax 3": ("TIFF", grey.convert("1"), {"compression": "group3"}),
        "tiff jpeg colour": ("TIFF", colour, {"compression": "jpeg"}),
        "tiff alpha": ("TIFF", clear, {"compression": "tiff_lzw", "exif": exif}),
        "jpeg cmyk": ("JPEG", colour.convert("CMYK"), {}),
        "jpeg exif": ("JPEG", colour, {"exif": exif, "subsampling": "4:1:1"}),
        "jpeg mpo": ("MPO", colour, moving_colour),
    }
    files = []
    for name, (format_, image, options) in written.items():
        file = BytesIO()
        image.save(file, format=format_, **options)
        files.append((name, file.getvalue()))
    return [*files, ("bmp rle", _run_lengths(drawing)), ("apng second", _second_first(files[0][1]))]


def _run_lengths(drawing: NDArray[np.uint8]) -> bytes:
    """Write a BMP of 8 bits in run lengths, which neither OpenCV nor Pillow writes."""
    height, width = drawing.shape
    rows = bytearray()
    for row in drawing[::-1]:
        for start in range(0, width, 12):
            part = row[start : start + 12]
            alike = (part == part[0]).all()
            rows += bytes([len(part), part[0]] if alike else [0, len(part), *part])
        rows += b"\0\0"
    rows += b"\0\1"
    palette = b"".join(bytes([grey, grey, grey, 0]) for grey in range(256))
    header = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8, 1, len(rows), 0, 0, 256, 0)
    start = 14 + len(header) + len(palette)
    return b"BM" + struct.pack("<IHHI", start + len(rows), 0, 0, start) + header + palette + rows


def _second_first(apng: bytes) -> bytes:
    """Return an APNG whose first image comes before what animates it."""
    animation, pixels = apng.find(b"acTL") - 4, apng.find(b"IDAT") - 4
    end = pixels + 12 + int.from_bytes(apng[pixels : pixels + 4], "big")
    return apng[:animation] + apng[pixels:end] + apng[animation:pixels] + apng[end:]


def damaged(files: list[tuple[str, bytes]], seed: int, number: int) -> tuple[str, bytes]:
    """Return the kind and the bytes of a case."""
    rng = random.Random(f"{seed}/{number}")
    name, whole = rng.choice(files)
    if name.startswith("dicom") and rng.random() < 0.6:  # they are many: less of each
        name, whole = rng.choice(files[:16])
    if rng.random() < 0.5:
        whole = damage_structure(whole, rng)
        if rng.random() < 0.7:
            return name, whole
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
