"""The files of one request, and the records that they have so far."""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import chain, count

from edge_mri.answers.prediction import Prediction
from edge_mri.finishing import Finish
from edge_mri.images.formats.headers import FIRST_BYTES, format_of
from edge_mri.serve.uploads import Upload

_PICTURES = ("jpeg", "png", "bmp", "webp", None)


class Job:
    """The files of one request.

    Attributes:
        finish: What is made of each record and its image; see `Classifier.stream`.
        left: How many files have no answer yet.
        is_dropped: Whether nobody wants the answers any more.
        error: What went wrong with all of it; None: nothing.
    """

    def __init__(
        self, uploads: Sequence[Upload], finish: Finish | None, done: Callable[[], None]
    ) -> None:
        """Make one.

        Args:
            uploads: The files, one or more.
            finish: As above; jobs with the same one are answered together.
            done: Called once, in a worker, when all is answered or something went wrong.
        """
        self.finish = finish
        self.left = len(uploads)
        self.is_dropped = False
        self.error: BaseException | None = None
        self._done = done
        self._names = [upload.name for upload in uploads]
        self._answers: list[dict[int, list[Prediction]]] = [{} for _ in uploads]
        items = [Item(self, place, upload) for place, upload in enumerate(uploads)]
        self.pictures = deque(one for one in items if one.is_picture)
        self.others = deque(one for one in items if not one.is_picture)

    def records(self) -> list[Prediction]:
        """Return the records in the order of the files; raises what went wrong."""
        if self.error is not None:
            raise self.error
        parts = (answers[part] for answers in self._answers for part in sorted(answers))
        return list(chain.from_iterable(parts))

    def keep(self, place: int, part: int, records: Sequence[Prediction]) -> None:
        """Keep records of a part of a file, whose name comes in the place of its key."""
        name = self._names[place]
        self._answers[place][part] = [replace(one, path=name) for one in records]

    def end(self, files: int, error: BaseException | None = None) -> None:
        """Note that so many files are through; the batcher's lock is held."""
        self.error = self.error or error
        self.left -= files
        if self.left == 0:
            self._done()


class Item:
    """A file of a job; its text is the path of its records until the job has them.

    Attributes:
        job: Whose file it is.
        place: Its number in the job.
        upload: The file.
        key: A text that no other has.
        is_picture: Whether it holds one image, or none.
    """

    _keys = count()

    def __init__(self, job: Job, place: int, upload: Upload) -> None:
        self.job = job
        self.place = place
        self.upload = upload
        self.key = str(next(self._keys))
        self.is_picture = format_of(bytes(upload.data[:FIRST_BYTES])) in _PICTURES

    def __str__(self) -> str:
        return self.key
