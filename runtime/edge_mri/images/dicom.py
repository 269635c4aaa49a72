"""The frames of a DICOM file as grey pixels, by pydicom.

Uncompressed and compressed, one frame or many, MONOCHROME1 and 2, palettes and colour; deflated
data sets come through `edge_mri.images.deflated`. Values are rescaled, then shown through the
file's own window or lookup table; without one between two percentiles of the frame
(`edge_mri.images.grey.percentile_window`). Where the header says that pixels are not square, the
image is stretched until they are. Overlays are not drawn.

Nothing of the patient is read: of the header only the elements listed here are parsed, and no
message repeats what pydicom says of their values.
"""

import hashlib
from collections.abc import Iterator
from io import BytesIO
from typing import Any

import cv2
import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.encaps import generate_frames
from pydicom.multival import MultiValue
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
)

from edge_mri.errors import ImageDecodeError, ImageError, ImageSupportError
from edge_mri.images.deflated import inflated
from edge_mri.images.frame import Frame
from edge_mri.images.grey import Grey, apply_window, percentile_window, scale_bits
from edge_mri.images.headers import codestream_size
from edge_mri.images.limits import Limits
from edge_mri.images.picture import decode_picture
from edge_mri.images.plane import plane_across
from edge_mri.images.quiet import keep_pydicom_quiet
from edge_mri.images.square import square_pixels

# Decoders that fuzzing could not bring down; GDCM aborts the process (docs/decisions/0021).
_PLUGINS = ("pydicom", "pylibjpeg", "pyjpegls")
_OF_JPEG = (JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLossless, JPEGLosslessSV1)

