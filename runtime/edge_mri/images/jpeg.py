"""The markers of a JPEG file: where its image ends, and how many scans that has.

Decoding is `edge_mri.images.picture`, sizes are `edge_mri.images.headers`. What stands behind the
end is no part of the image: cameras and telephones put previews, depth maps and notes there.
"""

import re

from edge_mri.errors import ImageDecodeError

MAX_SCANS = 200  # each costs as much as all pixels and may be a few bytes; encoders write about 10

# All but stuffed bytes, fill bytes and restarts, which stand within a scan.
_MARKER = re.compile(rb"\xff[^\0\xd0-\xd7\xff]", re.DOTALL)
_START, _END, _SCAN, _ALONE = 0xD8, 0xD9, 0xDA, 0x01


def without_trailer(data: bytes) -> bytes:
    """Return a JPEG up to its end marker, which is found as libjpeg finds it.

    Raises:
        ImageDecodeError: There is none before the file ends or another image begins, or there are
            more than `MAX_SCANS` scans.
    """
    position, scans = 2, 0
    while found := _MARKER.search(data, position):
        marker, position = data[found.end() - 1], found.end()
        if marker == _END:
            return data[:position]
        if marker == _START:
            break
        if marker == _ALONE:
            continue
        scans += marker == _SCAN
        if scans > MAX_SCANS:
            raise ImageDecodeError(f"the JPEG has more than {MAX_SCANS} scans")
        position += max(int.from_bytes(data[position : position + 2], "big"), 2)
    raise ImageDecodeError("the JPEG is truncated: it has no end marker")
