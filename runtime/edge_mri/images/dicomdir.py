"""Which files a DICOMDIR lists. Needs the extra `dicom`."""

from io import BytesIO
from pathlib import PurePath
from typing import Any

import pydicom

from edge_mri.errors import ImageDecodeError
from edge_mri.images.opening import read_file
from edge_mri.process.quiet import keep_pydicom_quiet
from edge_mri.remote.url import Place


def referenced_files(dicomdir: Place) -> list[Place]:
    """Return the image files that a DICOMDIR refers to, in its order.

    A reference that leads out of the DICOMDIR's folder is left out. Files that are not there come
    all the same: reading them tells.

    Raises:
        ImageError: It cannot be read, or is no DICOMDIR.
    """
    data = read_file(dicomdir)
    keep_pydicom_quiet()
    try:
        header: Any = pydicom.dcmread(BytesIO(data), specific_tags=["DirectoryRecordSequence"])
        records = list(header.DirectoryRecordSequence)
        names = [_parts(record.get("ReferencedFileID")) for record in records if _is_image(record)]
    except Exception as error:  # pydicom on hostile bytes: nearly any there is
        raise ImageDecodeError(f"not a DICOMDIR, or damaged ({type(error).__name__})") from error
    return [dicomdir.parent.joinpath(*parts) for parts in names if _stays_below(parts)]


def _is_image(record: Any) -> bool:
    return record.get("DirectoryRecordType") == "IMAGE" and bool(record.get("ReferencedFileID"))


def _parts(identifier: Any) -> tuple[str, ...]:
    return (identifier,) if isinstance(identifier, str) else tuple(map(str, identifier))


def _stays_below(parts: tuple[str, ...]) -> bool:
    return all(part not in ("", ".", "..") and PurePath(part).name == part for part in parts)
