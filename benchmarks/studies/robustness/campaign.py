"""What the campaigns share: commands run by the hundred, what counts as a fault, a table and JSON.

A command of edge-mri may end with 0, 1 or 2, or by the signal it was sent; what it says of a
failure is one line. A traceback, another code, several errors, or no end is a finding, with
the case that brings it back. Linux.
"""

import argparse
import json
import multiprocessing
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click

MEMORY_BYTES = 16 * 2**30  # of addresses; torch alone takes several
_TAIL = 400  # characters of what a finding said
# Imported once, by a server from which each command is forked.
_PRELOADED = [
    *("onnx", "torch", "edge_mri.classifier", "edge_mri.inference"),
    *(f"edge_mri.commands.{name}" for name in ("infer", "info", "check")),
    *(f"edge_mri_train.commands.{name}" for name in ("audit", "split", "train", "evaluate")),
    "edge_mri_export.commands.verify",
]
_server = multiprocessing.get_context("forkserver")
_server.set_forkserver_preload(_PRELOADED)


@dataclass(frozen=True)
class Ended:
    """How a command ended; `code` is None where it did not within its time, -N by signal N."""

    code: int | None
    out: str
    err: str
    seconds: float


def forked(*arguments: object, timeout_s: float = 60) -> Ended:
    """Run `edge-mri` with some arguments in a process forked from one that has it imported."""
    with tempfile.TemporaryDirectory() as folder:
        out, err = Path(folder) / "out", Path(folder) / "err"
        given = [str(argument) for argument in arguments]
        child = _server.Process(target=_main, args=(given, str(out), str(err)))
        begun = time.perf_counter()
        child.start()
        child.join(timeout_s)
        seconds = time.perf_counter() - begun
        code = child.exitcode
        if code is None:
            child.kill()
            child.join()
        return Ended(code, *(_text(path) for path in (out, err)), seconds)


def process(*arguments: object, timeout_s: float = 120, **options: Any) -> Ended:
    """Run `edge-mri` as users do, in an interpreter of its own; options as of `subprocess.run`."""
    given = [sys.executable, "-m", "edge_mri", *map(str, arguments)]
    streams: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
    begun = time.perf_counter()
    try:
        ended = subprocess.run(given, check=False, timeout=timeout_s, **streams)
    except subprocess.TimeoutExpired:
        return Ended(None, "", "", timeout_s)
    texts = ((stream or b"").decode(errors="replace") for stream in (ended.stdout, ended.stderr))
    return Ended(ended.returncode, *texts, time.perf_counter() - begun)


def fault(ended: Ended, codes: Sequence[int] = (0, 1, 2)) -> str:
    """Say what is wrong with how a command ended; "" where nothing is."""
    if ended.code is None:
        return f"no end within {ended.seconds:.0f} s"
    if "Traceback" in ended.out + ended.err or "fault of edge-mri" in ended.err:
        return "traceback"
    if ended.code not in codes:
        return f"exit code {ended.code}"
    errors = [line for line in ended.err.splitlines() if line.startswith("Error: ")]
    if ended.code == 2 and len(errors) != 1:
        return f"{len(errors)} lines of error"
    if ended.code == 2 and "Cannot allocate memory" in ended.err:
        return "all memory"
    return ""


class Campaign:
    """Counts of outcomes by group, and the findings among them."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.counts: Counter[tuple[str, str]] = Counter()
        self.findings: list[dict[str, Any]] = []

    def note(self, group: str, outcome: str, *, found: str = "", case: str = "") -> None:
        """Count an outcome; `found` says what is wrong with it, `case` what brings it back."""
        self.counts[group, f"FOUND: {found}" if found else outcome] += 1
        if found:
            self.findings.append({"group": group, "case": case, "found": found})

    def note_ended(
        self, group: str, case: str, ended: Ended, *, found: str = "", codes: Sequence[int] = ()
    ) -> None:
        """Count how a command ended; a fault of that, or else `found`, is a finding."""
        found = fault(ended, codes or (0, 1, 2)) or found
        self.note(group, f"exit code {ended.code}", found=found, case=case)
        if found:
            said = asdict(ended) | {"out": ended.out[-_TAIL:], "err": ended.err[-_TAIL:]}
            self.findings[-1] |= said

    def finish(self, path: Path | None) -> int:
        """Print the table, write the JSON; return the exit code: 1 where there are findings."""
        for (group, outcome), count in sorted(self.counts.items()):
            click.echo(f"{self.name:<16} {group:<28} {outcome:<34} {count:>6}")
        for one in self.findings:
            click.echo(f"{self.name:<16} found {json.dumps(one)}")
        total = sum(self.counts.values())
        click.echo(f"{self.name:<16} cases {total}, findings {len(self.findings)}")
        if path is not None:
            counts = [
                {"group": group, "outcome": outcome, "count": count}
                for (group, outcome), count in sorted(self.counts.items())
            ]
            found = {"campaign": self.name, "counts": counts, "findings": self.findings}
            path.write_text(json.dumps(found, indent=2) + "\n")
        return 1 if self.findings else 0


def arguments(doc: str | None, **numbers: int) -> argparse.ArgumentParser:
    """Return a parser with `--json` and an option for each number, with its default."""
    parser = argparse.ArgumentParser(description=(doc or "").splitlines()[0])
    for name, default in numbers.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--json", type=Path)
    return parser


def not_finite(text: str) -> str:
    """Return what is wrong with lines of JSON records as numbers; "" where nothing is.

    Every answer's probabilities are numbers from 0 to 1 that sum to 1, and JSON holds no NaN.
    """
    for line in text.splitlines():
        try:
            record = json.loads(line, parse_constant=_refuse)
        except ValueError:
            return "a record that is no JSON"
        values = list((record.get("type_probabilities") or {}).values())
        if record["status"] == "ok" and not (
            all(0 <= value <= 1 for value in values) and abs(sum(values) - 1) < 1e-3
        ):
            return "an answer that is no distribution"
    return ""


def _refuse(name: str) -> float:
    raise ValueError(name)


def _text(path: Path) -> str:
    return path.read_bytes().decode(errors="replace") if path.exists() else ""


def _main(given: list[str], out: str, err: str) -> None:
    """Be `edge-mri`, in a process of its own."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    for number, path in ((0, os.devnull), (1, out), (2, err)):
        flags = os.O_RDWR | (os.O_CREAT if number else 0)
        os.dup2(os.open(path, flags, 0o600), number)
    sys.stdin, sys.stdout, sys.stderr = open(0), open(1, "w"), open(2, "w")  # noqa: SIM115
    from edge_mri.cli import main

    main(given, prog_name="edge-mri")
