"""Phantoms as DICOM: a case is a series of slices in a study of its own, of no patient.

The head of a case becomes smaller towards the first and the last slice, and every slice shows what
its class says. Names, dates and UIDs come from the arguments alone: the same phantom is the same
file. Needs the extra `dicom`.
"""

import hashlib
from collections.abc import Iterator
from io import BytesIO
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filewriter import dcmwrite
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage

from edge_mri import __version__
from edge_mri.labels import Label

_DIRECTIONS = {
    "axial": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "coronal": ((1, 0, 0), (0, 0, -1), (0, 1, 0)),
    "sagittal": ((0, 1, 0), (0, 0, -1), (1, 0, 0)),
}
"""Of a plane's rows, of its columns, and from slice to slice, in the patient's coordinates."""

_SIDE_MM = 256.0
_DEPTH_MM = 80.0
_SMALLEST = 0.8  # the head in the outermost slices, relative to the middle
_DAY = "20000101"


def series_files(
    image: NDArray[np.uint8], label: Label, *, slices: int, seed: int, index: int
) -> Iterator[bytes]:
    """Give the DICOM files of a case, slice by slice.

    Args:
        image: `(S, S)` uint8, the phantom in the middle.
        label: Type and plane.
        slices: How many.
        seed: Of the set of phantoms.
        index: Of the phantom in its set.
    """
    case = f"{seed}-{label}-{index}-{image.shape[0]}-{slices}"
    along = np.linspace(-1, 1, slices) if slices > 1 else np.zeros(1)
    for number, place in enumerate(along.tolist(), start=1):
        scaled = _scaled(image, 1 - (1 - _SMALLEST) * place**2)
        yield _file(scaled, label, case, number, place * _DEPTH_MM / 2, _DEPTH_MM / slices)


def _scaled(image: NDArray[np.uint8], factor: float) -> NDArray[np.uint8]:
    side = image.shape[0]
    matrix = cv2.getRotationMatrix2D(((side - 1) / 2, (side - 1) / 2), 0, factor)
    return np.asarray(cv2.warpAffine(image, matrix, (side, side), flags=cv2.INTER_LINEAR), np.uint8)


def _file(
    image: NDArray[np.uint8], label: Label, case: str, number: int, place_mm: float, gap_mm: float
) -> bytes:
    rows, columns, across = (np.array(one, float) for one in _DIRECTIONS[str(label.plane)])
    spacing = round(_SIDE_MM / image.shape[0], 6)  # a decimal string has 16 characters
    gap_mm = round(gap_mm, 6)
    corner = across * place_mm - (rows + columns) * (_SIDE_MM - spacing) / 2
    values: dict[str, Any] = {
        "ImageType": ["DERIVED", "SECONDARY", "OTHER"],
        "SOPClassUID": MRImageStorage,
        "SOPInstanceUID": _uid(case, f"image {number}"),
        "StudyInstanceUID": _uid(case, "study"),
        "SeriesInstanceUID": _uid(case, "series"),
        "FrameOfReferenceUID": _uid(case, "frame of reference"),
        **dict.fromkeys(("StudyDate", "SeriesDate", "ContentDate"), _DAY),
        **dict.fromkeys(("StudyTime", "SeriesTime", "ContentTime"), "000000"),
        "PatientName": "Phantom^Edge-MRI",
        "PatientID": f"PHANTOM-{hashlib.sha256(case.encode()).hexdigest()[:12]}",
        "PatientIdentityRemoved": "YES",
        "DeidentificationMethod": "a drawing, no patient",
        **dict.fromkeys(("PatientBirthDate", "PatientSex", "AccessionNumber"), ""),
        **dict.fromkeys(("ReferringPhysicianName", "PositionReferenceIndicator"), ""),
        "StudyID": "1",
        "SeriesNumber": 1,
        "InstanceNumber": number,
        "StudyDescription": "edge-mri phantom",
        "SeriesDescription": f"drawing, no patient: {label}",
        "Manufacturer": "edge-mri",
        "SoftwareVersions": __version__,
        "Modality": "MR",
        "BodyPartExamined": "HEAD",
        "ScanningSequence": "RM",
        "SequenceVariant": "NONE",
        "MRAcquisitionType": "2D",
        **dict.fromkeys(("ScanOptions", "RepetitionTime", "EchoTime", "EchoTrainLength"), ""),
        "PatientPosition": "HFS",
        "ImageOrientationPatient": [*rows.tolist(), *columns.tolist()],
        "ImagePositionPatient": [round(one, 4) for one in corner.tolist()],
        "PixelSpacing": [spacing, spacing],
        "SliceThickness": gap_mm,
        "SpacingBetweenSlices": gap_mm,
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "Rows": image.shape[0],
        "Columns": image.shape[1],
        **dict.fromkeys(("BitsAllocated", "BitsStored"), 8),
        "HighBit": 7,
        "PixelRepresentation": 0,
        "WindowCenter": 128,
        "WindowWidth": 256,
    }
    header = Dataset()
    for name, value in values.items():
        setattr(header, name, value)
    header.add_new("PixelData", "OB", image.tobytes())
    header.file_meta = FileMetaDataset()
    header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    file = BytesIO()
    dcmwrite(file, header, enforce_file_format=True)
    return file.getvalue()


def _uid(case: str, what: str) -> str:
    """Return a UID that a text makes, as ITU-T X.667 has them below 2.25."""
    digest = hashlib.sha256(f"edge-mri phantom {case} {what}".encode()).digest()
    return f"2.25.{int.from_bytes(digest[:16])}"
