"""What an image file is before anyone looks at its pixels: format, size, channels, depth.

Read from its header by Pillow, which knows the formats; pixels are decoded by `edge_mri.images`.
"""

import io
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageFile, UnidentifiedImageError

_CHANNELS = {"1": 1, "L": 1, "P": 1, "I;16": 1, "I": 1, "F": 1, "LA": 2, "RGB": 3, "YCbCr": 3}
_DEPTHS = {"1": 1, "I;16": 16, "I;16B": 16, "I": 32, "F": 32}
_DEEP = ";16"  # in a raw mode: Pillow gives 16-bit colour as 8-bit


@dataclass(frozen=True)
class FileFacts:
    """The header of an image file.

    Attributes:
        format: Such as `JPEG` or `PNG`.
        width_px: Width as stored.
        height_px: Height as stored.
        channels: 1 grey or palette, 2 grey and alpha, 3 colour, 4 colour and alpha.
        bit_depth: Bits per channel.
        size_bytes: Of the file.
        jpeg_quantization: Mean of the JPEG quantisation tables, 0 for other formats; the lower,
            the better the quality.
    """

    format: str
    width_px: int
    height_px: int
    channels: int
    bit_depth: int
    size_bytes: int
    jpeg_quantization: float = 0.0


def read_facts(data: bytes) -> FileFacts:
    """Read a file's header; a format that Pillow does not know gets the name `unknown`."""
    try:
        with Image.open(io.BytesIO(data)) as image:
            tables = getattr(image, "quantization", None) or {}
            return FileFacts(
                format=image.format or "unknown",
                width_px=image.width,
                height_px=image.height,
                channels=_CHANNELS.get(image.mode, len(image.getbands())),
                bit_depth=16 if _DEEP in _raw_mode(image) else _DEPTHS.get(image.mode, 8),
                size_bytes=len(data),
                jpeg_quantization=float(np.mean([np.mean(t) for t in tables.values()] or [0.0])),
            )
    except (UnidentifiedImageError, OSError, ValueError, Image.DecompressionBombError):
        return FileFacts("unknown", 0, 0, 0, 0, len(data))


def _raw_mode(image: ImageFile.ImageFile) -> str:
    return str(image.tile[0][3]) if image.tile else ""
