"""The pages of a TIFF file, each as a file of its own to a decoder.

Only what leads from page to page and says how large one is; decoding is
`edge_mri.images.formats.picture`. TIFF 6.0 and BigTIFF, both byte orders. Masks and reduced copies
of another page (NewSubfileType) are passed over. Alpha is called something unspecified: libtiff
would darken by it what is transparent.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from edge_mri.errors import ImageDecodeError
from edge_mri.images.pixels.limits import Limits

_SUBFILE_TYPE, _WIDTH, _HEIGHT, _SAMPLES, _PHOTOMETRIC = 254, 256, 257, 277, 262
_EXTRA_SAMPLES = 338
_WANTED = frozenset({_SUBFILE_TYPE, _WIDTH, _HEIGHT, _SAMPLES, _PHOTOMETRIC, _EXTRA_SAMPLES})
_REDUCED_OR_MASK = 0b101
_ALPHA, _UNSPECIFIED = 2, 0
# BYTE, SHORT, LONG, LONG8, and the same with a sign: libtiff takes a size from any of them.
_INTEGERS = {1: "B", 3: "H", 4: "I", 16: "Q", 6: "b", 8: "h", 9: "i", 17: "q"}


@dataclass(frozen=True)
class Page:
    """One page.

    Attributes:
        number: From 1, pages that are passed over count; None for the only one.
        data: The file with this page as its only one; valid until the next page is asked for.
        white_is_zero: Whether its brightest pixels are stored as 0.
    """

    number: int | None
    data: bytearray
    white_is_zero: bool


@dataclass(frozen=True)
class _Directory:
    number: int
    offset: int
    link: int  # where the offset of the next one is
    photometric: int | None
    samples: int
    alpha: int | None  # where it says that its one extra sample is alpha


@dataclass(frozen=True)
class _Layout:
    order: str
    header: tuple[int, str]  # where the first directory's offset is, and its type
    count: str
    entry: str
    value: int  # where in an entry its value is


_CLASSIC = ((4, "I"), "H", "HH8x", 8)
_BIG = ((8, "Q"), "Q", "HH16x", 12)


def pages(data: bytes, limits: Limits) -> Iterator[Page]:
    """Give the pages of a TIFF file one by one; which there are is known before the first.

    What a page costs does not depend on how many there are: the file is copied once, and for each
    page two offsets in the copy are changed, so that it is the first and that none follows, which
    libtiff would go through.

    Raises:
        ImageDecodeError: There is no page, or a page's directory is cut off, lies outside the file
            or shares its bytes with another.
        ImageSizeError: A page has more pixels than `limits` allow; or, behind the pages before,
            there are more directories than frames allowed.
    """
    order = "<" if data[:2] == b"II" else ">"
    layout = _Layout(order, *(_BIG if data[2:4] in (b"+\0", b"\0+") else _CLASSIC))
    directories, are_all = _directories(data, layout, limits)
    if not directories:
        raise ImageDecodeError("the TIFF has no page")
    copy = bytearray(data)
    for page in directories:
        struct.pack_into(order + layout.header[1], copy, layout.header[0], page.offset)
        struct.pack_into(order + layout.header[1], copy, page.link, 0)
        if page.alpha is not None:
            struct.pack_into(order + "H", copy, page.alpha, _UNSPECIFIED)
        inverted = page.photometric == 0 and page.samples == 1
        yield Page(page.number if len(directories) > 1 else None, copy, inverted)
    if not are_all:
        limits.refuse_more_frames()


def _directories(data: bytes, layout: _Layout, limits: Limits) -> tuple[list[_Directory], bool]:
    """Return the pages' directories, and whether there are no more than were looked at."""
    found: list[_Directory] = []
    seen: set[int] = set()
    left = len(data)
    offset = _number(data, layout, *layout.header, 1)
    while offset:
        if offset in seen:
            raise ImageDecodeError("the TIFF's pages lead back to an earlier one")
        if len(seen) == limits.max_frames:
            return found, False
        seen.add(offset)
        tags, places, link = _directory(data, layout, offset, len(seen))
        left -= link - offset
        if left < 0:  # or a small file could have many large directories
            raise ImageDecodeError("the TIFF is damaged: its pages' directories overlap")
        if not tags.get(_SUBFILE_TYPE, 0) & _REDUCED_OR_MASK:
            limits.check_pixels(tags.get(_WIDTH, 0), tags.get(_HEIGHT, 0))
            photometric, samples = tags.get(_PHOTOMETRIC), tags.get(_SAMPLES, 1)
            is_rgba = samples == 4 and tags.get(_EXTRA_SAMPLES) == _ALPHA
            alpha = places[_EXTRA_SAMPLES] if is_rgba else None
            found.append(_Directory(len(seen), offset, link, photometric, samples, alpha))
        offset = _number(data, layout, link, layout.header[1], len(seen))
    return found, True


def _directory(
    data: bytes, layout: _Layout, offset: int, page: int
) -> tuple[dict[int, int], dict[int, int], int]:
    """Return the tags that are wanted (first values), where these lie, and where the link is."""
    count = _number(data, layout, offset, layout.count, page)
    size = struct.calcsize(layout.order + layout.entry)
    start = offset + struct.calcsize(layout.order + layout.count)
    link = start + count * size
    if link > len(data):
        raise _cut_off(page)
    tags: dict[int, int] = {}
    places: dict[int, int] = {}
    entries = struct.iter_unpack(layout.order + layout.entry, data[start:link])
    for number, (tag, kind) in enumerate(entries):
        if tag in _WANTED and kind in _INTEGERS and tag not in tags:
            places[tag] = start + number * size + layout.value
            tags[tag] = _number(data, layout, places[tag], _INTEGERS[kind], page)
    return tags, places, link


def _number(data: bytes, layout: _Layout, position: int, kind: str, page: int) -> int:
    if position + struct.calcsize(layout.order + kind) > len(data):
        raise _cut_off(page)
    value: int = struct.unpack_from(layout.order + kind, data, position)[0]
    return value


def _cut_off(page: int) -> ImageDecodeError:
    return ImageDecodeError(f"the TIFF is cut off: page {page} is outside it")
