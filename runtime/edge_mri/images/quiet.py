"""Libraries that would talk on stderr while they read files."""

import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager


def keep_pydicom_quiet() -> None:
    """Let pydicom tell nobody of odd values: it quotes them, and they may be a patient's."""
    logging.getLogger("pydicom").setLevel(logging.CRITICAL)
    warnings.filterwarnings("ignore", module="pydicom")


@contextmanager
def native_stderr_silenced() -> Iterator[None]:
    """Send what C libraries write to stderr nowhere, while `sys.stderr` goes where it went.

    libjpeg prints a line for every odd file and cannot be told not to through OpenCV. This
    changes the whole process: it is for a command, not for a library's caller.
    """
    python = sys.stderr
    try:
        is_ours = python.fileno() == 2
    except (AttributeError, OSError, ValueError):  # none, closed, or one that is no file
        is_ours = False
    if not is_ours:
        yield
        return
    python.flush()
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)
    with os.fdopen(
        kept, "w", buffering=1, encoding=python.encoding, errors=python.errors, closefd=False
    ) as sys.stderr:
        try:
            yield
        finally:
            sys.stderr.flush()
            sys.stderr = python
            os.dup2(kept, 2)
            os.close(kept)
