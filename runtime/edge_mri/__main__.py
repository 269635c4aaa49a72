"""`edge-mri`, which is `python -m edge_mri`: the command line, or why it cannot be imported."""

import _signal  # type: ignore[import-not-found]

# Ctrl-C ends the process by the signal until it is known what to do with it, not by a traceback;
# to import `signal` itself takes milliseconds.
try:
    if _signal.getsignal(_signal.SIGINT) is _signal.default_int_handler:
        _signal.signal(_signal.SIGINT, _signal.SIG_DFL)
except ValueError:  # imported in another thread, where it cannot be set
    pass

import sys

from edge_mri.process.interrupts import Interrupts

_WRONG_USE = 2
_INTERRUPTED = 130


def main() -> None:
    """Run the command line; where click, which it is written with, is broken, say so in a line."""
    with Interrupts():
        try:
            from edge_mri.cli import main as command_line
        except Exception as error:
            from edge_mri.process.causes import cause_of

            cause = cause_of(error)
            if cause is None:
                raise
            if sys.stderr is not None:
                sys.stderr.write(f"Error: {cause}\n")
            raise SystemExit(_WRONG_USE) from error
        try:
            command_line()
        except KeyboardInterrupt:  # it came when the command had ended
            raise SystemExit(_INTERRUPTED) from None


if __name__ == "__main__":
    main()
