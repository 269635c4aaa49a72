"""The markers of a JPEG file: where its image ends, and how many scans that has.

Decoding is `edge_mri.images.formats.picture`, sizes are `edge_mri.images.formats.headers`. What
stands behind the end is no part of the image: cameras and telephones put previews, depth maps and
notes there.
"""

import re
from collections.abc import Iterator

from edge_mri.errors import ImageDecodeError

MAX_SCANS = 200  # each costs as much as all pixels and may be a few bytes; encoders write about 10

# All but stuffed bytes, fill bytes and restarts, which stand within a scan.
_MARKER = re.compile(rb"\xff[^\0\xd0-\xd7\xff]", re.DOTALL)
_START, _END, _SCAN, _ALONE = 0xD8, 0xD9, 0xDA, 0x01
_SEQUENTIAL = frozenset({0xC0, 0xC1, 0xC9})
_SEGMENTS = frozenset(range(0xC0, 0xFF)) - {*range(0xD0, 0xDA)}  # what a length follows


def ends_with_its_scan(data: bytes) -> bool:
    """Say whether one scan holds the whole image and the file ends with a marker.

    Then libjpeg reads no further than it must, and the file can be given to it as it is: looking
    through it for its end would take a twentieth of the time that decoding takes.
    """
    return data.endswith(b"\xff\xd9") and _first_scan_is_all(data)


def _first_scan_is_all(data: bytes) -> bool:
    """Say whether the first scan holds all components of the image."""
    position, components = 2, 0
    while data.startswith(b"\xff", position) and position + 10 < len(data):  # as all write them
        marker = data[position + 1]
        if marker in _SEQUENTIAL:
            components = data[position + 9]
        elif marker == _SCAN:
            return data[position + 4] == components
        elif marker not in _SEGMENTS:
            break
        position += 2 + max(data[position + 2] << 8 | data[position + 3], 2)
    for marker, segment in _markers(data, position):
        if marker in _SEQUENTIAL:
            components = int.from_bytes(data[segment + 7 : segment + 8], "big")
        elif marker == _SCAN:
            return int.from_bytes(data[segment + 2 : segment + 3], "big") == components
    return False


def end_of_image(data: bytes) -> int:
    """Return where a JPEG's end marker ends, which is found as libjpeg finds it.

    Raises:
        ImageDecodeError: There is none before the file ends or another image begins, or there are
            more than `MAX_SCANS` scans.
    """
    scans = 0
    for marker, position in _markers(data):
        if marker == _END:
            return position
        if marker == _START:
            break
        scans += marker == _SCAN
        if scans > MAX_SCANS:
            raise ImageDecodeError(f"the JPEG has more than {MAX_SCANS} scans")
    raise ImageDecodeError("the JPEG is truncated: it has no end marker")


def _markers(data: bytes, position: int = 2) -> Iterator[tuple[int, int]]:
    """Give the markers behind the first, and where the segment of each begins."""
    while found := _MARKER.search(data, position):
        marker, position = data[found.end() - 1], found.end()
        yield marker, position
        if marker not in (_START, _END, _ALONE):
            position += max(int.from_bytes(data[position : position + 2], "big"), 2)
