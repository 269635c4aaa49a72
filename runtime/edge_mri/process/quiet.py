"""Libraries that would talk on stderr while they read files."""

import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, suppress
from typing import TextIO

from edge_mri.terminal.standard_streams import like, nowhere


def keep_pydicom_quiet(*others: str) -> None:
    """Let pydicom tell nobody of odd values: it quotes them, and they may be a patient's.

    Args:
        others: Packages that do the same.
    """
    for name in ("pydicom", *others):
        logger = logging.getLogger(name)
        if logger.level != logging.CRITICAL:  # to set it takes as long as to read a header
            logger.setLevel(logging.CRITICAL)
        warnings.filterwarnings("ignore", module=name)


@contextmanager
def native_stderr_silenced() -> Iterator[None]:
    """Send what C libraries write to stderr nowhere, while `sys.stderr` goes where it went.

    libjpeg prints a line for every odd file and cannot be told not to through OpenCV. This
    changes the whole process: it is for a command, not for a library's caller. Where the system
    has no descriptor left for it, they are heard.
    """
    python = sys.stderr
    with ExitStack() as stack:
        try:
            is_ours = python.fileno() == 2
            python.flush()
            kept = os.dup(2) if is_ours else None
        except (AttributeError, OSError, ValueError):  # none, closed, or one that is no file
            kept = None
        if kept is not None:
            stack.callback(os.close, kept)
            with suppress(OSError):
                into = nowhere()
                os.dup2(into, 2)
                os.close(into)
                stack.callback(os.dup2, kept, 2)
                file = stack.enter_context(_text_to(kept, python))
                stack.enter_context(redirect_stderr(like(python, file)))
        yield


def _text_to(descriptor: int, stream: TextIO) -> TextIO:
    return os.fdopen(
        descriptor,
        "w",
        buffering=1,
        encoding=stream.encoding,
        errors=stream.errors,
        closefd=False,
    )
