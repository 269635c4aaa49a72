"""A study's patient, copied from one of its images into what is sent back.

highdicom would check names and quote them in warnings. It is given a patient without a name, and
what the image says is put in afterwards, as it stands there.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pydicom
from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset

from edge_mri.images import Limits
from edge_mri.node.instance import Instance, header_of

_EMPTY = (
    *("PatientName", "PatientID", "PatientBirthDate", "PatientSex"),
    *("AccessionNumber", "StudyID", "StudyDate", "StudyTime", "ReferringPhysicianName"),
)
_COPIED = (
    "SpecificCharacterSet",
    *_EMPTY,
    *("IssuerOfPatientID", "PatientAge", "PatientSize", "PatientWeight", "StudyDescription"),
)
_OF_IMAGE = ("ImageOrientationPatient", "BurnedInAnnotation")


class Evidence:
    """The study that images belong to, and what refers to them.

    Attributes:
        header: The elements that are copied, of one of the images.
    """

    def __init__(self, path: Path, limits: Limits) -> None:
        """Read them.

        Args:
            path: The image.
            limits: What it may cost.

        Raises:
            ImageError: It cannot be read.
        """
        names = ("StudyInstanceUID", "SeriesInstanceUID", *_COPIED, *_OF_IMAGE)
        self.header = header_of(path, limits, names)

    def of(self, instances: Sequence[Instance]) -> list[Dataset]:
        """Return images of the study, of a patient without a name, as highdicom wants them."""
        found = []
        for instance in instances:
            one: Any = Dataset()
            for name in _EMPTY:
                setattr(one, name, "")
            one.StudyInstanceUID = self.header.StudyInstanceUID
            one.SeriesInstanceUID = instance.series_uid
            one.SOPClassUID, one.SOPInstanceUID = instance.kind, instance.uid
            found.append(one)
        return found

    def put_into(self, answer: Any) -> None:
        """Copy the patient and the study into what is to be sent."""
        for name in _COPIED:
            tag = tag_for_keyword(name)
            if tag is not None and tag in self.header:
                answer[tag] = self.header[tag]
        if "SpecificCharacterSet" not in self.header and "SpecificCharacterSet" in answer:
            del answer.SpecificCharacterSet


def plain(text: str, most: int = 64) -> str:
    """Return text that every character set of DICOM holds, and an element of `most` characters."""
    spelt = text.encode("ascii", "backslashreplace").decode().replace("\\", "/")
    return spelt[:most] or "-"


def new_uid() -> str:
    """Return a UID that nobody has."""
    return str(pydicom.uid.generate_uid(prefix=None))
