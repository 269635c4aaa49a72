"""DICOM files whose data set is deflated, inflated before pydicom sees them.

pydicom would inflate without bound; here no more comes out than a file may have bytes.
"""

import struct
import zlib

from edge_mri.errors import ImageDecodeError
from edge_mri.images.pixels.limits import Limits

_SYNTAX = b"\x02\0\x10\0UI"  # the element (0002,0010), its length follows
_DEFLATED = b"1.2.840.10008.1.2.1.99"
_DEFLATED_FRAMES = b"1.2.840.10008.1.2.8.1"
_FRAMES_PADDED = _DEFLATED_FRAMES + b"\0"
_EXPLICIT = b"1.2.840.10008.1.2.1\0"
_GROUP_LENGTH = b"\x02\0\0\0UL\x04\0"
_META_START = 132  # behind the preamble and DICM
_META_END = 4096  # or sooner


def inflated(data: bytes, limits: Limits) -> bytes:
    """Return a DICOM file as Explicit VR Little Endian; one that is not deflated as it is.

    Raises:
        ImageDecodeError: The deflated data are damaged, or deflated in another way.
        ImageSizeError: Inflated, the file has more bytes than `limits` allow.
    """
    if _DEFLATED not in data and _DEFLATED_FRAMES not in data:
        return data
    deflated = _SYNTAX + struct.pack("<H", len(_DEFLATED)) + _DEFLATED
    explicit = _SYNTAX + struct.pack("<H", len(_EXPLICIT)) + _EXPLICIT
    if _SYNTAX + struct.pack("<H", len(_FRAMES_PADDED)) + _FRAMES_PADDED in data[:_META_END]:
        raise ImageDecodeError(
            "its frames are deflated one by one; expected a deflated data set, or another transfer "
            "syntax"
        )
    start = _data_set(data)
    head = data[:start].replace(deflated, explicit)
    inflating = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        body = inflating.decompress(data[start:], limits.max_bytes + 1)
    except zlib.error as error:
        raise ImageDecodeError(f"the deflated DICOM data are damaged: {error}") from error
    limits.check_bytes(len(body))
    if not inflating.eof:
        raise ImageDecodeError("the deflated DICOM data are cut off")
    whole = head + body
    if _DEFLATED in whole or _DEFLATED_FRAMES in whole:  # what pydicom might inflate once more
        raise ImageDecodeError(
            "DICOM deflated in this way is not read; write it in another transfer syntax"
        )
    return whole


def _data_set(data: bytes) -> int:
    """Return where the data set begins, as the length of the group before it says."""
    value = _META_START + len(_GROUP_LENGTH)
    if data[_META_START:value] != _GROUP_LENGTH or len(data) < value + 4:
        raise ImageDecodeError("the deflated DICOM file does not say where its data begin")
    length: int = struct.unpack_from("<I", data, value)[0]
    return value + 4 + length
