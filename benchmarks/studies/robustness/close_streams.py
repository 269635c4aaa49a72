"""Commands with stdin, stdout and stderr closed or full, in all combinations.

    python benchmarks/studies/robustness/close_streams.py [--every 1] [--json FILE]

What is to be written to a stream that takes nothing is an error in one line, exit code 2; a file
named with -o is whole whatever the streams are.
"""

import os
import sys
import tempfile
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

from campaign import Campaign, arguments, process
from edge_mri.phantoms.phantom import PhantomConfig, write_phantoms

STATES = ("open", "closed", "full")


def campaign(every: int = 1, only: Sequence[str] = ()) -> Campaign:
    """Run each command, or only some, under each combination of streams or one of every so many."""
    counted = Campaign("streams")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_phantoms(folder / "set", PhantomConfig(count=1, size_px=48, format="png"))
        image = sorted((folder / "set").rglob("*.png"))[0]
        commands: dict[str, list[object]] = {
            "infer": ["infer", image],
            "infer -": ["infer", "-"],
            "infer -o": ["infer", image, "-o", folder / "out.jsonl"],
            "infer, wrong": ["infer", image, "--nothing"],
            "info": ["info"],
            "check": ["check"],
            "audit": ["audit", folder / "set"],
            "evaluate": ["evaluate", "--data", folder / "set"],
            "verify": ["verify", image],
            "--help": ["--help"],
        }
        cases = list(product(only or commands, product(STATES, repeat=3)))
        for command, states in cases[::every]:
            out = folder / "out.jsonl"
            out.unlink(missing_ok=True)
            ended = process(*commands[command], preexec_fn=lambda all_=states: _set(all_))
            found = ""
            if command == "infer -o" and (ended.code or out.read_bytes().count(b"\n") != 1):
                found = "no whole file"
            if "full" not in states[2:] and states[1] != "open" and command in ("infer", "info"):
                found = "" if ended.code == 2 else "nothing written, and nothing said"
            told = states[2] == "open"
            case = f"{command} {' '.join(states)}"
            if not told and ended.code == 2:  # the line had nowhere to go
                counted.note(command, "exit code 2", case=case)
            else:
                counted.note_ended(command, case, ended, found=found)
    return counted


def _set(states: tuple[str, ...]) -> None:
    """Close streams, or have them be a device that is always full, before a program starts."""
    for number, state in enumerate(states):
        if state == "closed":
            os.close(number)
        elif state == "full":
            os.dup2(os.open("/dev/full", os.O_RDWR), number)


def main() -> int:
    """Run the campaign."""
    options: Any = arguments(__doc__, every=1).parse_args()
    return campaign(options.every).finish(options.json)


if __name__ == "__main__":
    sys.exit(main())
