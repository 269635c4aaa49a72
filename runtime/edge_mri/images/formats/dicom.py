"""The frames of a DICOM file as grey pixels, by pydicom.

Uncompressed and compressed, one frame or many, MONOCHROME1 and 2, palettes and colour; deflated
data sets come through `edge_mri.images.formats.deflated`. Values are rescaled, then shown through
the file's own window or lookup table; without one, or where it leaves too few levels of grey, as
`edge_mri.images.pixels.deep` says. Where the header says that pixels are not square, the image is
stretched until they are. Overlays are not drawn.

Nothing of the patient is read: of the header only the elements of
`edge_mri.images.formats.dicom_elements` are parsed, and no message repeats what pydicom says of
their values.
"""

import hashlib
from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.encaps import generate_frames
from pydicom.pixels.decoders.base import get_decoder
from pydicom.pixels.processing import apply_color_lut, apply_modality_lut, apply_voi
from pydicom.uid import (
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    RLELossless,
)

from edge_mri.errors import ImageDecodeError, ImageError, ImageSupportError
from edge_mri.images.formats.deflated import inflated
from edge_mri.images.formats.dicom_elements import FrameElements, parsed, value
from edge_mri.images.formats.dicom_place import pixel_sides, plane, position
from edge_mri.images.formats.dicom_says import why_foreign
from edge_mri.images.formats.dicom_window import has_lost_levels, through_window
from edge_mri.images.formats.headers import codestream_size
from edge_mri.images.formats.picture import decode_picture
from edge_mri.images.pixels.deep import value_range, without_lone_pixels
from edge_mri.images.pixels.frame import Frame
from edge_mri.images.pixels.grey import Grey, apply_window, scale_bits
from edge_mri.images.pixels.limits import Limits
from edge_mri.images.pixels.square import square_pixels
from edge_mri.process.quiet import keep_pydicom_quiet

PLUGINS = ("pydicom", "pylibjpeg", "pyjpegls")
"""Decoders that fuzzing could not bring down; GDCM aborts the process (docs/decisions/0021)."""

_OF_JPEG = (JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLossless, JPEGLosslessSV1)


def dicom_frames(data: bytes, limits: Limits) -> Iterator[Frame]:
    """Decode the frames of a DICOM file one by one.

    Args:
        data: The file.
        limits: How many pixels one frame may have.

    Raises:
        ImageDecodeError: It holds no image, or is damaged.
        ImageSizeError: A frame has more pixels than `limits` allow.
        ImageSupportError: It is compressed in a way that needs a decoder that is not installed.
    """
    keep_pydicom_quiet()
    done = 0
    try:
        image = _DicomImage(inflated(data, limits), limits)
        for pixels in image.stored_frames():
            number = done + 1 if image.count > 1 else None
            grey = square_pixels(
                image.grey(pixels, done), *pixel_sides(image.elements, done), limits
            )
            yield Frame(
                grey,
                number,
                plane(image.elements, done),
                image.series,
                position(image.elements, done, image.count),
                image.why_foreign(done),
            )
            done += 1
    except ImageError:
        raise
    except Exception as error:  # pydicom and the decoders on hostile bytes: nearly any there is
        where = f"frame {done + 1}: " if done else ""
        raise ImageDecodeError(
            f"{where}not a DICOM image that can be decoded, or damaged ({type(error).__name__})"
        ) from error


