"""A volume in two files, `.hdr` and `.img`, as the bytes of the one NIfTI file that it equals.

NIfTI-1, NIfTI-2 and Analyze 7.5, each file plain or gzipped. An Analyze header does not tell how
the volume lies in the patient, so its planes have no names.
"""

import gzip
import math
import struct
import zlib

from edge_mri.errors import ImageDecodeError
from edge_mri.remote.url import Place

HEADERS = (".hdr", ".hdr.gz")
VALUES = (".img", ".img.gz")

_GZIP = b"\x1f\x8b"
_HEADER_BYTES = (348, 540)  # NIfTI-1 or Analyze, NIfTI-2
_FIRST_MAGIC, _SECOND_MAGIC = slice(344, 348), slice(4, 12)
_ORIENTATION = slice(252, 344)  # of NIfTI-1; Analyze has other things there
_NO_EXTENSION = bytes(4)
_FARTHEST = 2**40  # more is refused where values are read, and fits into the field here


def partners(path: Place) -> list[Place]:
    """Return the files that may hold the other half; none where the name is not one of a half."""
    name = path.name
    for own, others in ((HEADERS, VALUES), (VALUES, HEADERS)):
        for suffix in sorted(own, key=len, reverse=True):
            if name.lower().endswith(suffix) and len(name) > len(suffix):
                stem = name[: -len(suffix)]
                is_capital = name[len(stem) :].isupper()
                return [
                    path.with_name(stem + (other.upper() if is_capital else other))
                    for other in others
                ]
    return []


def is_pair_header(data: bytes) -> bool:
    """Say whether a file begins as a header whose values are in a second file."""
    start = _plain(data)
    order = _byte_order(start)
    if order is None or len(start) < _size(start, order):
        return False
    if _size(start, order) == 540:
        return start[_SECOND_MAGIC].startswith(b"ni2\0")
    return start[_FIRST_MAGIC] != b"n+1\0"


def one_file(header: bytes, values: bytes) -> bytes:
    """Join the two halves.

    Args:
        header: A file for which `is_pair_header` holds.
        values: The other file, plain or gzipped: it stays compressed.

    Raises:
        ImageDecodeError: There are no values.
    """
    if not values:
        raise ImageDecodeError("the file of its values is empty")
    start = bytearray(_plain(header))
    order = _byte_order(start) or "<"
    size = _size(start, order)
    del start[size:]
    place, kind = (108, "f") if size == 348 else (168, "q")
    if size == 348 and start[_FIRST_MAGIC] != b"ni1\0":
        start[_ORIENTATION] = bytes(_ORIENTATION.stop - _ORIENTATION.start)
    start[_FIRST_MAGIC if size == 348 else _SECOND_MAGIC] = (
        b"n+1\0" if size == 348 else b"n+2\0\r\n\x1a\n"
    )
    (skipped,) = struct.unpack_from(order + kind, start, place)
    skipped = min(max(skipped, 0), _FARTHEST) if math.isfinite(skipped) else 0
    offset = size + 4 + skipped
    struct.pack_into(order + kind, start, place, offset)
    whole = bytes(start) + _NO_EXTENSION
    return (gzip.compress(whole, 1) if values.startswith(_GZIP) else whole) + values


def _plain(data: bytes) -> bytes:
    """Return the first bytes of what a file holds, inflated where it is gzipped."""
    if not data.startswith(_GZIP):
        return data[:540]
    try:
        return zlib.decompressobj(wbits=31).decompress(data, 540)
    except zlib.error:
        return b""


def _byte_order(start: bytes | bytearray) -> str | None:
    return next((one for one in "<>" if _size(start, one) in _HEADER_BYTES), None)


def _size(start: bytes | bytearray, order: str) -> int:
    return int(struct.unpack_from(order + "i", start)[0]) if len(start) >= 4 else 0
