"""Ctrl-C in a command: before its work begins, in its work, and a second time.

SIGTERM ends a process by itself; both in the midst of records are `edge_mri.process.signals`.
"""

import signal
from contextlib import suppress
from types import FrameType, TracebackType

_OURS_TO_SET = (signal.default_int_handler, signal.SIG_DFL)


class Interrupts:
    """What Ctrl-C does while this lasts; where it is ignored, or in another thread, nothing new.

    At first it ends the process, by the signal: nothing has begun that it could cut short, and in
    the middle of an import KeyboardInterrupt becomes what the package there makes of it.

    Attributes:
        came: Whether KeyboardInterrupt was raised: what fails afterwards may come from that.
    """

    def __init__(self) -> None:
        self.came = False
        self._before: object = None

    def __enter__(self) -> "Interrupts":
        before = signal.getsignal(signal.SIGINT)
        if before in _OURS_TO_SET:
            with suppress(ValueError):  # not the main thread
                signal.signal(signal.SIGINT, signal.SIG_DFL)
                self._before = before
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)  # type: ignore[arg-type]  # as signal gave it

    def heed(self) -> None:
        """From now on let the first raise KeyboardInterrupt, and the second end the process."""
        if self._before is not None:
            signal.signal(signal.SIGINT, self._take)

    def _take(self, number: int, frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)  # the next one ends it, also in native code
        if self.came:
            signal.raise_signal(number)
        self.came = True
        raise KeyboardInterrupt
