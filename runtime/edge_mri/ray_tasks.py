"""Tasks over a Ray cluster: workers do them to their end, and little comes back.

A task whose worker dies is done again by Ray, and one that takes its worker with it twice is
divided until what does so is alone. The cluster is the one that `RAY_ADDRESS` names, else a local
one; as it grows, more tasks are given out.
"""

import logging
import time
from collections.abc import Callable, Generator, Iterable, Sequence, Sized
from typing import Any, Protocol, TypeVar

import ray
import ray.exceptions as died

_DEATHS = 2  # of a task's worker, before it is divided
_AHEAD = 2  # tasks a core that are given out
_LOOK_S = 0.5  # how long to wait before asking whether to stop
_COUNT_S = 10.0  # how long the cluster is taken for as large as it was


class Divisible(Protocol):
    """A task: some files."""

    @property
    def files(self) -> Sized: ...  # noqa: D102

    def halves(self) -> Sequence[Any]: ...  # noqa: D102


Work = TypeVar("Work", bound=Divisible)
Result = TypeVar("Result")


def connect() -> None:
    """Connect to the cluster, or start a local one; before signals are taken, as Ray takes them."""
    if not ray.is_initialized():
        ray.init(log_to_driver=False, logging_level=logging.ERROR, include_dashboard=False)


def on_ray(
    job: Callable[[Work, str | None], Result],
    tasks: Iterable[Work],
    stopped: Callable[[], bool],
) -> Generator[Result, None, None]:
    """Do tasks on the workers of a cluster; gives what the job returns, in any order.

    Args:
        job: Pickled to the workers. Its second argument says why a task of one file cannot be
            done, which it then puts on record; else None.
        tasks: Asked for as workers become free.
        stopped: Says whether to end; what is at work then is left undone.
    """
    remote: Any = ray.remote(num_cpus=1, max_retries=_DEATHS - 1)(_do)
    shared, cores = ray.put(job), _Cores()
    waiting: list[tuple[Work, str | None]] = []
    given = iter(tasks)
    running: dict[Any, Work] = {}
    try:
        while not stopped():
            while len(running) < _AHEAD * cores.count():
                if waiting:
                    task, reason = waiting.pop()
                elif (following := next(given, None)) is not None:
                    task, reason = following, None
                else:
                    break
                running[remote.remote(shared, task, reason)] = task
            if not running:
                return
            ready, _ = ray.wait(list(running), timeout=_LOOK_S)
            for reference in ready:
                task = running.pop(reference)
                try:
                    result = ray.get(reference)
                except (died.WorkerCrashedError, died.OutOfMemoryError, died.NodeDiedError):
                    if len(task.files) > 1:
                        waiting += [(half, None) for half in task.halves()]
                    else:
                        waiting.append((task, "the process that read it died each time"))
                    continue
                yield result
    finally:
        for reference in running:
            ray.cancel(reference, force=True)


def _do(job: Callable[[Work, str | None], Result], task: Work, reason: str | None) -> Result:
    return job(task, reason)


class _Cores:
    """How many cores the cluster has, asked now and then."""

    def __init__(self) -> None:
        self._asked = -_COUNT_S
        self._count = 1

    def count(self) -> int:
        if time.monotonic() - self._asked >= _COUNT_S:
            self._asked = time.monotonic()
            self._count = max(int(ray.cluster_resources().get("CPU", 1)), 1)
        return self._count
