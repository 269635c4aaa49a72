"""The structured report of a judged series: TID 1500, Measurement Report, by highdicom.

A group of the series: the finding, the highest P(any tumour) and how many slices say what; then a
group of each suspicious slice. Findings are the names that the model has for its types, in a coding
scheme of edge-mri's own: what a type means is for the model's contract to say, and no code of
another scheme is claimed for it. Every group says by which model of which version, and that it is
for research use.
"""

from typing import Any

from highdicom.sr import (
    AlgorithmIdentification,
    CodedConcept,
    ComprehensiveSR,
    DeviceObserverIdentifyingAttributes,
    Measurement,
    MeasurementReport,
    MeasurementsAndQualitativeEvaluations,
    ObservationContext,
    ObserverContext,
    QualitativeEvaluation,
    RelationshipTypeValues,
    SourceImageForMeasurementGroup,
    TextContentItem,
    TrackingIdentifier,
)
from pydicom.sr.codedict import codes

from edge_mri import __version__
from edge_mri.classifier import Classifier
from edge_mri.node.evidence import Evidence, new_uid, plain
from edge_mri.node.judge import Judgement, Suspicious

SCHEME = "99EDGEMRI"
NOTE = "For research use, not for diagnosis."
SERIES_NUMBER = 9901
_NO_TYPE = ("NO_TYPE", "No type: too few neighbouring slices agree")
_PROBABILITY = ("TUMOR_PROBABILITY", "Probability of any tumour, in one slice")


def report(judgement: Judgement, classifier: Classifier, evidence: Evidence) -> Any:
    """Return the report of a series as a data set.

    Args:
        judgement: What is said of it.
        classifier: By whom.
        evidence: Its study.
    """
    algorithm = _algorithm(classifier)
    groups = [_of_series(judgement, number, algorithm) for number in range(_count(judgement))]
    groups += [_of_slice(one, algorithm) for one in judgement.suspicious]
    for group in groups:
        group[0].ContentSequence.append(_comment())
    device = DeviceObserverIdentifyingAttributes(
        uid=new_uid(), name="edge-mri", manufacturer_name="edge-mri", model_name="edge-mri"
    )
    observer = ObserverContext(codes.DCM.Device, device)
    content = MeasurementReport(
        observation_context=ObservationContext(observer_device_context=observer),
        procedure_reported=codes.cid100.MRIUnspecifiedBodyRegion,
        imaging_measurements=groups,
    )
    answer: Any = ComprehensiveSR(
        evidence=evidence.of(judgement.instances),
        content=content,
        series_instance_uid=new_uid(),
        series_number=SERIES_NUMBER,
        series_description="edge-mri report, for research use",
        sop_instance_uid=new_uid(),
        instance_number=1,
        manufacturer="edge-mri",
        manufacturer_model_name=plain(classifier.contract.name),
        software_versions=__version__,
        device_serial_number=classifier.model_sha256[:16],
        is_complete=True,
    )
    evidence.put_into(answer)
    return answer


def _count(judgement: Judgement) -> int:
    return max(len(judgement.volumes), 1)


def _of_series(
    judgement: Judgement, number: int, algorithm: AlgorithmIdentification
) -> MeasurementsAndQualitativeEvaluations:
    """Return the group of a volume of a series; of a single image where there is none."""
    if not judgement.volumes:
        said = judgement.suspicious[0].record if judgement.suspicious else None
        type_ = None if said is None else said.type
        probability = None if said is None else said.tumor_probability
        counts = {"images": len(judgement.instances), "answered": int(said is not None)}
    else:
        volume = judgement.volumes[number]
        type_, probability = volume.type, volume.peak_tumor_probability
        counts = {
            "slices": volume.slices,
            "answered": volume.answered,
            "rejected": volume.rejected,
            "errors": volume.errors,
            "tumor_slices": volume.tumor_slices,
            "neighbours": volume.neighbours or 0,
        }
    measurements = [
        Measurement(_code(name.upper(), f"Number of slices: {name}"), value, codes.UCUM.NoUnits)
        for name, value in counts.items()
    ]
    if probability is not None:
        measurements.insert(0, _probability(probability))
    return MeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(new_uid(), f"series, part {judgement.part}"),
        finding_type=_code(*_NO_TYPE) if type_ is None else _finding(type_),
        algorithm_id=algorithm,
        measurements=measurements,
    )


def _of_slice(
    one: Suspicious, algorithm: AlgorithmIdentification
) -> MeasurementsAndQualitativeEvaluations:
    record, instance = one.record, one.instance
    frames = None if record.frame is None else [record.frame]
    planes = []
    if record.plane is not None:
        planes.append(QualitativeEvaluation(_code("PLANE", "Plane"), _finding(record.plane)))
    return MeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(new_uid(), f"slice {instance.place[1]}"),
        finding_type=_finding(record.type or _NO_TYPE[0]),
        algorithm_id=algorithm,
        measurements=[_probability(record.tumor_probability or 0.0)],
        qualitative_evaluations=planes,
        source_images=[SourceImageForMeasurementGroup(instance.kind, instance.uid, frames)],
    )


def _algorithm(classifier: Classifier) -> AlgorithmIdentification:
    contract = classifier.contract
    return AlgorithmIdentification(
        name=plain(f"edge-mri {contract.name} {contract.precision}"),
        version=plain(f"{__version__}, model {classifier.model_sha256[:16]}"),
        parameters=[
            f"tumour threshold {contract.tumor_threshold:g}",
            plain(contract.intended_use, 1024),
            NOTE,
        ],
    )


def _probability(value: float) -> Measurement:
    return Measurement(_code(*_PROBABILITY), value, codes.UCUM.NoUnits)


def _finding(name: str) -> CodedConcept:
    return _code(plain(name.upper()), plain(name))


def _code(value: str, meaning: str) -> CodedConcept:
    return CodedConcept(value, SCHEME, meaning)


def _comment() -> TextContentItem:
    return TextContentItem(codes.DCM.Comment, NOTE, RelationshipTypeValues.CONTAINS)
