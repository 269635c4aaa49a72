"""A batch of files in parts: so many of their frames are read, then answered together.

Each frame becomes a record, and a file's fault one. What has been read but not yet answered is all
that is held, however many frames a file has.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple, Protocol

from edge_mri.answers.audit import Audit
from edge_mri.answers.prediction import Prediction
from edge_mri.errors import ImageError
from edge_mri.finishing import Finish
from edge_mri.images import Limits, decode_frames, read_file
from edge_mri.images.pixels.acquired import Planes
from edge_mri.images.prepared import Prepared
from edge_mri.model.contract import Contract

_PART_PIXELS = 2**24  # of a part's frames, where a file has several: a page may be a large one
_NO_ANSWER_YET = Prediction("", "error")


class Answering(Protocol):
    """What a classifier is to a batch of files; see `edge_mri.classifier.Classifier`."""

    contract: Contract
    planes: Planes

    @property
    def model_sha256(self) -> str: ...  # noqa: D102

    @property
    def provider(self) -> str: ...  # noqa: D102

    @property
    def batch_size(self) -> int: ...  # noqa: D102

    def records(  # noqa: D102
        self, paths: Sequence[str], images: Sequence[Prepared], finish: Finish | None = None
    ) -> list[Prediction]: ...


class _Waiting(NamedTuple):
    """A frame that will be answered with others, and the place of its record among them."""

    place: int
    path: str
    prepared: Prepared
    audit: Audit | None


class _Part:
    """Frames that are answered together, and the records of files between them."""

    def __init__(self) -> None:
        self.records: list[Prediction] = []
        self.waiting: list[_Waiting] = []
        self.pixels = 0

    def add(self, path: str, prepared: Prepared, audit: Audit | None) -> None:
        self.waiting.append(_Waiting(len(self.records), path, prepared, audit))
        self.records.append(_NO_ANSWER_YET)

    def answer(self, classifier: Answering, finish: Finish | None) -> list[Prediction]:
        names = [one.path for one in self.waiting]
        answers = classifier.records(names, [one.prepared for one in self.waiting], finish)
        for one, record in zip(self.waiting, answers, strict=True):
            self.records[one.place] = (
                record if one.audit is None else replace(record, audit=one.audit)
            )
        return self.records


def begin_files(
    classifier: Answering,
    paths: Iterable[object],
    halted: Callable[[], bool] = lambda: False,
    *,
    finish: Finish | None = None,
    audit: bool = False,
    read: Callable[[Any, Limits], bytes] = read_file,
) -> Iterator[Callable[[], list[Prediction]]]:
    """Read files, part by part; yield what answers each part, in any thread.

    Their records are one a frame and an `error` record for a bad file, or for what is bad in it.

    Args:
        classifier: What answers.
        paths: Image files; their records follow one another in this order.
        halted: Says whether to leave off; asked before each file and frame.
        finish: See `Classifier.stream`.
        audit: Let each record say where it comes from.
        read: Gives the bytes of one of `paths`, whose text is the path of its records; raises
            `ImageError` where it cannot.
    """
    spec = classifier.contract.preprocess
    begun = Audit.begin(classifier.model_sha256, spec, classifier.provider) if audit else None
    limits = Limits.from_environment()
    together, keep = classifier.batch_size, finish is not None
    part = _Part()
    for given in paths:
        if halted():
            return
        path, origin = str(given), begun and begun.of(None)
        try:
            data = read(given, limits)
            origin = begun and begun.of(data)
            for frame in decode_frames(data, limits, spec.reduce_to, classifier.planes):
                part.add(path, Prepared.of(frame, spec, keep=keep), origin)
                part.pixels += frame.pixels.size if frame.frame is not None else 0
                if len(part.waiting) >= together or part.pixels >= _PART_PIXELS:
                    yield partial(part.answer, classifier, finish)
                    part = _Part()
                if halted():
                    return
        except ImageError as error:
            failed = Prediction.failed(path, str(error), classifier.contract.labels.present_key)
            part.records.append(replace(failed, audit=origin))
    if part.records:
        yield partial(part.answer, classifier, finish)
