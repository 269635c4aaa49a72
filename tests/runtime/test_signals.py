import os
import signal
import threading

import pytest

from edge_mri.signals import hold_interrupts, stop_on_signals

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


def test_a_second_signal_does_not_wait():
    # A process started in the background ignores Ctrl-C, and so would what comes back here.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        _second_signal()
    finally:
        signal.signal(signal.SIGINT, before)


def _second_signal():
    with stop_on_signals():
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


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


def test_a_held_interrupt_comes_at_the_end():
    said = []
    before = signal.signal(signal.SIGINT, lambda number, frame: said.append("came"))
    try:
        with hold_interrupts():
            os.kill(os.getpid(), signal.SIGINT)
            said.append("held")
        assert said == ["held", "came"]
        os.kill(os.getpid(), signal.SIGINT)
        assert said == ["held", "came", "came"]
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_held_interrupt_stops_what_is_to_be_stopped():
    with stop_on_signals() as stop:
        with hold_interrupts():
            os.kill(os.getpid(), signal.SIGINT)
            assert stop.signal is None
        assert stop.exit_code == 130


def test_only_the_main_thread_holds_interrupts():
    handlers = []

    def hold() -> None:
        with hold_interrupts():
            handlers.append(signal.getsignal(signal.SIGINT))

    before = signal.getsignal(signal.SIGINT)
    thread = threading.Thread(target=hold)
    thread.start()
    thread.join()
    assert handlers == [before]
