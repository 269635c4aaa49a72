"""A pool of threads that Ctrl-C leaves whole."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import ParamSpec, TypeVar

from edge_mri.process.signals import hold_signals

Given = ParamSpec("Given")
Result = TypeVar("Result")


class WorkerPool(ThreadPoolExecutor):
    """A `ThreadPoolExecutor` that loses no thread to a signal.

    Where KeyboardInterrupt comes while a thread starts or ends, Python's own no longer waits for
    that thread (before 3.13 the interpreter may not either); one that is at work in native code
    when the interpreter ends then aborts the process. Here a signal is taken before or after: it
    waits for the work at hand, and a second one does not (`edge_mri.process.signals`). Work that
    has not begun when an exception leaves the `with` block is dropped.
    """

    def submit(
        self, fn: Callable[Given, Result], /, *args: Given.args, **kwargs: Given.kwargs
    ) -> Future[Result]:
        """Have a thread call a function; see `ThreadPoolExecutor`."""
        with hold_signals():
            return super().submit(fn, *args, **kwargs)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Let the threads end; see `ThreadPoolExecutor`."""
        with hold_signals():
            super().shutdown(wait, cancel_futures=cancel_futures)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with hold_signals(has_come=kind is not None and issubclass(kind, KeyboardInterrupt)):
            super().shutdown(cancel_futures=kind is not None)
