"""A run into a dataset, on this machine or on a cluster: a task's records never leave its worker.

Each task is read, answered and written where it is done; what comes back are counts. How tasks are
cut is `edge_mri.records.tasks`, how they spread `edge_mri.ray_tasks`.
"""

import os
import pickle
import sys
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing, redirect_stdout, suppress
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import islice
from typing import Any, TypeVar

from edge_mri.answers.prediction import Prediction
from edge_mri.classifier import Classifier
from edge_mri.errors import EdgeMriError, OutputError
from edge_mri.file_batch import begin_files
from edge_mri.images import ImageFiles, Limits
from edge_mri.images.opening import fetched_ahead
from edge_mri.process.quiet import native_stderr_silenced
from edge_mri.process.signals import Stop, stop_on_signals
from edge_mri.process.workers import one_core_each
from edge_mri.records.dataset import Dataset
from edge_mri.records.run_summary import Counts, RunSummary
from edge_mri.records.tasks import FILES, Task, Tasks
from edge_mri.remote.url import Place
from edge_mri.terminal.printable import show
from edge_mri.terminal.progress import NoProgress, TerminalProgress

_AHEAD = 16  # files of a task that are fetched before they are asked for
_T = TypeVar("_T")


class _StoppedError(Exception):
    """Leads out of a task that is not to be committed."""


@dataclass(frozen=True, kw_only=True)
class DatasetRun:
    """Images into a dataset.

    Attributes:
        classifier: What answers.
        dataset: Where records go.
        engine: `local` or `ray`.
        resume: Go on with a dataset that was begun.
        threads: Of the local engine.
        task_files: How many files a task has; None for `FILES`.
    """

    classifier: Classifier
    dataset: Dataset
    engine: str
    resume: bool
    threads: int
    task_files: int | None = None

    def __call__(self, files: ImageFiles[Place], found: Iterable[Place]) -> int:
        """Answer and write, and tell a summary on stderr; ends early where a signal comes.

        Args:
            files: All images.
            found: The same, one by one.

        Returns:
            The exit code, as of `edge_mri.inference.infer`.

        Raises:
            EdgeMriError: It cannot begin, or cannot go on; what is written stays good.
        """
        stop, summary, started = Stop(), RunSummary(), time.perf_counter()
        progress = TerminalProgress() if sys.stderr.isatty() else NoProgress()
        with (
            native_stderr_silenced(),
            redirect_stdout(sys.stderr),  # Ray prints there what befalls its workers
            progress.bar("images", 0) as step,
        ):
            counts, before = self._counted(found, stop, step)
        summary.add(counts)
        workers = "workers of ray" if self.engine == "ray" else f"{self.threads} threads"
        lines = summary.lines(files, time.perf_counter() - started, self.classifier, workers)
        if before:
            lines.append(f"{before} files had their records before")
        if stop.signal is not None:
            lines.append(stop.told(can_go_on=True))
        show(lines, err=True)
        return stop.exit_code or int(summary.errors > 0)

    def _counted(
        self, files: Iterable[Place], stop: Stop, step: Callable[[], None]
    ) -> tuple[Counts, int]:
        """Return what was written, and how many files were done before."""
        if self.engine == "ray":
            from edge_mri.ray_tasks import connect

            connect()
        known = _about(self.classifier, self.dataset)
        counts = Counts()
        with self.dataset.begun(known, resume=self.resume) as parts, stop_on_signals(stop):
            size = self.task_files or FILES
            tasks = Tasks(stop.awaited(files), size, parts, self.dataset.done)
            done = _on_ray if self.engine == "ray" else partial(_here, threads=self.threads)
            ended = lambda: stop.signal is not None  # noqa: E731
            with closing(done(self.classifier, self.dataset, tasks, ended)) as all_counts:
                for one in all_counts:
                    counts.add(one)
                    for _ in range(one.records):
                        step()
        return counts, tasks.passed_over


def _about(classifier: Classifier, dataset: Dataset) -> dict[str, Any]:
    """Return what all records of a dataset are made with, under names that a user knows."""
    return {
        "format": dataset.format,
        "audit": dataset.audit,
        "model": classifier.contract.name,
        "model_sha256": classifier.model_sha256,
        "reject": classifier.reject,
        "trust_pixels": classifier.trust_pixels,
        "planes": list(classifier.planes),
    }


def _here(
    classifier: Classifier,
    dataset: Dataset,
    tasks: Iterable[Task],
    stopped: Callable[[], bool],
    *,
    threads: int,
) -> Generator[Counts, None, None]:
    for task in tasks:
        counts = Counts()
        records = classifier.stream(
            task.files, threads=threads, audit=dataset.audit, stopped=stopped
        )
        try:
            dataset.write(task.name, _until(counts.counted(records), stopped))
        except _StoppedError:
            return
        yield counts


def _on_ray(
    classifier: Classifier,
    dataset: Dataset,
    tasks: Iterable[Task],
    stopped: Callable[[], bool],
) -> Generator[Counts, None, None]:
    from edge_mri.ray_tasks import on_ray

    job = _Job(pickle.dumps(classifier), dataset, Limits.from_environment(), os.getcwd())  # noqa: PTH109
    for result in on_ray(job, tasks, stopped):
        if isinstance(result, str):
            raise OutputError(dataset.place, result)
        yield result


@dataclass(frozen=True)
class _Job:
    """What a worker does with a task.

    Attributes:
        classifier: Pickled; a worker opens it once.
        dataset: Where its part goes.
        limits: What a file may cost.
        folder: Where relative paths lead from.
    """

    classifier: bytes
    dataset: Dataset
    limits: Limits
    folder: str

    def __call__(self, task: Task, reason: str | None) -> Counts | str:
        """Write the part of a task; return what is in it, or what stands in the way."""
        self.limits.set_for_process()  # a worker's environment is the cluster's, not the caller's
        with suppress(OSError):  # a folder that is not here matters to relative paths alone
            os.chdir(self.folder)
        counts = Counts()
        try:
            self.dataset.write(task.name, counts.counted(self._records(task, reason)))
        except EdgeMriError as error:
            return str(error)
        return counts

    def _records(self, task: Task, reason: str | None) -> Iterator[Prediction]:
        classifier = _opened(self.classifier)
        if reason is not None:
            for file in task.files:
                yield Prediction.failed(str(file), reason, classifier.contract.labels.present_key)
            return
        with one_core_each():
            files = _taken_ahead(fetched_ahead(task.files), _AHEAD)
            for answer in begin_files(classifier, files, audit=self.dataset.audit):
                yield from answer()


@lru_cache(1)
def _opened(classifier: bytes) -> Classifier:
    opened: Classifier = pickle.loads(classifier)
    return opened


def _taken_ahead(items: Iterator[_T], count: int) -> Iterator[_T]:
    held = deque(islice(items, count))
    while held:
        held.extend(islice(items, 1))
        yield held.popleft()


def _until(records: Iterator[Prediction], stopped: Callable[[], bool]) -> Iterator[Prediction]:
    """Let records pass; raise where the run is to end, so that the part is none."""
    for record in records:
        if stopped():
            raise _StoppedError
        yield record
    if stopped():  # some may be missing
        raise _StoppedError
