import threading
import time
from functools import partial
from itertools import islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_mri.process.crew import PARTS
from edge_mri.stream import stream_batches


def whole(answer):
    """Work that is one part a batch."""

    def begin(batch, halted):
        yield lambda: answer(batch)

    return begin


def frames_of(answer=list, counts=None, reading_s=0.0, begun=None):
    """Work as files are: each item has some frames, and a part is three of them."""

    def begin(batch, halted):
        part = []
        for item in batch:
            for frame in range(counts(item) if counts else item):
                if halted():
                    return
                time.sleep(reading_s)
                if begun is not None:
                    begun.append((item, frame))
                part.append((item, frame))
                if len(part) == 3:
                    yield partial(answer, part)
                    part = []
        if part:
            yield partial(answer, part)

    return begin


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 70), st.integers(1, 4), st.integers(1, 9))
def test_every_item_is_answered_once_and_in_order(count, workers, batch_size):
    sizes = []

    def work(batch):
        sizes.append(len(batch))
        return [item * 2 for item in batch]

    found = list(stream_batches(whole(work), range(count), workers=workers, batch_size=batch_size))
    assert found == [item * 2 for item in range(count)]
    assert max(sizes, default=0) <= batch_size
    assert sum(sizes) == count


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 300), st.integers(1, 4), st.integers(1, 9))
def test_workers_as_fast_as_one_another_end_together(count, workers, batch_size):
    """With each batch to the worker that is free first, none does more than its share."""
    sizes = {}

    def work(batch):
        sizes[batch[0]] = len(batch)
        return batch

    list(stream_batches(whole(work), range(count), workers=workers, batch_size=batch_size))
    busy = [0] * workers
    for _, size in sorted(sizes.items()):
        first_free = busy.index(min(busy))
        busy[first_free] += size
    assert max(busy) == -(-count // workers)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.booleans(), max_size=40), st.integers(1, 3), st.integers(1, 5))
def test_all_that_has_come_is_answered_before_the_next_is_waited_for(late, workers, batch_size):
    asked, answered = 0, []

    def items():
        nonlocal asked
        for number, is_late in enumerate(late):
            if is_late:
                assert answered == list(range(number))
            asked = number + 1
            yield number

    stream = stream_batches(
        whole(list),
        items(),
        workers=workers,
        batch_size=batch_size,
        would_wait=lambda: late[asked] if asked < len(late) else False,
    )
    for answer in stream:
        answered.append(answer)
    assert answered == list(range(len(late)))


@pytest.mark.parametrize("count", [4, 8, 20])
def test_a_handful_of_items_keeps_every_worker_busy(count):
    """No worker gets more than its share and one batch of the last size begun."""
    work: dict[str, int] = {}
    lock = threading.Lock()
    together = threading.Barrier(4)

    def answer(batch):
        name = threading.current_thread().name
        if name not in work:
            together.wait(timeout=10)  # all four are at it before the first is done
        with lock:
            work[name] = work.get(name, 0) + len(batch)
        time.sleep(0.002 * len(batch))
        return batch

    list(stream_batches(whole(answer), range(count), workers=4, batch_size=8))
    assert len(work) == 4


def test_one_worker_is_the_calling_thread():
    names = list(
        stream_batches(
            whole(lambda batch: [threading.current_thread().name] * len(batch)),
            range(3),
            workers=1,
            batch_size=2,
        )
    )
    assert set(names) == {threading.current_thread().name}


def test_an_item_may_have_several_answers_or_none():
    found = list(
        stream_batches(
            whole(lambda batch: [item for item in batch for _ in range(item % 3)]),
            range(6),
            workers=2,
            batch_size=4,
        )
    )
    assert found == [1, 2, 2, 4, 5, 5]


def test_a_slow_consumer_is_not_run_away_from():
    asked = []

    def endless():
        for number in range(10**9):
            asked.append(number)
            yield number

    stream = stream_batches(whole(list), endless(), workers=3, batch_size=5)
    for seen, _ in enumerate(islice(stream, 300), 1):
        assert len(asked) - seen <= (2 * 3 + 1 + 2) * 5
    stream.close()


def test_an_error_in_the_work_ends_the_stream():
    def work(batch):
        if 7 in batch:
            raise ZeroDivisionError
        return batch

    stream = stream_batches(whole(work), range(100), workers=2, batch_size=1)
    assert list(islice(stream, 7)) == list(range(7))
    with pytest.raises(ZeroDivisionError):
        next(stream)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 20), max_size=30), st.integers(1, 4), st.integers(1, 5))
def test_every_frame_is_answered_once_and_in_order(counts, workers, batch_size):
    found = list(stream_batches(frames_of(), counts, workers=workers, batch_size=batch_size))
    assert found == [(count, frame) for count in counts for frame in range(count)]


def test_two_workers_answer_the_frames_of_one_item():
    together = threading.Barrier(2)

    def answer(part):
        if part[0][1] in (3, 6):
            together.wait(timeout=10)
        return [threading.current_thread().name] * len(part)

    names = list(stream_batches(frames_of(answer), [9], workers=2, batch_size=4))
    assert len(names) == 9
    assert len(set(names[3:])) == 2


def test_a_worker_that_cannot_go_on_with_the_oldest_item_begins_the_next():
    """Reading is what takes long: side by side it takes half as long as one after another."""
    started = time.monotonic()
    work = frames_of(reading_s=0.02)
    assert len(list(stream_batches(work, [30, 30], workers=2, batch_size=1))) == 60
    assert time.monotonic() - started < 0.02 * 60 * 0.8


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_a_slow_consumer_lets_only_a_few_frames_be_read(workers):
    begun = []
    stream = stream_batches(frames_of(begun=begun), [10**6] * 20, workers=workers, batch_size=1)
    for seen in range(1, 200):
        assert next(stream) == (10**6, seen - 1)
    time.sleep(0.2)
    assert len(begun) - seen <= 3 * (PARTS + 1) * workers
    assert len([frame for _, frame in begun if frame == 0]) <= workers
    stream.close()


@pytest.mark.parametrize("workers", [1, 2])
def test_a_stream_that_is_stopped_waits_neither_for_answers_nor_for_frames(workers):
    is_stopped = threading.Event()
    begun = []
    stream = stream_batches(
        frames_of(reading_s=0.05, begun=begun),
        [1, *[10**6] * 4],
        workers=workers,
        batch_size=8,
        stopped=is_stopped.is_set,
    )
    next(stream)
    threading.Timer(0.2, is_stopped.set).start()
    started = time.monotonic()
    behind = sum(is_stopped.is_set() for _ in stream)
    assert behind <= 1  # one may be on its way while it is stopped
    assert time.monotonic() - started < 2
    had = len(begun)
    time.sleep(0.2)
    assert len(begun) == had


def test_an_error_in_a_later_part_is_raised_after_the_answers_before_it():
    def work(batch, halted):
        yield from frames_of()([7], halted)
        raise ZeroDivisionError

    stream = stream_batches(work, range(20), workers=2, batch_size=1)
    assert list(islice(stream, 7)) == [(7, frame) for frame in range(7)]
    with pytest.raises(ZeroDivisionError):
        next(stream)


LEFT = """
from edge_mri.stream import stream_batches

def work(batch, halted):
    for item in batch:
        yield lambda: [item]

stream = stream_batches(work, range(10_000), workers=2, batch_size=4)
print(next(stream), flush=True)
"""


def test_a_stream_that_nobody_asks_any_more_keeps_no_process_alive(process):
    started = time.monotonic()
    assert process("-c", LEFT) == (0, "0\n", "")
    assert time.monotonic() - started < 60
