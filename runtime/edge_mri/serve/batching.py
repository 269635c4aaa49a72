"""Files of all requests, decoded and answered together by all cores.

Each worker takes one file after another from the requests in turn, so that a large request does
not keep a small one waiting; pictures are answered some at a time. A file that may hold many
images, or long to open, is a batch of its own: it is read part by part, its parts answered by
whoever is free. At least one worker always opens none of these, so that a volume does not keep
pictures waiting. Answers do not depend on what is answered together.
"""

import time
from collections import deque
from collections.abc import Callable, Sequence
from itertools import islice
from threading import Condition

from edge_mri.answers.prediction import Prediction
from edge_mri.classifier import Classifier
from edge_mri.file_batch import begin_files
from edge_mri.images import Limits
from edge_mri.process.worker_pool import WorkerPool
from edge_mri.serve.jobs import Item, Job

_RECENT = 0.1  # the weight of the last batch in the time that a file takes


class _Batch:
    """Files that are read one after another, and whose parts are answered as they come."""

    def __init__(self, classifier: Classifier, items: Sequence[Item], *, alone: bool) -> None:
        self.is_alone = alone
        self.parts = self.open_parts = 0
        self.has_ended = False
        self.items = {item.key: item for item in items}
        self._parts = begin_files(
            classifier, items, self._is_dropped, finish=items[0].job.finish, read=_take_data
        )

    def next_part(self) -> Callable[[], list[Prediction]] | None:
        return next(self._parts, None)

    def keep(self, part: int, records: list[Prediction]) -> None:
        """Hand the records of a part to the jobs."""
        found: dict[str, list[Prediction]] = {}
        for record in records:
            found.setdefault(record.path, []).append(record)
        for key, answers in found.items():
            item = self.items.get(key)
            if item is not None:  # else another part failed
                item.job.keep(item.place, part, answers)

    def _is_dropped(self) -> bool:
        return all(item.job.is_dropped for item in self.items.values())


