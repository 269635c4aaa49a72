"""Threads that work at several tasks: each is begun part by part, its parts answered side by side.

The oldest task goes first. No more than `PARTS` of a task wait to be taken, and no more tasks are
open than there are threads, so that neither a slow consumer nor a long task fills the memory.
"""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from threading import Condition, Lock
from types import TracebackType
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from edge_mri.process.worker_pool import WorkerPool

Answer = TypeVar("Answer")

PARTS = 32  # of a task that wait to be taken: so the next task gets ahead where reading is slow
_LISTEN_S = 0.1  # how long an answer is waited for before it is asked whether to stop


@dataclass(eq=False, slots=True)
class _Part(Generic[Answer]):
    answer: Callable[[], list[Answer]] | None = None
    answers: list[Answer] = field(default_factory=list)
    error: BaseException | None = None
    is_done: bool = False

    def work(self) -> None:
        if self.answer is None:
            return
        try:
            self.answers = self.answer()
        except BaseException as error:  # whatever it is, it is raised where the answers are taken
            self.error = error
        self.answer = None  # and lets go of its input


@dataclass(eq=False, slots=True)
class _Task(Generic[Answer]):
    parts: Iterator[Callable[[], list[Answer]]]
    begun: deque[_Part[Answer]] = field(default_factory=deque)
    is_open: bool = False
    is_busy: bool = False  # a thread is about to begin its next part
    has_ended: bool = False

    def begin(self) -> _Part[Answer] | None:
        """Begin the next part; None where there is none."""
        try:
            answer = next(self.parts, None)
        except BaseException as error:  # as in `_Part.work`
            return _Part(error=error)
        return None if answer is None else _Part(answer)


class Crew(Generic[Answer]):
    """The threads, started with the first task; on leaving the `with` block they end.

    A thread that finds nothing to do ends its turn rather than wait: a crew that is left without
    being closed, as a generator that nobody asks any more leaves it, keeps no process alive.

    Args:
        workers: How many threads.
        stopped: Says whether nobody wants any more answers.

    Attributes:
        tasks: Those whose answers were not all taken, the oldest first.
    """

    def __init__(self, workers: int, stopped: Callable[[], bool] | None = None) -> None:
        self.tasks: deque[_Task[Answer]] = deque()
        self._workers = workers
        self._stopped = stopped
        self._lock = Lock()  # entered by itself: an interrupt inside Condition's would keep it
        self._to_take = Condition(self._lock)
        self._serving = 0
        self._pool: WorkerPool | None = None
        self._is_closed = False

    def halted(self) -> bool:
        """Say whether what is being read can be left."""
        return self._is_closed or (self._stopped is not None and self._stopped())

    def add(self, parts: Iterator[Callable[[], list[Answer]]]) -> None:
        """Add a task.

        Args:
            parts: Each, asked for on one thread at a time, reads something and gives what
                answers it.
        """
        with self._lock:
            self.tasks.append(_Task(parts))
        if self._pool is None:
            from edge_mri.process.worker_pool import (
                WorkerPool,  # it brings logging: not for one image
            )

            self._pool = WorkerPool(self._workers, thread_name_prefix="edge-mri")
        self._call()

    def oldest(self) -> Iterator[Answer]:
        """Yield the answers of the oldest task, and be done with it.

        An error in one of its parts is raised in their place. Where the crew is halted, it ends
        early.
        """
        while (part := self._taken()) is not None:
            if part.error is not None:
                raise part.error
            yield from part.answers

    def __enter__(self) -> "Crew[Answer]":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._is_closed = True
        if self._pool is not None:
            self._pool.__exit__(kind, value, traceback)

    def _taken(self) -> _Part[Answer] | None:
        """Wait for the oldest task's next part; None where there is none."""
        with self._lock:
            task, part = self.tasks[0], None
            while part is None and not self.halted():
                if task.begun and task.begun[0].is_done:
                    part = task.begun.popleft()
                elif task.has_ended and not task.begun:
                    break
                else:
                    self._to_take.wait(None if self._stopped is None else _LISTEN_S)
            if part is None:
                self.tasks.popleft()
        self._call()  # there is room for another
        return part

    def _call(self) -> None:
        """Let one more thread serve, where there is something to do and one that does nothing."""
        with self._lock:
            if self.halted() or self._serving == self._workers or self._free() is None:
                return
            self._serving += 1
        try:
            if self._pool is not None:
                self._pool.submit(self._serve)
        except RuntimeError:  # no thread to be had, or the pool or the interpreter ends meanwhile
            with self._lock:
                self._serving -= 1
                is_alone = not self._serving and not self._is_closed
            if is_alone:
                raise

    def _serve(self) -> None:
        while (task := self._next()) is not None:
            part = task.begin()
            with self._lock:
                task.is_busy = False
                if part is None or part.error is not None:
                    task.has_ended = True
                if part is not None:
                    task.begun.append(part)
            self._call()
            if part is not None:
                part.work()
            with self._lock:
                if part is not None:
                    part.is_done = True
                if self.tasks and self.tasks[0] is task:
                    self._to_take.notify()

    def _next(self) -> _Task[Answer] | None:
        """Take a task of which a part may be begun; None where there is none: the turn ends."""
        with self._lock:
            task = None if self.halted() else self._free()
            if task is None:
                self._serving -= 1
            else:
                task.is_open = task.is_busy = True
            return task

    def _free(self) -> _Task[Answer] | None:
        others = 0
        for task in self.tasks:
            if task.has_ended:
                continue
            if not task.is_open:
                return task if others < self._workers else None
            if not task.is_busy and len(task.begun) < PARTS:
                return task
            others += 1
        return None