_WANTED = (
    *("SOPClassUID", "Modality", "SeriesInstanceUID"),
    *("SamplesPerPixel", "PhotometricInterpretation", "PlanarConfiguration", "NumberOfFrames"),
    *("Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation"),
    *("PixelData", "FloatPixelData", "DoubleFloatPixelData"),
    *("ExtendedOffsetTable", "ExtendedOffsetTableLengths"),
    *("RescaleSlope", "RescaleIntercept", "ModalityLUTSequence"),
    *("WindowCenter", "WindowWidth", "VOILUTFunction", "VOILUTSequence"),
    *(f"{colour}PaletteColorLookupTableDescriptor" for colour in ("Red", "Green", "Blue")),
    *(f"{colour}PaletteColorLookupTableData" for colour in ("Red", "Green", "Blue")),
    *(f"Segmented{colour}PaletteColorLookupTableData" for colour in ("Red", "Green", "Blue")),
    *("ImageOrientationPatient", "PixelSpacing", "PixelAspectRatio"),
    *("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"),
)


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
            grey = square_pixels(image.grey(pixels, done), *image.pixel_sides(done), limits)
            yield Frame(grey, number, image.plane(done), image.series)
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
        self.header: Any = pydicom.dcmread(BytesIO(data), force=True, specific_tags=list(_WANTED))
        header = self.header
        if not any(
            name in header for name in ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
        ):
            raise ImageDecodeError("the DICOM file holds no image")
        self.count = int(header.get("NumberOfFrames") or 1)
        self._limits = limits
        self._sides = (int(header.Columns), int(header.Rows))
        limits.check_pixels(*self._sides)
        self._kind = str(header.get("PhotometricInterpretation", "MONOCHROME2"))
        if "TransferSyntaxUID" not in header.file_meta:  # found while reading, not told
            little, implicit = header.original_encoding[1], header.original_encoding[0]
            bare = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
            header.file_meta.TransferSyntaxUID = bare if little else ExplicitVRBigEndian
        self._syntax = header.file_meta.TransferSyntaxUID
        series = str(header.get("SeriesInstanceUID", ""))
        self.series = hashlib.sha256(series.encode()).hexdigest()[:12] if series else None
        self._is_luma = self._syntax == JPEGBaseline8Bit and self._kind.startswith("YBR")

    def stored_frames(self) -> Iterator[NDArray[Any]]:
        """Decode frame by frame to `(H, W)` or, in colour, `(H, W, 3)`, before any window."""
        if not self._syntax.is_encapsulated:
            for pixels, _ in get_decoder(self._syntax).iter_array(self.header):
                yield pixels
            return
        if self._syntax == JPEGBaseline8Bit and (self._is_luma or self._kind.startswith("MONO")):
            for stream in self._codestreams():
                yield decode_picture(stream, "jpeg", self._limits)
            return
        decoder = get_decoder(self._syntax)
        plugin = next((name for name in _PLUGINS if name in decoder.available_plugins), None)
        if plugin is None:
            if self._syntax in _OF_JPEG:
                raise ImageSupportError("dicom-jpeg", "pylibjpeg-libjpeg")
            raise ImageSupportError("dicom", "a decoder")
        arrays = decoder.iter_array(self.header, decoding_plugin=plugin)
        for _, (pixels, _) in zip(self._codestreams(), arrays, strict=False):
            yield pixels

    def _codestreams(self) -> Iterator[bytes]:
        """Give the compressed frames; one that claims another size than the header is a trap."""
        for stream in generate_frames(self.header.PixelData, number_of_frames=self.count):
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
        if self.header.get("ModalityLUTSequence"):
            pixels, slope, intercept = apply_modality_lut(pixels, self.header), 1.0, 0.0
        if self.header.get("VOILUTSequence"):
            table = self.header.VOILUTSequence[0]
            rescaled = np.rint(pixels * slope + intercept).astype(np.int32)
            return apply_window(
                apply_voi(rescaled, self.header), 0, 2 ** table.LUTDescriptor[2] - 1
            )
        center = _first(self._element(index, "FrameVOILUT", "WindowCenter"), None)
        width = _first(self._element(index, "FrameVOILUT", "WindowWidth"), None)
        if not slope or not np.isfinite(slope + intercept):
            slope, intercept = 1.0, 0.0
        if center is None or width is None or not 1 <= float(width) < np.inf:
            low, high = percentile_window(pixels)
            grey = apply_window(pixels, low, high)
            return 255 - grey if slope < 0 else grey
        shape = str(self._element(index, "FrameVOILUT", "VOILUTFunction") or "LINEAR")
        values = pixels.astype(np.float32) * np.float32(slope) + np.float32(intercept)
        return _through_window(values, float(center), float(width), shape)

    def plane(self, index: int) -> str | None:
        """Return the plane that the image's orientation in the patient says, or None."""
        directions = self._element(index, "PlaneOrientation", "ImageOrientationPatient")
        if directions is None or len(directions) != 6:
            return None
        cosines = np.asarray([float(value) for value in directions])
        return plane_across(np.cross(cosines[:3], cosines[3:]))

    def pixel_sides(self, index: int) -> tuple[float, float]:
        """Return width and height of a pixel in a common unit; `(1, 1)` where none is told."""
        sides = self._element(index, "PixelMeasures", "PixelSpacing")
        if sides is None or len(sides) != 2:
            sides = self.header.get("PixelAspectRatio")
        if sides is None or len(sides) != 2:
            return 1.0, 1.0
        height, width = (float(side) for side in sides)  # DICOM says rows first
        return width, height

    def _element(self, index: int, group: str, keyword: str) -> Any:
        """Find an element of a frame: in its functional group, the shared one, or the header."""
        per_frame = self.header.get("PerFrameFunctionalGroupsSequence") or []
        shared = self.header.get("SharedFunctionalGroupsSequence") or []
        for item in (*per_frame[index : index + 1], *shared[:1]):
            sequence = item.get(f"{group}Sequence")
            if sequence and sequence[0].get(keyword) is not None:
                return sequence[0].get(keyword)
        return self.header.get(keyword)


def _through_window(values: NDArray[np.float32], center: float, width: float, shape: str) -> Grey:
    """Apply a window as DICOM PS3.3 C.11.2.1.2 says."""
    if shape == "SIGMOID":
        exponent = np.clip(-4 * (values - center) / width, -80, 80)
        grey: Grey = np.rint(255 / (1 + np.exp(exponent))).astype(np.uint8)
        return grey
    if shape == "LINEAR_EXACT":
        return apply_window(values, center - width / 2, center + width / 2)
    return apply_window(values, center - 0.5 - (width - 1) / 2, center - 0.5 + (width - 1) / 2)


def _first(value: Any, default: Any) -> Any:
    """Return the first of a value that may be several, or empty."""
    if value is None or value == "":
        return default
    if isinstance(value, MultiValue | list):
        return value[0] if value else default
    return value