class Batcher:
    """Workers, and what waits for them. A context manager: leaving it drops what waits.

    Attributes:
        waiting: Files that came and have no answer yet.
    """

    def __init__(
        self, classifier: Classifier, workers: int, observe: Callable[[int, float], None]
    ) -> None:
        """Begin; the threads start with `with`.

        Args:
            classifier: What answers.
            workers: How many threads; one more than one, so that a volume holds up nobody.
            observe: Told of each part that was answered: images, and seconds since it was read.
        """
        self.waiting = 0
        self._classifier = classifier
        self._workers = max(workers, 2)
        self._observe = observe
        self._to_do = Condition()
        self._pictures: deque[Job] = deque()
        self._others: deque[Job] = deque()
        self._begun: deque[_Batch] = deque()
        self._opening = 0
        self._turn = 0
        self._file_s = 0.01
        self._is_closed = False

    def __enter__(self) -> "Batcher":
        self._pool = WorkerPool(self._workers, thread_name_prefix="edge-mri")
        self._running = [self._pool.submit(self._work) for _ in range(self._workers)]
        return self

    def __exit__(self, *_: object) -> None:
        with self._to_do:
            self._is_closed = True
            self._to_do.notify_all()
        self._pool.shutdown()

    @property
    def is_alive(self) -> bool:
        """Whether all workers are at work."""
        return not any(one.done() for one in self._running)

    @property
    def wait_s(self) -> float:
        """How long a file that comes now waits, about."""
        return self.waiting * self._file_s / self._workers

    def add(self, job: Job) -> None:
        """Have a job answered."""
        with self._to_do:
            self.waiting += job.left
            if job.pictures:
                self._pictures.append(job)
            if job.others:
                self._others.append(job)
            self._to_do.notify(min(job.left, self._workers))

    def drop(self, job: Job) -> None:
        """Leave off a job that nobody waits for."""
        with self._to_do:
            job.is_dropped = True
            left_off = len(job.pictures) + len(job.others)
            job.pictures.clear()
            job.others.clear()
            self.waiting -= left_off
            if left_off:
                job.end(left_off)

    def _work(self) -> None:
        while (batch := self._taken()) is not None:
            started, files = time.perf_counter(), len(batch.items)
            try:
                self._advance(batch)
            except BaseException as error:  # told to whoever waits for these files
                self._ended(batch, error)
            if files:
                spent = (time.perf_counter() - started) / files
                self._file_s += _RECENT * (spent - self._file_s)

    def _advance(self, batch: _Batch) -> None:
        """Read a part and answer it; who is free goes on with the next meanwhile."""
        part = self._next_part(batch)
        while part is not None:
            number = batch.parts
            if batch.is_alone:
                self._go_on(batch)
            started = time.perf_counter()
            records = part()
            self._observe(len(records), time.perf_counter() - started)
            with self._to_do:
                batch.keep(number, records)
                batch.open_parts -= 1
            part = None if batch.is_alone else self._next_part(batch)
        self._ended(batch)

    def _next_part(self, batch: _Batch) -> Callable[[], list[Prediction]] | None:
        first = not batch.parts
        try:
            part = batch.next_part()
        finally:
            if first and batch.is_alone:
                with self._to_do:
                    self._opening -= 1
                    self._to_do.notify()
        with self._to_do:
            batch.has_ended = part is None
            batch.open_parts += part is not None
            batch.parts += 1
        return part

    def _go_on(self, batch: _Batch) -> None:
        with self._to_do:
            self._begun.append(batch)
            self._to_do.notify()

    def _ended(self, batch: _Batch, error: BaseException | None = None) -> None:
        """Tell the jobs of a batch, when its last part is through."""
        with self._to_do:
            if error is None and (batch.open_parts or not batch.has_ended):
                return
            if error is not None and batch in self._begun:
                self._begun.remove(batch)
            items, batch.items = batch.items, {}
            self.waiting -= len(items)
            for item in items.values():
                item.job.end(1, error)

    def _taken(self) -> _Batch | None:
        """Wait for something to do; None when there will be nothing any more."""
        with self._to_do:
            while not self._is_closed:
                self._turn += 1
                order = (self._some_pictures, self._a_part, self._another)
                for take in order if self._turn % 2 else (*order[1:], order[0]):
                    batch = take()
                    if batch is not None:
                        return batch
                self._to_do.wait()
            return None

    def _some_pictures(self) -> _Batch | None:
        """Take pictures of several jobs, as many as leave each worker some."""
        if not self._pictures:
            return None
        waiting = sum(len(job.pictures) for job in islice(self._pictures, self._most_taken))
        most = min(max(waiting // self._workers, 1), self._most_taken)
        finish = next((job.finish for job in self._pictures if job.pictures), None)
        items: list[Item] = []
        for _ in range(len(self._pictures)):
            job = self._pictures.popleft()
            while job.pictures and job.finish == finish and len(items) < most:
                items.append(job.pictures.popleft())
                if len(self._pictures) >= most:  # others wait: one of each in turn
                    break
            if job.pictures:
                self._pictures.append(job)
            if len(items) >= most:
                break
        return _Batch(self._classifier, items, alone=False) if items else None

    @property
    def _most_taken(self) -> int:
        return self._classifier.batch_size

    def _a_part(self) -> _Batch | None:
        return self._begun.popleft() if self._begun else None

    def _another(self) -> _Batch | None:
        """Open a file that may hold many images, where enough others are left for the rest."""
        while self._others and self._opening < self._workers - 1:
            job = self._others.popleft()
            if not job.others:
                continue
            item = job.others.popleft()
            if job.others:
                self._others.append(job)
            self._opening += 1
            return _Batch(self._classifier, [item], alone=True)
        return None


def _take_data(item: Item, limits: Limits) -> bytes:
    """Return a file's bytes, which are let go of once they are decoded."""
    data, item.upload.data = bytes(item.upload.data), bytearray()
    limits.check_bytes(len(data))
    return data
