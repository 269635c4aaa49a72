"""SIGINT and SIGTERM, taken as a wish to stop: what is being written is finished first."""

import signal
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TypeVar

Item = TypeVar("Item")

_TAKEN = ("SIGINT", "SIGTERM")


class Stop:
    """Whether a signal has come; a second one ends the process as it would have without us."""

    def __init__(self) -> None:
        self.signal: int | None = None

    @property
    def exit_code(self) -> int:
        """What shells expect of a process that a signal stopped: 130 or 143; 0 without one."""
        return 128 + self.signal if self.signal else 0

    @property
    def name(self) -> str:
        """The signal's name, such as `SIGTERM`; empty without one."""
        return signal.Signals(self.signal).name if self.signal else ""

    def until(self, items: Iterable[Item]) -> Iterator[Item]:
        """Yield the items until a signal comes; then close their source."""
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
def stop_on_signals() -> Iterator[Stop]:
    """Take the signals while this lasts; only on the main thread, elsewhere it does nothing."""
    stop = Stop()
    before: dict[int, object] = {}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]  # as signal gave it

    def take(number: int, frame: FrameType | None) -> None:
        stop.signal = number
        restore()

    try:
        for name in _TAKEN:
            number = getattr(signal, name)
            before[number] = signal.signal(number, take)
    except ValueError:  # not the main thread
        before.clear()
    try:
        yield stop
    finally:
        restore()
