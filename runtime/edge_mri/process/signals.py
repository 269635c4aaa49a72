"""SIGINT and SIGTERM: taken as a wish to stop, or held while something must not be cut short.

Whatever the first one has to wait for, the second ends the process at once, by that signal.
"""

import signal
from collections.abc import Generator, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from types import FrameType
from typing import TypeVar

Item = TypeVar("Item")

_TAKEN = ("SIGINT", "SIGTERM")


class _NoMoreWaitingError(Exception):
    """Leads out of a read that may never end."""


class Stop:
    """Whether a signal has come."""

    def __init__(self) -> None:
        self.signal: int | None = None
        self._is_waiting = False

    @property
    def exit_code(self) -> int:
        """What shells expect of a process that a signal stopped: 130 or 143; 0 without one."""
        return 128 + self.signal if self.signal else 0

    @property
    def name(self) -> str:
        """The signal's name, such as `SIGTERM`; empty without one."""
        return signal.Signals(self.signal).name if self.signal else ""

    def told(self, *, can_go_on: bool) -> str:
        """Return what is said of it to people."""
        return f"Stopped by {self.name}" + ("; --resume goes on." if can_go_on else ".")

    def take(self, number: int) -> None:
        """Note that a signal has come; on the main thread, as Python's handlers are called."""
        self.signal = number
        if self._is_waiting:
            raise _NoMoreWaitingError

    def awaited(self, items: Iterable[Item]) -> Iterator[Item]:
        """Yield the items, asked for on the main thread, until a signal comes.

        One that comes while an item is waited for, such as the next line of a list on stdin, ends
        the waiting.
        """
        iterator = iter(items)
        try:
            while self.signal is None:
                self._is_waiting = True
                item = next(iterator)
                self._is_waiting = False
                yield item
        except (StopIteration, _NoMoreWaitingError):
            return
        finally:
            self._is_waiting = False

    def until(self, items: Iterable[Item]) -> Generator[Item, None, None]:
        """Yield the items until a signal comes; then, or when it is closed, close their source."""
        iterator = iter(items)
        try:
            while self.signal is None:
                try:
                    item = next(iterator)
                except StopIteration:
                    return
                yield item
        finally:
            close = getattr(iterator, "close", None)
            if close:
                close()


@contextmanager
def stop_on_signals(stop: Stop | None = None) -> Iterator[Stop]:
    """Take the first signal while this lasts; only on the main thread, elsewhere it does nothing.

    The second ends the process, by the system itself: whatever keeps Python busy.
    """
    stop = stop or Stop()
    before: dict[int, object] = {}

    def take(number: int, frame: FrameType | None) -> None:
        for taken in before:
            signal.signal(taken, signal.SIG_DFL)
        stop.take(number)

    try:
        for name in _TAKEN:
            number = getattr(signal, name)
            before[number] = signal.signal(number, take)
    except ValueError:  # not the main thread
        before.clear()
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]  # as signal gave it


@contextmanager
def hold_signals(*, has_come: bool = False) -> Iterator[None]:
    """Let a signal that Python code takes wait until this ends; only on the main thread, as above.

    Args:
        has_come: One has come before, and this is what it waits for: the next is the second.
    """
    came: list[tuple[int, FrameType | None]] = []

    def hold(number: int, frame: FrameType | None) -> None:
        if came or has_come:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        came.append((number, frame))

    with ExitStack() as stack:
        stack.callback(_deliver, came)
        for name in _TAKEN:
            number = getattr(signal, name)
            handler = signal.getsignal(number)
            if callable(handler):
                with suppress(ValueError):  # not the main thread
                    signal.signal(number, hold)
                    stack.callback(signal.signal, number, handler)
        yield


def _deliver(came: list[tuple[int, FrameType | None]]) -> None:
    """Call the handler of the signal that came, if one did."""
    for number, frame in came:
        handler = signal.getsignal(number)
        if callable(handler):
            handler(number, frame)
