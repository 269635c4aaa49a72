"""A batch of files, answered together: each file's frames become records, or its fault one."""

from collections.abc import Sequence
from dataclasses import replace
from os import PathLike
from typing import TYPE_CHECKING, NamedTuple

from edge_mri.audit import Audit
from edge_mri.errors import ImageError
from edge_mri.images import Limits, decode_frames, read_file
from edge_mri.prediction import Prediction
from edge_mri.prepared import Prepared

if TYPE_CHECKING:
    from edge_mri.classifier import Classifier
    from edge_mri.finishing import Finish

_NO_ANSWER_YET = Prediction("", "error")


class _Waiting(NamedTuple):
    """A frame that will be answered with others, and the place of its record among them."""

    place: int
    path: str
    prepared: Prepared
    audit: Audit | None


def predict_files(
    classifier: "Classifier",
    paths: Sequence[str | PathLike[str]],
    *,
    finish: "Finish | None" = None,
    audit: bool = False,
) -> list[Prediction]:
    """Classify files on this thread: a record a frame, an `error` record for a bad file.

    Args:
        classifier: What answers.
        paths: Image files; their records follow one another in this order.
        finish: See `Classifier.stream`.
        audit: Let each record say where it comes from.
    """
    spec = classifier.contract.preprocess
    begun = Audit.begin(classifier.model_sha256, spec, classifier.provider) if audit else None
    limits = Limits.from_environment()
    answers: list[Prediction] = []
    waiting: list[_Waiting] = []

    def answer_waiting() -> None:
        names = [one.path for one in waiting]
        records = classifier.records(names, [one.prepared for one in waiting], finish)
        for one, record in zip(waiting, records, strict=True):
            answers[one.place] = record if one.audit is None else replace(record, audit=one.audit)
        waiting.clear()

    for path in map(str, paths):
        origin = begun and begun.of(None)
        try:
            data = read_file(path, limits)
            origin = begun and begun.of(data)
            for frame in decode_frames(data, limits, spec.reduce_to):
                prepared = Prepared.of(frame, spec, keep=finish is not None)
                waiting.append(_Waiting(len(answers), path, prepared, origin))
                answers.append(_NO_ANSWER_YET)
                if len(waiting) >= classifier.batch_size:
                    answer_waiting()
        except ImageError as error:
            answers.append(replace(Prediction.failed(path, str(error)), audit=origin))
    answer_waiting()
    return answers
