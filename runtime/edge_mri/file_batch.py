"""A batch of files, answered together: each file's frames become records, or its fault one."""

from collections.abc import Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path

from edge_mri.audit import Audit
from edge_mri.classifier import Classifier, Finish
from edge_mri.errors import ImageError
from edge_mri.images import Limits, decode_frames, read_file
from edge_mri.prediction import Prediction
from edge_mri.prepared import Prepared


def predict_files(
    classifier: Classifier,
    paths: Sequence[str | PathLike[str]],
    *,
    finish: Finish | None = None,
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
    answers: list[Prediction] = []  # an image that waits has its place here
    waiting: list[tuple[int, Prepared]] = []

    def answer_waiting() -> None:
        names = [answers[place].path for place, _ in waiting]
        records = classifier.records(names, [prepared for _, prepared in waiting], finish)
        for (place, _), record in zip(waiting, records, strict=True):
            answers[place] = replace(record, audit=answers[place].audit)
        waiting.clear()

    for path in map(str, paths):
        origin = begun and begun.of(None)
        try:
            data = read_file(Path(path), limits)
            origin = begun and begun.of(data)
            for frame in decode_frames(data, limits, spec.reduce_to):
                prepared = Prepared.of(frame, spec, keep=finish is not None)
                waiting.append((len(answers), prepared))
                answers.append(Prediction(path, "error", audit=origin))
                if len(waiting) >= classifier.batch_size:
                    answer_waiting()
        except ImageError as error:
            answers.append(replace(Prediction.failed(path, str(error)), audit=origin))
    answer_waiting()
    return answers
