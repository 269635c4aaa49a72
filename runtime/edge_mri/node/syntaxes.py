"""What a node takes: MR images, in the transfer syntaxes that the readers can decode here.

No secondary captures and no reports: a node that took what it sends back would judge its answers.
"""

from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    UID,
    DeflatedExplicitVRLittleEndian,
    EnhancedMRColorImageStorage,
    EnhancedMRImageStorage,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    LegacyConvertedEnhancedMRImageStorage,
    MRImageStorage,
    RLELossless,
)

from edge_mri.images.formats.dicom import PLUGINS

KINDS: tuple[UID, ...] = (
    MRImageStorage,
    EnhancedMRImageStorage,
    EnhancedMRColorImageStorage,
    LegacyConvertedEnhancedMRImageStorage,
)

_PLAIN = (
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    ExplicitVRBigEndian,
    DeflatedExplicitVRLittleEndian,
)
_COMPRESSED = (
    JPEGLSLossless,
    JPEG2000Lossless,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    RLELossless,
    JPEGLosslessSV1,
    JPEGLossless,
    JPEGLSNearLossless,
    JPEG2000,
    HTJ2K,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
)


def readable() -> list[UID]:
    """Return the transfer syntaxes that can be decoded here, those without loss first."""
    return [*_PLAIN, *(one for one in _COMPRESSED if _has_decoder(one))]


def _has_decoder(syntax: UID) -> bool:
    if syntax == JPEGBaseline8Bit:  # OpenCV's
        return True
    return bool(set(PLUGINS) & set(get_decoder(syntax).available_plugins))
