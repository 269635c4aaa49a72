"""A command that tells what the system refuses, threads, memory or files, as one line."""

from typing import Any

import click

from edge_mri.errors import EdgeMriError
from edge_mri_train.errors import SystemRefusalError, first_line

_NO_THREAD = "can't start new thread"
_NO_MEMORY = ("can't allocate memory", "not enough memory", "out of memory")


class DataCommand(click.Command):
    """A click command whose last resort is `SystemRefusalError`."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; see `click.Command`."""
        try:
            return super().invoke(ctx)
        except (MemoryError, RuntimeError, OSError) as error:
            refusal = _refusal(error)
            if refusal is None:
                raise
            raise refusal from error


def _refusal(error: Exception) -> SystemRefusalError | None:
    """Return what to tell of an error that is the system's; None where it is another's."""
    if isinstance(error, EdgeMriError | BrokenPipeError | click.exceptions.Exit):
        return None
    said = first_line(error)
    if said == _NO_THREAD:
        return SystemRefusalError(
            "it starts no more threads", "raise the limit of processes (ulimit -u)"
        )
    if isinstance(error, MemoryError) or any(one in said for one in _NO_MEMORY):
        return SystemRefusalError(
            "there is no more memory", "fewer images, or a smaller --batch-size, need less"
        )
    if isinstance(error, OSError) and error.errno is not None:
        return SystemRefusalError(
            f"{error.strerror}" + (f" ({error.filename})" if error.filename else ""),
            "see what it ran out of: disk, open files (ulimit -n) or the right to a file",
        )
    return None
