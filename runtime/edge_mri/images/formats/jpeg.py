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


def without_trailer(data: bytes) -> bytes:
    """Return a JPEG up to its end marker.

    Where one scan holds the whole image and the file ends with a marker, libjpeg reads no further
    than it must, and the file comes as it is: looking through it would take a twentieth of the
    time that decoding takes.

    Raises:
        ImageDecodeError: See `end_of_image`.
    """
    components = 0
    for marker, position in _markers(data):
        if marker in _SEQUENTIAL:
            components = int.from_bytes(data[position + 7 : position + 8], "big")
        if marker == _SCAN:
            of_scan = int.from_bytes(data[position + 2 : position + 3], "big")
            if of_scan == components and data.endswith(b"\xff\xd9"):
                return data
            break
    return data[: end_of_image(data)]


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


def _markers(data: bytes) -> Iterator[tuple[int, int]]:
    """Give the markers behind the first, and where the segment of each begins."""
    position = 2
    while found := _MARKER.search(data, position):
        marker, position = data[found.end() - 1], found.end()
        yield marker, position
        if marker not in (_START, _END, _ALONE):
            position += max(int.from_bytes(data[position : position + 2], "big"), 2)
