"""Keeping a measurement on certain cores, where the system can."""

import os
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def pinned(cores: int) -> Iterator[list[int] | None]:
    """Keep this thread, and what it starts, on `cores` of the cores it may use.

    Yields:
        The cores; None where the system cannot pin or has fewer.
    """
    if not hasattr(os, "sched_setaffinity"):
        yield None
        return
    before = os.sched_getaffinity(0)
    chosen = sorted(before)[-cores:]  # interrupts tend to land on the first
    if len(chosen) < cores:
        yield None
        return
    os.sched_setaffinity(0, chosen)
    try:
        yield chosen
    finally:
        os.sched_setaffinity(0, before)
