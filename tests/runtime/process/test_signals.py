import os
import signal
import threading
import time

import pytest

from edge_mri.process.signals import hold_signals, stop_on_signals

pytestmark = pytest.mark.skipif(os.name != "posix", reason="POSIX signals")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_after_the_item_at_hand(number, code):
    closed = []

    def source():
        try:
            yield from range(100)
        finally:
            closed.append(True)

    seen = []
    with stop_on_signals() as stop:
        for item in stop.until(source()):
            if item == 4:
                os.kill(os.getpid(), number)
            seen.append(item)
    assert seen == [0, 1, 2, 3, 4]
    assert closed == [True]
    assert (stop.exit_code, stop.name) == (code, number.name)


def test_a_signal_ends_the_waiting_for_an_item():
    reading, writing = os.pipe()

    def lines():
        yield "first"
        os.kill(os.getpid(), signal.SIGTERM)
        os.read(reading, 1)  # nobody ever writes
        yield "never"

    with stop_on_signals() as stop:
        assert list(stop.awaited(lines())) == ["first"]
        assert stop.name == "SIGTERM"
    os.close(reading)
    os.close(writing)


def test_a_signal_while_an_item_is_used_lets_it_be_used():
    with stop_on_signals() as stop:
        seen = []
        for item in stop.awaited(range(9)):
            if item == 2:
                os.kill(os.getpid(), signal.SIGINT)
            seen.append(item)
        assert seen == [0, 1, 2]


def test_an_error_in_the_items_is_not_swallowed():
    def broken():
        yield 1
        raise OSError("the disk is gone")

    with stop_on_signals() as stop, pytest.raises(OSError, match="the disk is gone"):
        list(stop.awaited(broken()))


STUCK = """
import ctypes, os, signal, sys, threading, time
from edge_mri.process.signals import hold_signals, stop_on_signals
from edge_mri.process.worker_pool import WorkerPool

for number in (signal.SIGINT, signal.SIGTERM):  # in the background the first is ignored
    signal.signal(number, signal.default_int_handler)

def press():
    for number in map(int, sys.argv[1:]):
        time.sleep(0.3)
        os.kill(os.getpid(), number)

def never_ends():
    reading, _ = os.pipe()
    while True:  # as native code that hears nothing
        ctypes.CDLL(None).sleep(60)

presser = threading.Thread(target=press, daemon=True)
"""
WAITS = {
    "a wish to stop": "with stop_on_signals(): presser.start(); never_ends()",
    "a held signal": "presser.start()\nwith hold_signals(): time.sleep(60)",
    "a pool that ends": """
with WorkerPool(1) as pool:
    pool.submit(time.sleep, 60)
    presser.start()
""",
    "a pool that an interrupt ends": """
with WorkerPool(1) as pool:
    pool.submit(time.sleep, 60)
    presser.start()
    time.sleep(60)
""",
}
SIGINT, SIGTERM = signal.SIGINT, signal.SIGTERM


@pytest.mark.parametrize("waits", WAITS)
@pytest.mark.parametrize("pressed", [(SIGINT, SIGINT), (SIGTERM, SIGINT), (SIGTERM, SIGTERM)])
def test_the_second_signal_ends_a_process_whatever_it_waits_for(process, waits, pressed):
    started = time.monotonic()
    assert process("-c", STUCK + WAITS[waits], *map(int, pressed)).code == -pressed[1]
    assert time.monotonic() - started < 30


def test_the_handlers_of_before_come_back():
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with stop_on_signals() as stop:
        assert signal.getsignal(signal.SIGTERM) not in before
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before
    assert (stop.exit_code, stop.name) == (0, "")


def test_another_thread_takes_no_signals():
    seen = []

    def run():
        with stop_on_signals() as stop:
            seen.extend(stop.until(range(3)))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert seen == [0, 1, 2]


@pytest.fixture
def said():
    """What the handlers of SIGINT and SIGTERM were called with."""
    numbers = []
    before = {
        number: signal.signal(number, lambda number, frame: numbers.append(number))
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    yield numbers
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_held_signal_comes_at_the_end_and_once(said, number):
    with hold_signals():
        os.kill(os.getpid(), number)
        assert said == []
    assert said == [number]
    os.kill(os.getpid(), number)
    assert said == [number, number]


def test_signals_that_nobody_takes_are_not_held():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with hold_signals():
            assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_held_signal_stops_what_is_to_be_stopped(said):
    with stop_on_signals() as stop:
        with hold_signals():
            os.kill(os.getpid(), signal.SIGTERM)
            assert stop.signal is None
        assert stop.name == "SIGTERM"
    assert said == []


def test_only_the_main_thread_holds_signals(said):
    handlers = []

    def hold() -> None:
        with hold_signals():
            handlers.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=hold)
    thread.start()
    thread.join()
    assert handlers == [signal.getsignal(signal.SIGINT)]
