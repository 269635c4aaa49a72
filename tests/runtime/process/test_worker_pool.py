"""What an interrupt would break: it is sent at the moments that Python's own pool cannot bear."""

import os
import signal
import threading
import time
from collections.abc import Iterator

import pytest

from edge_mri.process.worker_pool import WorkerPool

pytestmark = pytest.mark.skipif(os.name != "posix", reason="POSIX signals")


@pytest.fixture(autouse=True)
def _ctrl_c_interrupts() -> Iterator[None]:
    # A process started in the background ignores Ctrl-C.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def interrupted(monkeypatch):
    """Interrupt this process just before a thread's method; returns the threads of those calls."""
    threads = []

    def before(name: str) -> list[threading.Thread]:
        method = getattr(threading.Thread, name)

        def called(thread, *arguments):
            threads.append(thread)
            os.kill(os.getpid(), signal.SIGINT)
            method(thread, *arguments)

        monkeypatch.setattr(threading.Thread, name, called)
        return threads

    return before


def test_a_thread_that_starts_is_waited_for(interrupted):
    threads = interrupted("start")
    with pytest.raises(KeyboardInterrupt), WorkerPool(1) as pool:
        pool.submit(time.sleep, 0.2)
    assert [(one.ident is None, one.is_alive()) for one in threads] == [(False, False)]


def test_a_thread_at_work_is_waited_for(interrupted):
    threads = interrupted("join")
    done = []
    with pytest.raises(KeyboardInterrupt), WorkerPool(1) as pool:
        pool.submit(lambda: (time.sleep(0.2), done.append(True)))
    assert done == [True]
    assert not threads[0].is_alive()


def test_after_an_error_work_is_dropped_that_has_not_begun():
    done = []
    begun = threading.Event()

    def work() -> None:
        begun.set()
        time.sleep(0.2)
        done.append(True)

    def fail() -> None:
        with WorkerPool(1) as pool:
            for _ in range(3):
                pool.submit(work)
            begun.wait()
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert done == [True]


def test_without_an_error_all_work_is_done():
    done = []
    with WorkerPool(1) as pool:
        for number in range(3):
            pool.submit(done.append, number)
    assert done == [0, 1, 2]
