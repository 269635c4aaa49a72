"""Ctrl-C in the first moments of a command: how does the process end?

A command is started over and over and gets SIGINT at a random time. What it should end by is the
signal, exit code 130, or, where it was done, its own code; never a fault of edge-mri. Before any
line of edge-mri runs, Python itself answers, with a traceback.

    python benchmarks/studies/robustness/interrupt_starts.py [--runs 200] [--within 0.6] [--seed 0]
    COMMAND…
"""

import argparse
import random
import signal
import subprocess
import sys
import time
from collections import Counter

import click

FAULT = "fault of edge-mri"


def ended(arguments: list[str], wait_s: float) -> tuple[int, str]:
    """Start a command, interrupt it and return its exit code and what kind of text it left."""
    child = subprocess.Popen(
        [sys.executable, "-m", "edge_mri", *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        # A shell's background jobs ignore it, and so would the child.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    time.sleep(wait_s)
    child.send_signal(signal.SIGINT)
    _, told = child.communicate()
    if FAULT in told:
        return child.returncode, "a fault"
    if "Traceback" in told:
        return child.returncode, "traceback" if "/edge_mri/" in told else "traceback of Python"
    return child.returncode, "Interrupted." if "Interrupted." in told else "nothing or a summary"


def main() -> None:
    """Count the ends."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--within", type=float, default=0.6, help="seconds")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("command", nargs=argparse.REMAINDER)
    options = parser.parse_args()
    generator = random.Random(options.seed)
    counts = Counter(
        ended(options.command, generator.uniform(0, options.within)) for _ in range(options.runs)
    )
    for (code, kind), count in sorted(counts.items()):
        click.echo(f"exit code {code:>4}  {kind:<30} {count:>5}")


if __name__ == "__main__":
    main()
