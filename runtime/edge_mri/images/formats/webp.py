"""The first image of an animated WebP, as a file of its own.

Decoding is `edge_mri.images.formats.picture`. OpenCV would compose an animation on canvases of the
size that it claims, in four bytes a pixel and with no limit of its own (docs/decisions/0056); its
first image alone is decoded as any other WebP.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from edge_mri.errors import ImageDecodeError

_EXTENDED, _FRAME, _EXIF = b"VP8X", b"ANMF", b"EXIF"
_IMAGE, _ALPHA = (b"VP8 ", b"VP8L"), b"ALPH"
_ANIMATED, _HAS_ALPHA, _HAS_EXIF = 0x02, 0x10, 0x08
_EXIF_START = b"Exif\0\0"  # of a JPEG, but Pillow writes it here too; OpenCV expects none
_FRAME_BYTES = 16  # what an ANMF chunk says before its image
_START = 12  # behind RIFF, its length and WEBP


@dataclass(frozen=True)
class StillWebp:
    """A WebP without animation.

    Attributes:
        data: A file with the first image alone.
        unread: How many more images the animation shows.
        canvas: The animation's `(width, height)`, and where on it the upper left corner of the
            image lies; None where the image is the whole file.
    """

    data: bytes
    unread: int = 0
    canvas: tuple[tuple[int, int], tuple[int, int]] | None = None


def still_webp(data: bytes) -> StillWebp:
    """Return an animated WebP's first image, any other WebP as it is.

    Raises:
        ImageDecodeError: The animation is cut off, has no image, or one that lies outside it.
    """
    flags = data[_START + 8 : _START + 9]
    if data[_START : _START + 4] != _EXTENDED or not flags or not flags[0] & _ANIMATED:
        return StillWebp(data)
    images = [payload for name, payload in _chunks(data, _START) if name == _FRAME]
    if not images or len(images[0]) < _FRAME_BYTES:
        raise ImageDecodeError("the WebP is damaged: its animation has no image")
    left, top, width, height = (_number(images[0], at) for at in (0, 3, 6, 9))
    corner, sides = (2 * left, 2 * top), (width + 1, height + 1)
    canvas = (_number(data, _START + 12) + 1, _number(data, _START + 15) + 1)
    if any(at + side > whole for at, side, whole in zip(corner, sides, canvas, strict=True)):
        raise ImageDecodeError("the WebP is damaged: its first image is larger than the animation")
    is_whole = sides == canvas
    parts = dict(_chunks(images[0], _FRAME_BYTES))
    kept = {name: parts[name] for name in (_ALPHA, *_IMAGE) if name in parts}
    says = _HAS_ALPHA if _ALPHA in kept else 0
    exif = next((payload for name, payload in _chunks(data, _START) if name == _EXIF), None)
    if exif is not None and is_whole:
        kept[_EXIF], says = exif.removeprefix(_EXIF_START), says | _HAS_EXIF
    header = bytes([says, 0, 0, 0]) + images[0][6:12]
    body = b"".join(_chunk(name, payload) for name, payload in {_EXTENDED: header, **kept}.items())
    still = b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WEBP" + body
    return StillWebp(still, len(images) - 1, None if is_whole else (canvas, corner))


def _chunks(data: bytes, start: int) -> Iterator[tuple[bytes, bytes]]:
    """Give the name and the payload of each chunk."""
    position = start
    while position + 8 <= len(data):
        name, length = struct.unpack_from("<4sI", data, position)
        end = position + 8 + length
        if end > len(data):
            raise ImageDecodeError("the WebP is cut off")
        yield name, data[position + 8 : end]
        position = end + length % 2


def _chunk(name: bytes, payload: bytes) -> bytes:
    return name + struct.pack("<I", len(payload)) + payload + b"\0" * (len(payload) % 2)


def _number(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 3], "little")
