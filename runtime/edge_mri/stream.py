"""Work that streams: batches go through a pool of threads and come back in order.

Both ends are bounded: no more than a few batches a worker are read ahead of the consumer, so that
a million files take no more memory than a hundred.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice
from typing import TYPE_CHECKING, TypeVar

from edge_mri.errors import OptionError

if TYPE_CHECKING:
    from concurrent.futures import Future

Item = TypeVar("Item")
Answer = TypeVar("Answer")

_AHEAD = 2  # batches a worker that wait, read but not yet asked for


def stream_batches(
    work: Callable[[list[Item]], list[Answer]],
    items: Iterable[Item],
    *,
    workers: int,
    batch_size: int,
) -> Iterator[Answer]:
    """Yield the answers to all items, in their order.

    Batches are handed out in rounds, one of the same size for each worker: from 1 item to
    `batch_size`, so that the first answers come soon, and smaller again in the last round, so
    that all workers end together. One worker, or one item, is answered on the calling thread
    itself.

    Args:
        work: Answers a batch; called from several threads at once. It may give an item several
            answers or none.
        items: Asked for one by one on the calling thread; an error in them ends the stream.
        workers: How many threads; 1 or more.
        batch_size: Most items a batch; 1 or more.
    """
    if workers < 1 or batch_size < 1:
        raise OptionError(
            f"threads and batch size must be 1 or more, got {workers} and {batch_size}"
        )
    batches = _rounds(iter(items), workers, batch_size)
    first = list(islice(batches, 2))
    batches = chain(first, batches)
    if workers == 1 or len(first) < 2:
        for batch in batches:
            yield from work(batch)
        return
    from concurrent.futures import ThreadPoolExecutor  # it brings logging: not for one image

    pending: deque[Future[list[Answer]]] = deque()
    with ThreadPoolExecutor(workers, thread_name_prefix="edge-mri") as pool:
        try:
            for batch in batches:
                pending.append(pool.submit(work, batch))
                if len(pending) > _AHEAD * workers:
                    yield from pending.popleft().result()
            while pending:
                yield from pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()


def _rounds(items: Iterator[Item], workers: int, batch_size: int) -> Iterator[list[Item]]:
    """Yield batches of 1, 2, 4, … items up to `batch_size`; what is left is divided evenly."""
    size = 1
    while part := list(islice(items, size * workers)):
        each, more = divmod(len(part), workers)
        start = 0
        for worker in range(min(workers, len(part))):
            end = start + each + (worker < more)
            yield part[start:end]
            start = end
        size = min(2 * size, batch_size)
