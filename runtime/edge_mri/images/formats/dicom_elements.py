"""The elements of a DICOM file that are read: what leads to its pixels, and what they show."""

import re
from io import BytesIO
from typing import Any, Literal

import pydicom
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import RawDataElement
from pydicom.tag import Tag

from edge_mri.errors import ImageDecodeError

_PIXEL_DATA = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
_TAG_OF_PIXELS = (b"\xe0\x7f\x10\0", b"\x7f\xe0\0\x10")  # in both byte orders
_END_OF_FRAMES = b"\xfe\xff\xdd\xe0\0\0\0\0"

_WANTED = (
    *("SOPClassUID", "Modality", "BodyPartExamined", "AnatomicRegionSequence"),
    "SeriesInstanceUID",
    *("SamplesPerPixel", "PhotometricInterpretation", "PlanarConfiguration", "NumberOfFrames"),
    *("Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation"),
    *_PIXEL_DATA,
    *("ExtendedOffsetTable", "ExtendedOffsetTableLengths"),
    *("RescaleSlope", "RescaleIntercept", "ModalityLUTSequence"),
    *("WindowCenter", "WindowWidth", "VOILUTFunction", "VOILUTSequence"),
    *(f"{colour}PaletteColorLookupTableDescriptor" for colour in ("Red", "Green", "Blue")),
    *(f"{colour}PaletteColorLookupTableData" for colour in ("Red", "Green", "Blue")),
    *(f"Segmented{colour}PaletteColorLookupTableData" for colour in ("Red", "Green", "Blue")),
    "InstanceNumber",
    *("ImageOrientationPatient", "ImagePositionPatient", "PixelSpacing", "PixelAspectRatio"),
    *("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"),
)


_TAGS = {name: Tag(name) for name in (*_WANTED, "TransferSyntaxUID")}
_KINDS = {name: dictionary_VR(tag) for name, tag in _TAGS.items()}
_WORD = re.compile(rb"[A-Za-z0-9_.]+[ \0]?")
_OF_NUMBERS = frozenset(b"0123456789+-.eE\\ ")


_LIST = [_TAGS[name] for name in _WANTED]


def value(header: Any, keyword: str) -> Any:
    """Return the value of a wanted element, None where it is not there.

    As `header.get` does, which takes several times as long: a small image's header takes longer
    than its pixels. Plain numbers and plain words are read here, all others by pydicom.
    """
    element = header.get_item(_TAGS[keyword])
    if element is None:
        return None
    plain = _plain(element, _KINDS[keyword]) if isinstance(element, RawDataElement) else None
    return header[_TAGS[keyword]].value if plain is None else plain


def _plain(element: RawDataElement, kind: str) -> float | str | list[float] | None:
    """Read an element as it lies in the file; None where it is not of the simplest form."""
    data = element.value
    if not data or element.VR not in (kind, None):
        return None
    if kind == "US":
        order: Literal["little", "big"] = "little" if element.is_little_endian else "big"
        return int.from_bytes(data, order) if len(data) == 2 else None
    if kind == "DS" and _OF_NUMBERS.issuperset(data):
        try:
            numbers = [float(one) for one in data.split(b"\\")]
        except ValueError:
            return None
        return numbers if len(numbers) > 1 else numbers[0]
    if kind == "IS" and data.strip(b" ").isdigit():
        return int(data)
    if kind in ("CS", "UI") and _WORD.fullmatch(data):
        return str(data.rstrip(b" \0"), "ascii")
    return None


class FrameElements:
    """The elements of a file's frames: in the functional group of each, in that of all, or alone.

    Args:
        header: Of the file.
    """

    def __init__(self, header: Any) -> None:
        self.header = header
        self._per_frame = value(header, "PerFrameFunctionalGroupsSequence") or []
        self._common = (value(header, "SharedFunctionalGroupsSequence") or [])[:1]

    def find(self, index: int, group: str, keyword: str, *, shared: bool = True) -> Any:
        """Find an element of a frame; None where it is not told.

        Args:
            index: Of the frame, from 0.
            group: Its functional group, such as `PlanePosition`.
            keyword: Its name.
            shared: Whether what is said of all frames together counts.
        """
        for item in (*self._per_frame[index : index + 1], *(self._common if shared else ())):
            sequence = item.get(f"{group}Sequence")
            if sequence and sequence[0].get(keyword) is not None:
                return sequence[0].get(keyword)
        return value(self.header, keyword) if shared else None


def parsed(data: bytes) -> Any:
    """Read the wanted elements of a data set that holds pixels.

    Raises:
        ImageDecodeError: It holds none, or they are cut off.
    """

    def parse(whole: bytes) -> Any:
        return pydicom.dcmread(BytesIO(whole), force=True, specific_tags=_LIST)

    header = parse(data)
    if not any(_TAGS[name] in header for name in _PIXEL_DATA) and _has_pixels(data):
        header = parse(data + _END_OF_FRAMES)  # pydicom gives up where it is missing
        if "PixelData" in header and _ends_early(header.PixelData):
            raise ImageDecodeError("its compressed pixels are cut off")
    if not any(_TAGS[name] in header for name in _PIXEL_DATA):
        raise ImageDecodeError("the DICOM file holds no image")
    return header


def _has_pixels(data: bytes) -> bool:
    return any(tag in data for tag in _TAG_OF_PIXELS)


def _ends_early(fragments: bytes) -> bool:
    """Say whether the last of the compressed fragments is shorter than it says."""
    position = 0
    while position + 8 <= len(fragments):
        position += 8 + int.from_bytes(fragments[position + 4 : position + 8], "little")
    return position != len(fragments)
