"""What of a stored DICOM file is needed to keep it, to judge it, and to answer about it.

Names of files and records are hashes of UIDs, as the readers make them of a series' UID: whoever
has the images can tell which is meant, nobody else.
"""

import hashlib
from contextlib import suppress
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom.uid import DeflatedExplicitVRLittleEndian

from edge_mri.errors import ImageDecodeError, ImageError
from edge_mri.images import Limits, read_file
from edge_mri.images.formats.deflated import inflated

_KEY = 32  # hexadecimal digits of a hash that names a file
SERIES, IMAGE = 12, 16
"""So many of them are told in records; for a series as the readers do."""

_WANTED = (
    *("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID"),
    *("InstanceNumber", "ImagePositionPatient", "ImageOrientationPatient"),
)


@dataclass(frozen=True)
class Instance:
    """A stored image.

    Attributes:
        kind: Its SOP class UID.
        uid: Its SOP instance UID.
        series_uid: Its series.
        place: Where it lies in its series: millimetres along the normal of its plane, and its
            number; 0 where the header does not say.
    """

    kind: str
    uid: str
    series_uid: str
    place: tuple[float, int] = (0.0, 0)

    @property
    def key(self) -> str:
        """What tells it from all others, hexadecimal."""
        return hashed(self.uid)

    @property
    def series(self) -> str:
        """The same of its series."""
        return hashed(self.series_uid)

    @classmethod
    def of(cls, path: Path, limits: Limits) -> "Instance":
        """Read it from a DICOM file, without its pixels.

        Raises:
            ImageError: It is no DICOM file, or does not say which image of which series it is.
            OSError: The system does not let it be read.
        """
        header = header_of(path, limits, _WANTED)
        wanted = ("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID")
        kind, uid, series, study = (str(header.get(name) or "") for name in wanted)
        if not (kind and uid and series and study):
            raise ImageDecodeError("its header does not say which image of which series it is")
        return cls(kind, uid, series, _place(header))


def header_of(path: Path, limits: Limits, names: tuple[str, ...]) -> Any:
    """Read some elements of a DICOM file that lie before its pixels.

    Raises:
        ImageError: It is none, or damaged.
        OSError: The system does not let it be read.
    """
    limits.check_bytes(path.stat().st_size)
    try:
        source: Any = path
        meta = pydicom.filereader.read_file_meta_info(path)
        if meta.TransferSyntaxUID == DeflatedExplicitVRLittleEndian:
            source = BytesIO(inflated(read_file(path, limits), limits))
        header = pydicom.dcmread(source, stop_before_pixels=True, specific_tags=list(names))
    except (ImageError, OSError):  # what the system refuses says nothing of the file
        raise
    except Exception as error:  # pydicom on hostile bytes: nearly any there is
        reason = f"not a DICOM file that can be read ({type(error).__name__})"
        raise ImageDecodeError(reason) from error
    return header


def hashed(uid: str) -> str:
    """Return what a UID is called outside DICOM."""
    return hashlib.sha256(uid.encode()).hexdigest()[:_KEY]


def _place(header: Any) -> tuple[float, int]:
    along, number = 0.0, 0
    with suppress(AttributeError, TypeError, ValueError, OverflowError):
        number = int(header.get("InstanceNumber") or 0)
    with suppress(AttributeError, TypeError, ValueError):
        directions = np.array([float(one) for one in header.ImageOrientationPatient])
        corner = np.array([float(one) for one in header.ImagePositionPatient])
        along = float(np.cross(directions[:3], directions[3:]) @ corner)
    return (round(along, 3) if np.isfinite(along) else 0.0), number