class _DicomImage:
    """A parsed file: what is the same for all of its frames, and how each is shown."""

    def __init__(self, data: bytes, limits: Limits) -> None:
        self.header = header = parsed(data)
        self.elements = FrameElements(header)
        self.count = int(value(header, "NumberOfFrames") or 1)
        self._limits = limits
        self._sides = (int(header.Columns), int(header.Rows))
        limits.check_pixels(*self._sides)
        kind = value(header, "PhotometricInterpretation")
        self._kind = "MONOCHROME2" if kind is None else str(kind)
        self._pixels = value(header, "PixelData")
        if "TransferSyntaxUID" not in header.file_meta:  # found while reading, not told
            little, implicit = header.original_encoding[1], header.original_encoding[0]
            bare = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
            header.file_meta.TransferSyntaxUID = bare if little else ExplicitVRBigEndian
        self._syntax = header.file_meta.TransferSyntaxUID
        self._is_encapsulated = bool(self._syntax.is_encapsulated)
        series = str(value(header, "SeriesInstanceUID") or "")
        self.series = hashlib.sha256(series.encode()).hexdigest()[:12] if series else None
        self._is_luma = self._syntax == JPEGBaseline8Bit and self._kind.startswith("YBR")
        self._stored_bits, self._shift = self._alignment()
        self._require_whole()

    def _alignment(self) -> tuple[int, int]:
        """Return how many bits a value has and how many lie below it, as the header says.

        pydicom takes the lowest bits for it; where there are others below it is asked for all.
        """
        header = self.header
        stored, allocated = (
            int(value(header, name) or 0) for name in ("BitsStored", "BitsAllocated")
        )
        shift = int(value(header, "HighBit") or 0) + 1 - stored
        is_plain = not self._is_encapsulated or self._syntax == RLELossless
        if not is_plain or not 0 < shift <= allocated - stored or self._pixels is None:
            return stored, 0
        header.BitsStored, header.HighBit = allocated, allocated - 1
        return stored, shift

    def _require_whole(self) -> None:
        """Refuse pixel data that the file has only a part of; damage inside is for the decoders.

        Raises:
            ImageDecodeError: How many bytes there are, and how many there should be.
        """
        header = self.header
        if self._is_encapsulated or self._pixels is None:
            return
        bits = int(value(header, "BitsAllocated") or 0) * int(value(header, "SamplesPerPixel") or 1)
        if self._kind == "YBR_FULL_422":
            bits = bits * 2 // 3
        expected = (self._sides[0] * self._sides[1] * bits * max(self.count, 1) + 7) // 8
        if len(self._pixels) < expected:
            raise ImageDecodeError(
                f"its pixels are cut off: {len(self._pixels):,} of {expected:,} bytes"
            )

    def stored_frames(self) -> Iterator[NDArray[Any]]:
        """Decode frame by frame to `(H, W)` or, in colour, `(H, W, 3)`, before any window."""
        plain = self._plain_type()
        if plain is not None:
            stored = np.frombuffer(self._pixels, plain)
            shape = (self._sides[1], self._sides[0])
            for number in range(self.count):
                frame = stored[number * shape[0] * shape[1] :][: shape[0] * shape[1]]
                yield self._aligned(frame.reshape(shape).copy())
            return
        if not self._is_encapsulated:
            for pixels, _ in get_decoder(self._syntax).iter_array(self.header):
                yield self._aligned(pixels) if self._shift else pixels
            return
        if self._syntax == JPEGBaseline8Bit and (self._is_luma or self._kind.startswith("MONO")):
            for stream in self._codestreams():
                yield decode_picture(stream, "jpeg", self._limits)
            return
        decoder = get_decoder(self._syntax)
        plugin = next((name for name in PLUGINS if name in decoder.available_plugins), None)
        if plugin is None:
            if self._syntax in _OF_JPEG:
                raise ImageSupportError("dicom-jpeg", "pylibjpeg-libjpeg")
            raise ImageSupportError("dicom", "a decoder")
        arrays = decoder.iter_array(self.header, decoding_plugin=plugin)
        for _, (pixels, _) in zip(self._codestreams(), arrays, strict=False):
            yield self._aligned(pixels) if self._shift else pixels

    def _plain_type(self) -> str | None:
        """Return the type of grey values that lie there as they are, which is what MR has.

        None where pydicom is to say what they are: it takes as long as reading the header.
        """
        header = self.header
        allocated = int(value(header, "BitsAllocated") or 0)
        signed = value(header, "PixelRepresentation")
        is_plain = (
            self._syntax in (ExplicitVRLittleEndian, ImplicitVRLittleEndian)
            and self._kind in ("MONOCHROME1", "MONOCHROME2")
            and value(header, "SamplesPerPixel") == 1
            and allocated in (8, 16)
            and 0 < self._stored_bits <= allocated
            and signed in (0, 1)
            and min(self.count, *self._sides) > 0
            and self._pixels is not None
        )
        return f"<{'ui'[signed]}{allocated // 8}" if is_plain else None

    def _aligned(self, pixels: NDArray[Any]) -> NDArray[Any]:
        """Return values without the bits above and below them."""
        above = pixels.dtype.itemsize * 8 - self._stored_bits - self._shift
        if not above + self._shift:
            return pixels
        return (pixels << above) >> (above + self._shift)  # of signed values the sign comes along

    def _codestreams(self) -> Iterator[bytes]:
        """Give the compressed frames; one that claims another size than the header is a trap."""
        for stream in generate_frames(self._pixels, number_of_frames=self.count):
            claimed = codestream_size(stream)
            if claimed not in (None, self._sides):
                raise ImageDecodeError(
                    f"the header says {self._sides[0]} x {self._sides[1]} pixels, "
                    f"its compressed frame {claimed[0]} x {claimed[1]}"
                )
            yield stream

    def grey(self, pixels: NDArray[Any], index: int) -> Grey:
        """Show a stored frame as `(H, W)` uint8 through its rescaling and window."""
        if self._is_luma:
            return pixels
        if self._kind == "PALETTE COLOR":
            pixels = apply_color_lut(pixels, self.header)
        if pixels.ndim == 3:
            eight = pixels if pixels.dtype == np.uint8 else scale_bits(pixels.astype(np.uint16))
            return np.asarray(cv2.cvtColor(np.ascontiguousarray(eight), cv2.COLOR_RGB2GRAY))
        grey = self._windowed(pixels, index)
        return 255 - grey if self._kind == "MONOCHROME1" else grey

    def _windowed(self, pixels: NDArray[Any], index: int) -> Grey:
        slope = float(_first(self._element(index, "PixelValueTransformation", "RescaleSlope"), 1))
        intercept = float(
            _first(self._element(index, "PixelValueTransformation", "RescaleIntercept"), 0)
        )
        if value(self.header, "ModalityLUTSequence"):
            pixels, slope, intercept = apply_modality_lut(pixels, self.header), 1.0, 0.0
        if value(self.header, "VOILUTSequence"):
            table = self.header.VOILUTSequence[0]
            rescaled = np.rint(pixels * slope + intercept).astype(np.int32)
            return apply_window(
                apply_voi(rescaled, self.header), 0, 2 ** table.LUTDescriptor[2] - 1
            )
        center = _first(self._element(index, "FrameVOILUT", "WindowCenter"), None)
        width = _first(self._element(index, "FrameVOILUT", "WindowWidth"), None)
        if not slope or not np.isfinite(slope + intercept):
            slope, intercept = 1.0, 0.0
        whole = without_lone_pixels(pixels)
        if center is not None and width is not None and 1 <= float(width) < np.inf:
            shape = str(self._element(index, "FrameVOILUT", "VOILUTFunction") or "LINEAR")
            values = whole
            if (slope, intercept) != (1, 0) or whole.dtype.kind == "f" or whole.itemsize > 4:
                values = whole.astype(np.float32)
                values *= np.float32(slope)
                values += np.float32(intercept)
            grey = through_window(values, float(center), float(width), shape)
            if not has_lost_levels(grey, whole):
                return grey
        grey = apply_window(whole, *value_range(whole))
        return 255 - grey if slope < 0 else grey

    def why_foreign(self, index: int) -> str | None:
        """Return what the header says against being an MR image of a head; None: nothing."""
        part = str(value(self.header, "BodyPartExamined") or "")
        if not part:
            region = self._element(index, "FrameAnatomy", "AnatomicRegionSequence")
            part = str(region[0].get("CodeMeaning") or "") if region else ""
        modality, kind = (
            str(value(self.header, name) or "") for name in ("Modality", "SOPClassUID")
        )
        return why_foreign(modality, kind, part)

    def _element(self, index: int, group: str, keyword: str) -> Any:
        return self.elements.find(index, group, keyword)


def _first(value: Any, default: Any) -> Any:
    """Return the first of a value that may be several, or empty."""
    if value is None or value == "":
        return default
    if isinstance(value, pydicom.multival.MultiValue | list):
        return value[0] if value else default
    return value
