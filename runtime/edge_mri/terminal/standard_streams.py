"""Stdin, stdout and stderr of a command: there or not, full or closed, and fit for people to read.

A process may be started without them (`2>&-`). Then their descriptors are taken before any file
can get them, for C libraries write to 1 and 2 whatever lies there; what is meant for a stdout that
is not there fails, and what is meant for such a stderr is lost.
"""

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from io import TextIOWrapper
from typing import Any, BinaryIO, TextIO, TypeVar, cast

from edge_mri.errors import OptionError, OutputError
from edge_mri.terminal.printable import printable

Result = TypeVar("Result")

_LAYOUT = "\n\t"
_WITHOUT_LAYOUT = str.maketrans("", "", _LAYOUT)


class StandardStream:
    """Stdout or stderr of a command, for text.

    It has what the stream below has, but for `buffer`, which would lead past it.

    Attributes:
        below: The stream it writes to.
        is_needed: Whether what cannot be written is an error; else it is lost.
        is_filtered: Whether what is not printable is spelt out, but line breaks and tabs.
    """

    def __init__(self, below: TextIO, *, is_needed: bool, is_filtered: bool = True) -> None:
        self.below = below
        self.is_needed = is_needed
        self.is_filtered = is_filtered

    def __getattr__(self, name: str) -> Any:
        if name in ("buffer", "below"):  # below: while it is copied, and has none yet
            raise AttributeError(name)
        return getattr(self.below, name)

    def write(self, text: str) -> int:
        """Write a text; raises `OutputError` where it is needed, `BrokenPipeError` likewise."""
        if text == "":  # as click asks whether a stream takes text; a full disk fails even that
            return 0
        if self.is_filtered and not text.translate(_WITHOUT_LAYOUT).isprintable():
            text = printable(text, keep=_LAYOUT)
        return self._try(self.below.write, text) or len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write texts one after another."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Hand on what was written; raises as `write` does."""
        self._try(self.below.flush)

    def _try(self, do: Callable[..., Result], *arguments: Any) -> Result | None:
        try:
            return do(*arguments)
        except (OSError, ValueError) as error:  # ValueError: it was closed
            let_go(self.below)
            if not self.is_needed:
                return None
            if isinstance(error, OSError) and not isinstance(error, BrokenPipeError):
                from pathlib import Path

                raise OutputError.of(Path("stdout"), error) from error
            raise


@contextmanager
def standard_streams() -> Iterator[None]:
    """Put streams in place that are there and fit to print on; afterwards the old ones again."""
    _take_free_descriptors()
    before = sys.stdout, sys.stderr
    stdout, stderr = (
        _open(number) if stream is None else stream for number, stream in enumerate(before, 1)
    )
    if isinstance(stdout, TextIOWrapper):  # file names need not be valid text
        stdout.reconfigure(errors="backslashreplace")
    sys.stdout = cast(TextIO, StandardStream(stdout, is_needed=True))
    sys.stderr = cast(TextIO, StandardStream(stderr, is_needed=False))
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


def stdin_bytes() -> BinaryIO:
    """Return what stdin holds; raises `OptionError` where there is none."""
    if sys.stdin is None:
        raise OptionError(
            "stdin is closed, and `-` stands for a list of paths on it; give it one, "
            "or name files and folders"
        )
    return sys.stdin.buffer


def like(stream: TextIO, below: TextIO) -> TextIO:
    """Return what writes to another stream as this one writes to its own."""
    if not isinstance(stream, StandardStream):
        return below
    other = StandardStream(below, is_needed=stream.is_needed, is_filtered=stream.is_filtered)
    return cast(TextIO, other)


def unfiltered(stream: TextIO) -> TextIO:
    """Return a stream as it is without its filter: for what draws on a terminal, and for data."""
    if not isinstance(stream, StandardStream):
        return stream
    same = StandardStream(stream.below, is_needed=stream.is_needed, is_filtered=False)
    return cast(TextIO, same)


def for_data(stream: TextIO) -> TextIO:
    """Return a stream for records that a program reads: filtered on a terminal alone."""
    return stream if stream.isatty() else unfiltered(stream)


def nowhere() -> int:
    """Return a new descriptor for what nobody is to read.

    The null device; where there is none, a pipe that nobody reads, which refuses what is written.
    """
    try:
        return os.open(os.devnull, os.O_WRONLY)
    except OSError:
        reading, writing = os.pipe()
        os.close(reading)
        return writing


def let_go(stream: TextIO) -> None:
    """Lead a stream that failed nowhere: Python would fail again when it empties it at its end."""
    with suppress(OSError, ValueError, AttributeError):  # no file, as in a test
        number = stream.fileno()
        try:
            into = os.open(os.devnull, os.O_WRONLY)
        except OSError:  # no null device: a pipe takes what the stream still holds
            kept, into = os.pipe()
            _KEPT.append(kept)
        os.dup2(into, number)
        os.close(into)


_KEPT: list[int] = []  # descriptors that must stay open


def _take_free_descriptors() -> None:
    """Put something where stdin, stdout or stderr is not: reading 0 and writing 1 fails."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            reading, writing = os.pipe()
            taken = (writing, reading, nowhere())[number]
            if taken != number:
                os.dup2(taken, number)
            for other in {reading, writing, taken} - {number}:
                os.close(other)


def _open(number: int) -> TextIO:
    return open(
        number, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False
    )
