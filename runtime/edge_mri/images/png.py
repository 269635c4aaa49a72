"""The chunks of a PNG file: whether they are whole, and what they say of the pixels' bits.

Decoding is `edge_mri.images.picture`. The check comes first because OpenCV 5.0 never returns from a
PNG with a chunk that is longer than the file.
"""

import struct
import zlib
from collections.abc import Iterator

from edge_mri.errors import ImageDecodeError


def check_png(data: bytes) -> int | None:
    """Walk through a PNG's chunks to its end.

    Returns:
        How many of its bits the sBIT chunk says are significant; None without one. They are the
        upper bits by the standard, the lower ones to writers that put 12-bit data into 16.

    Raises:
        ImageDecodeError: A chunk is cut off, or one that decoding needs fails its checksum.
    """
    bits = None
    for name, payload, checksum in _chunks(data):
        is_needed = not name[0] & 0x20
        if is_needed and zlib.crc32(payload, zlib.crc32(name)) != checksum:
            raise ImageDecodeError(f"the PNG is damaged: its {name!r} chunk fails its checksum")
        if name == b"sBIT":
            bits = max(payload[:3], default=None)
    return bits


def _chunks(data: bytes) -> Iterator[tuple[bytes, memoryview, int]]:
    """Give each chunk's name, payload and checksum, the IEND chunk as the last."""
    view = memoryview(data)
    position, name = 8, b""
    while name != b"IEND":
        if position + 12 > len(data):
            raise ImageDecodeError("the PNG is cut off: it has no IEND chunk")
        length, name = struct.unpack_from(">I4s", data, position)
        end = position + 8 + length
        if end + 4 > len(data):
            raise ImageDecodeError(f"the PNG is cut off in its {name!r} chunk")
        yield name, view[position + 8 : end], struct.unpack_from(">I", data, end)[0]
        position = end + 4
