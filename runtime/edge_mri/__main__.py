"""`edge-mri`, which is `python -m edge_mri`: the command line, or why it cannot be imported."""

import sys

from edge_mri.process.interrupts import Interrupts

_WRONG_USE = 2


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
        command_line()


if __name__ == "__main__":
    main()
