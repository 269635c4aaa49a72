"""What a file's first bytes say: its format, and for pictures the size that decoding would take.

Names and suffixes say nothing here. Only what is recognised is given to a decoder, and only after
its size is known to be allowed: a few bytes may claim billions of pixels.
"""

import struct
from typing import Literal

from edge_mri.errors import ImageDecodeError

Format = Literal["jpeg", "png", "tiff", "bmp", "webp", "dicom", "nifti", "gzip"]

FIRST_BYTES = 352  # what `format_of` needs to see: a NIfTI-1 header names itself at byte 344

_TIFF_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_JP2_START = b"\0\0\0\x0cjP  "
_FIRST_VALUES = frozenset({b"UI", b"UL", b"OB", b"CS", b"DA", b"TM", b"DT", b"LO", b"SH"})
_NIFTI_MAGIC = (b"n+1\0", b"ni1\0")
_NIFTI_2_MAGIC = (b"n+2\0\r\n\x1a\n", b"ni2\0\r\n\x1a\n")
_FRAMES_OF_JPEG = frozenset({*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC})  # F7: JPEG-LS
_ALONE_IN_JPEG = frozenset({0x01, *range(0xD0, 0xD9)})


def format_of(start: bytes) -> Format | None:
    """Return the format of a file that starts with these bytes, or None."""
    if start.startswith(b"\xff\xd8"):
        return "jpeg"
    if start.startswith(b"\x89PNG\r\n\x1a\n"):
        return "png"
    if start.startswith(_TIFF_STARTS) and start[128:132] != b"DICM":
        return "tiff"
    if start[:4] == b"RIFF" and start[8:12] == b"WEBP":
        return "webp"
    if start[128:132] == b"DICM" or _is_bare_dicom(start):
        return "dicom"
    if start[344:348] in _NIFTI_MAGIC or start[4:12] in _NIFTI_2_MAGIC:
        return "nifti"
    if start.startswith(b"\x1f\x8b"):
        return "gzip"
    if start.startswith(b"BM"):
        return "bmp"
    return None


def picture_size(data: bytes, kind: Format) -> tuple[int, int]:
    """Return the `(width, height)` that the header of a JPEG, PNG, BMP or WebP file claims.

    Raises:
        ImageDecodeError: The header is cut off, or says nothing of a size.
    """
    try:
        width, height = _SIZES[kind](data)
    except (struct.error, IndexError) as error:
        raise ImageDecodeError(f"the {kind.upper()} header is cut off") from error
    if width < 1 or height < 1:
        raise ImageDecodeError(f"the {kind.upper()} header claims {width} x {height} pixels")
    return width, height


def codestream_size(stream: bytes) -> tuple[int, int] | None:
    """Return the `(width, height)` that a compressed DICOM frame claims; None if it has no header.

    The JPEG family (JPEG, JPEG-LS) and JPEG 2000, bare or in a JP2 file.
    """
    try:
        if stream.startswith(b"\xff\xd8"):
            return _size_of_jpeg(stream)
        if stream.startswith(_JP2_START):
            _check_boxes(stream)
        start = stream.find(b"\xff\x4f\xff\x51", 0, 4096)
        if start < 0:
            return None
        right, bottom, left, top = struct.unpack_from(">IIII", stream, start + 8)
    except (struct.error, IndexError) as error:
        raise ImageDecodeError("the header of a compressed frame is cut off") from error
    return right - left, bottom - top


def is_progressive(jpeg: bytes) -> bool:
    """Say whether a JPEG's scans refine one another; its header must have been read already."""
    return jpeg[_frame_of_jpeg(jpeg) + 1] in (0xC2, 0xC6, 0xCA, 0xCE)


def _check_boxes(stream: bytes) -> None:
    """Refuse a JP2 file with a box that has no length: pydicom would go round in a circle."""
    position = 0
    while position < len(stream):
        length, kind = struct.unpack_from(">I4s", stream, position)
        if kind == b"jp2c":
            return
        if length < 8:
            raise ImageDecodeError("a box of the compressed frame has no length")
        position += length


def _is_bare_dicom(start: bytes) -> bool:
    """Recognise a data set without preamble: it begins with group 2 or 8, low elements first."""
    order: Literal["little", "big"] = "little" if start[1:2] == b"\0" else "big"
    group = start[:2] if order == "little" else start[1::-1]
    if group not in (b"\x02\0", b"\x08\0"):
        return False
    element = start[2:4] if order == "little" else start[3:1:-1]
    if start[4:6] in _FIRST_VALUES:  # a value representation
        return element[1:] == b"\0"
    first = element in (b"\0\0", b"\x01\0", b"\x05\0", b"\x08\0", b"\x12\0", b"\x16\0", b"\x18\0")
    return first and 0 < int.from_bytes(start[4:8], order) < 256


def _size_of_jpeg(data: bytes) -> tuple[int, int]:
    height, width = struct.unpack_from(">HH", data, _frame_of_jpeg(data) + 5)
    return width, height


def _frame_of_jpeg(data: bytes) -> int:
    """Return where the frame header's marker is."""
    position = 2
    while True:
        position = data.find(b"\xff", position)
        if position < 0:
            raise IndexError
        marker = data[position + 1]
        if marker in _FRAMES_OF_JPEG:
            return position
        if marker in (0xD9, 0xDA):
            raise ImageDecodeError("the JPEG has no frame header before its scan")
        if marker == 0xFF:
            position += 1
        elif marker == 0 or marker in _ALONE_IN_JPEG:
            position += 2
        else:
            position += 2 + max(struct.unpack_from(">H", data, position + 2)[0], 2)


def _size_of_png(data: bytes) -> tuple[int, int]:
    width, height = struct.unpack_from(">II", data, 16)
    return width, height


def _size_of_bmp(data: bytes) -> tuple[int, int]:
    if struct.unpack_from("<I", data, 14)[0] == 12:
        width, height = struct.unpack_from("<HH", data, 18)
    else:
        width, height = struct.unpack_from("<ii", data, 18)
    return width, abs(height)


def _size_of_webp(data: bytes) -> tuple[int, int]:
    kind = data[12:16]
    if kind == b"VP8X":
        return 1 + int.from_bytes(data[24:27], "little"), 1 + int.from_bytes(data[27:30], "little")
    if kind == b"VP8L":
        bits = struct.unpack_from("<I", data, 21)[0]
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    width, height = struct.unpack_from("<HH", data, 26)
    return width & 0x3FFF, height & 0x3FFF


_SIZES = {
    "jpeg": _size_of_jpeg,
    "png": _size_of_png,
    "bmp": _size_of_bmp,
    "webp": _size_of_webp,
}
