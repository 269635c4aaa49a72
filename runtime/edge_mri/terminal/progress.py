"""How long work tells how far it is."""

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import Protocol

import click

from edge_mri.terminal.standard_streams import unfiltered


class Progress(Protocol):
    """What a run tells its progress to."""

    def say(self, text: str) -> None:
        """Tell a line."""

    def bar(self, label: str, length: int) -> AbstractContextManager[Callable[[], None]]:
        """Start a count to `length`; yields what to call once a step."""


class TerminalProgress:
    """Lines and progress bars on stderr; the bars only on a terminal."""

    def say(self, text: str) -> None:
        """Print a line."""
        click.echo(text, err=True)

    @contextmanager
    def bar(self, label: str, length: int) -> Iterator[Callable[[], None]]:
        """Draw a bar."""
        stream = unfiltered(sys.stderr)
        if not stream.isatty():
            yield lambda: None
            return
        with click.progressbar(length=length, label=label, file=stream) as bar:
            yield partial(bar.update, 1)


class NoProgress:
    """Tells nobody."""

    def say(self, text: str) -> None:
        """Do nothing."""

    @contextmanager
    def bar(self, label: str, length: int) -> Iterator[Callable[[], None]]:
        """Yield a step that does nothing."""
        yield lambda: None
