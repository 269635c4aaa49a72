"""The chunks of a PNG file: whether they are whole, and the still image among them.

Decoding is `edge_mri.images.formats.picture`. The check comes first because OpenCV 5.0 never
returns from a PNG with a chunk that is longer than the file. What animates an image is left out
because OpenCV 4.12 to 5.0 die of frames that are damaged (docs/decisions/0056): without it, a file
is the image that a decoder shows which knows no animations.
"""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from edge_mri.errors import ImageDecodeError

_ANIMATION = frozenset({b"acTL", b"fcTL", b"fdAT"})
_HEADER_BYTES = 13
_SIGNATURE_BYTES = 8


@dataclass(frozen=True)
class StillPng:
    """A PNG without animation.

    Attributes:
        data: The file up to its end, without the chunks that animate it.
        unread: How many more images the animation shows.
    """

    data: bytes
    unread: int


def still_png(data: bytes) -> StillPng:
    """Walk through a PNG's chunks to its end, and leave out those that animate it.

    Raises:
        ImageDecodeError: A chunk is cut off, or one that decoding needs fails its checksum; the
            header is not the first chunk.
    """
    view = memoryview(data)
    unread, has_pixels, moves = 0, False, False
    kept: list[memoryview] = [view[:_SIGNATURE_BYTES]]
    start = _SIGNATURE_BYTES
    for name, payload, checksum in _chunks(view):
        end = start + len(payload) + 12
        if (name == b"IHDR") != (start == _SIGNATURE_BYTES):
            raise ImageDecodeError("the PNG is damaged: its header is not its first chunk")
        is_needed = not name[0] & 0x20
        if is_needed and zlib.crc32(payload, zlib.crc32(name)) != checksum:
            raise ImageDecodeError(f"the PNG is damaged: its {name!r} chunk fails its checksum")
        has_pixels |= name == b"IDAT"
        if name in _ANIMATION:
            moves = True
            unread += has_pixels and name == b"fcTL"
        else:
            kept.append(view[start:end])
        start = end
    whole = b"".join(kept) if moves else data[:start]
    return StillPng(whole, unread)


def _chunks(view: memoryview) -> Iterator[tuple[bytes, memoryview, int]]:
    """Give each chunk's name, payload and checksum, the IEND chunk as the last."""
    position, name = _SIGNATURE_BYTES, b""
    while name != b"IEND":
        if position + 12 > len(view):
            raise ImageDecodeError("the PNG is cut off: it has no IEND chunk")
        length, name = struct.unpack_from(">I4s", view, position)
        end = position + 8 + length
        if end + 4 > len(view):
            raise ImageDecodeError(f"the PNG is cut off in its {name!r} chunk")
        yield name, view[position + 8 : end], struct.unpack_from(">I", view, end)[0]
        position = end + 4
