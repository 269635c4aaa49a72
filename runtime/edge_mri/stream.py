"""Work that streams: batches go through a pool of threads and come back in order.

Both ends are bounded: no more than a few batches a worker are read ahead of the consumer, so that
a million files take no more memory than a hundred.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from itertools import accumulate, chain, islice, pairwise
from typing import TYPE_CHECKING, TypeVar

from edge_mri.errors import OptionError

if TYPE_CHECKING:
    from concurrent.futures import Executor, Future

Item = TypeVar("Item")
Answer = TypeVar("Answer")

_AHEAD = 2  # batches a worker that wait, read but not yet asked for


def stream_batches(
    work: Callable[[list[Item]], list[Answer]],
    items: Iterable[Item],
    *,
    workers: int,
    batch_size: int,
    would_wait: Callable[[], bool] | None = None,
) -> Iterator[Answer]:
    """Yield the answers to all items, in their order.

    Batches are handed out in rounds, one of the same size for each worker: from 1 item to
    `batch_size`, so that the first answers come soon, and smaller again in the last round, so
    that all workers end together. One worker, or an item that comes alone, is answered on the
    calling thread itself.

    Args:
        work: Answers a batch; called from several threads at once. It may give an item several
            answers or none.
        items: Asked for one by one on the calling thread; an error in them ends the stream.
        workers: How many threads; 1 or more.
        batch_size: Most items a batch; 1 or more.
        would_wait: Says whether the next item is not there yet. Then those that have come are
            answered first. None where items never keep one waiting.
    """
    if workers < 1 or batch_size < 1:
        raise OptionError(
            f"threads and batch size must be 1 or more, got {workers} and {batch_size}"
        )
    pending: deque[Future[list[Answer]]] = deque()
    with ExitStack() as stack:
        pool: Executor | None = None
        for batches in _rounds(iter(items), workers, batch_size, would_wait):
            if len(batches) == 1 and not pending:
                yield from work(batches[0])
                continue
            if pool is None:
                pool = stack.enter_context(_pool(workers))
                stack.callback(_cancel, pending)
            for batch in batches:
                pending.append(pool.submit(work, batch))
                if len(pending) > _AHEAD * workers:
                    yield from pending.popleft().result()
            while pending and would_wait is not None and would_wait():
                yield from pending.popleft().result()
        while pending:
            yield from pending.popleft().result()


def _rounds(
    items: Iterator[Item],
    workers: int,
    batch_size: int,
    would_wait: Callable[[], bool] | None,
) -> Iterator[list[list[Item]]]:
    """Yield rounds of 1, 2, 4, … items a worker up to `batch_size`; the last is divided evenly."""
    size = 1
    while part := _part(items, size * workers, would_wait):
        each, more = divmod(len(part), workers)
        ends = accumulate(each + (worker < more) for worker in range(min(workers, len(part))))
        yield [part[start:end] for start, end in pairwise(chain((0,), ends))]
        size = min(2 * size, batch_size)


def _part(items: Iterator[Item], count: int, would_wait: Callable[[], bool] | None) -> list[Item]:
    """Take up to `count` items, waiting for the first alone."""
    if would_wait is None:
        return list(islice(items, count))
    part = list(islice(items, 1))
    while part and len(part) < count and not would_wait():
        more = list(islice(items, 1))
        if not more:
            break
        part += more
    return part


def _pool(workers: int) -> "Executor":
    from edge_mri.worker_pool import WorkerPool  # it brings logging: not for one image

    return WorkerPool(workers, thread_name_prefix="edge-mri")


def _cancel(pending: Iterable["Future[list[Answer]]"]) -> None:
    for future in pending:
        future.cancel()
