"""Work that streams: batches are worked at by threads and come back in order.

Both ends are bounded: no more than a few batches a worker are read ahead of the consumer, so that
a million files take no more memory than a hundred. The threads are `edge_mri.process.crew`.
"""

from collections.abc import Callable, Iterable, Iterator
from itertools import accumulate, chain, islice, pairwise
from typing import TypeVar

from edge_mri.errors import OptionError
from edge_mri.process.crew import Crew

Item = TypeVar("Item")
Answer = TypeVar("Answer")

_AHEAD = 2  # batches a worker that wait, read but not yet asked for


def stream_batches(
    work: Callable[[list[Item], Callable[[], bool]], Iterator[Callable[[], list[Answer]]]],
    items: Iterable[Item],
    *,
    workers: int,
    batch_size: int,
    would_wait: Callable[[], bool] | None = None,
    stopped: Callable[[], bool] | None = None,
) -> Iterator[Answer]:
    """Yield the answers to all items, in their order.

    Batches are handed out in rounds, one of the same size for each worker: from 1 item to
    `batch_size`, so that the first answers come soon, and smaller again in the last round, so
    that all workers end together. A batch may turn out to be much work, as a file of many images
    is: so it is begun in parts, which several workers answer. One worker, or an item that comes
    alone and is one part, is answered on the calling thread itself.

    Args:
        work: Begins a batch: yields what answers a part of it, after reading that part. Asked by
            one thread at a time, not always the same; the parts are answered by several. Its
            second argument says whether to leave off reading. An item may have several answers
            or none.
        items: Asked for one by one on the calling thread; an error in them ends the stream.
        workers: How many threads; 1 or more.
        batch_size: Most items a batch; 1 or more.
        would_wait: Says whether the next item is not there yet. Then those that have come are
            answered first. None where items never keep one waiting.
        stopped: Says whether to end before all is answered, without waiting for the next answer.
    """
    if workers < 1 or batch_size < 1:
        raise OptionError(
            f"threads and batch size must be 1 or more, got {workers} and {batch_size}"
        )
    with Crew[Answer](workers, stopped) as crew:
        for batches in _rounds(iter(items), workers, batch_size, would_wait):
            if len(batches) == 1 and not crew.tasks:
                parts = work(batches[0], crew.halted)
                for answer in parts if workers == 1 else islice(parts, 1):
                    yield from answer()
                more = next(parts, None)
                if more is not None:
                    crew.add(chain((more,), parts))
            else:
                for batch in batches:
                    crew.add(work(batch, crew.halted))
                    if len(crew.tasks) > _AHEAD * workers:
                        yield from crew.oldest()
            while crew.tasks and would_wait is not None and would_wait():
                yield from crew.oldest()
            if crew.halted():
                return
        while crew.tasks:
            yield from crew.oldest()


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
