"""The heatmaps of a judged series, as a secondary capture series in the same study.

A picture holds the image, the map over it and a caption; no name is drawn into it.
"""

from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
from highdicom.sc import SCImage
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian

from edge_mri import __version__
from edge_mri.classifier import Classifier
from edge_mri.node.evidence import Evidence, new_uid, plain
from edge_mri.node.judge import Judgement
from edge_mri.node.reports import NOTE
from edge_mri.pictures.heatmaps import NOTE as EXPLANATION

SERIES_NUMBER = 9902
_TOWARDS = (("L", "R"), ("P", "A"), ("H", "F"))


def captures(judgement: Judgement, classifier: Classifier, evidence: Evidence) -> Iterator[Any]:
    """Give the pictures of a series as data sets.

    Args:
        judgement: With its suspicious slices, the first one first.
        classifier: By whom.
        evidence: Their study.
    """
    series = new_uid()
    pictured = [one for one in judgement.suspicious if one.picture is not None]
    for number, one in enumerate(pictured, start=1):
        assert one.picture is not None
        picture: Any = SCImage.from_ref_dataset(
            evidence.of([one.instance])[0],
            pixel_array=cv2.cvtColor(one.picture, cv2.COLOR_BGR2RGB),
            photometric_interpretation="RGB",
            bits_allocated=8,
            coordinate_system="PATIENT",
            patient_orientation=("L", "P"),
            series_instance_uid=series,
            series_number=SERIES_NUMBER,
            series_description="edge-mri heatmaps, for research use",
            sop_instance_uid=new_uid(),
            instance_number=number,
            manufacturer="edge-mri",
            manufacturer_model_name=plain(classifier.contract.name),
            software_versions=__version__,
            transfer_syntax_uid=ExplicitVRLittleEndian,
        )
        picture.PatientOrientation = _orientation(evidence.header)
        picture.BurnedInAnnotation = str(evidence.header.get("BurnedInAnnotation") or "NO")
        picture.DerivationDescription = f"{EXPLANATION} {NOTE}"
        source: Any = Dataset()
        source.ReferencedSOPClassUID = one.instance.kind
        source.ReferencedSOPInstanceUID = one.instance.uid
        if one.record.frame is not None:
            source.ReferencedFrameNumber = one.record.frame
        picture.SourceImageSequence = [source]
        evidence.put_into(picture)
        yield picture


def _orientation(header: Any) -> list[str]:
    """Return where rows and columns lead in the patient; empty where it is not told."""
    cosines = np.array([float(one) for one in header.get("ImageOrientationPatient") or []])
    if cosines.shape != (6,) or not np.isfinite(cosines).all():
        return []
    letters = []
    for direction in (cosines[:3], cosines[3:]):
        axis = int(np.abs(direction).argmax())
        letters.append(_TOWARDS[axis][int(direction[axis] < 0)])
    return letters
