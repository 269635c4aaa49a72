"""Damaged files by the hundred thousand through the readers: no crash, no hang, no growth.

Every case takes a whole file of some format and damages it (`edge_mri_bench.damaged_files`): cut
off, bits flipped, numbers in its header replaced, another format's header, parts repeated or left
out. Reading it must give frames or an `ImageError` with a reason. A child process reads; when it
dies or takes too long over a case, the case is a finding and a new child goes on after it. Seed and
number of a case give its bytes again:

    python benchmarks/fuzz_readers.py [--cases 100000] [--seconds 300] [--seed 0] [--json FILE]
    python benchmarks/fuzz_readers.py --seed 0 --show 4711 > case.bin

Exit code: 0 without findings, 1 with.
"""

import argparse
import ctypes
import json
import multiprocessing
import platform
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path

import click
import cv2
import numpy as np

from edge_mri.errors import ImageError
from edge_mri.images import Limits, decode_frames
from edge_mri.images.quiet import native_stderr_silenced
from edge_mri_bench.damaged_files import damaged, whole_files

LIMITS = Limits(max_pixels=4_000_000)
SLOW_S = 60.0  # CharLS takes 2**31 steps over some damaged JPEG-LS, then gives up
WARM_CASES = 10_000


@dataclass
class Report:
    """What a run found.

    Attributes:
        cases: How many files were read.
        seconds: How long that took.
        outcomes: How many ended how: `frames`, or an error's class; by format.
        slowest_s: The longest case.
        slowest: Its number and kind.
        growth_bytes: Resident memory at the end less that after the first `WARM_CASES` of the last
            child; None for a run too short to tell.
        findings: Cases that crashed, hung, or raised what is no `ImageError`.
    """

    cases: int = 0
    seconds: float = 0.0
    outcomes: Counter[str] = field(default_factory=Counter)
    slowest_s: float = 0.0
    slowest: str = ""
    growth_bytes: int | None = None
    findings: list[str] = field(default_factory=list)


def read(data: bytes) -> str:
    """Read a case; returns how it ended."""
    try:
        for frame in decode_frames(data, LIMITS):
            if frame.pixels.dtype != np.uint8 or frame.pixels.ndim != 2 or not frame.pixels.size:
                return f"FINDING: a frame of {frame.pixels.dtype} {frame.pixels.shape}"
    except ImageError as error:
        return type(error).__name__ if str(error) else "FINDING: an error without a reason"
    except Exception as error:
        return f"FINDING: {type(error).__name__}: {error}"
    return "frames"


def child(
    seed: int, first: int, last: int, current: "Synchronized[int]", path: str, stop_at: float
) -> None:
    """Read cases `first` to `last`, telling which one is at hand, and write what came of them."""
    files = whole_files()
    report = Report()
    warm_bytes = None
    with native_stderr_silenced(), Path(path).open("a", encoding="utf-8") as findings:
        for number in range(first, last):
            if time.time() > stop_at:
                break
            current.value = number
            name, data = damaged(files, seed, number)
            started = time.perf_counter()
            outcome = read(data)
            took = time.perf_counter() - started
            if took > report.slowest_s:
                report.slowest_s, report.slowest = took, f"{number}, {name}"
            if outcome.startswith("FINDING"):
                findings.write(f"case {number} ({name}): {outcome.removeprefix('FINDING: ')}\n")
                findings.flush()
                outcome = "finding"
            report.outcomes[f"{name.split()[0]} {outcome}"] += 1
            report.cases += 1
            if report.cases == WARM_CASES:
                warm_bytes = resident_bytes()
            if report.cases % 500 == 0:
                _save(report, path, warm_bytes)
        _save(report, path, warm_bytes)
    current.value = last


def _save(report: Report, path: str, warm_bytes: int | None) -> None:
    report.growth_bytes = None if warm_bytes is None else resident_bytes() - warm_bytes
    Path(f"{path}.json").write_text(json.dumps(vars(report)), encoding="utf-8")


def resident_bytes() -> int:
    """Return this process's resident memory."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * 4096


def fuzz(cases: int, seconds: float, seed: int, folder: Path) -> Report:
    """Run cases until there are enough or the time is over."""
    whole_files()  # here first: what is wrong with them is no finding
    context = multiprocessing.get_context("spawn")
    total, first, began = Report(), 0, time.time()
    while first < cases and time.time() < began + seconds:
        current = context.Value(ctypes.c_long, first)
        path = folder / f"from-{first}"
        arguments = (seed, first, cases, current, str(path), began + seconds)
        worker = context.Process(target=child, args=arguments)
        worker.start()
        how = _watch(worker, current)
        part = json.loads(Path(f"{path}.json").read_text()) if Path(f"{path}.json").exists() else {}
        total.outcomes.update(part.get("outcomes", {}))
        if part.get("slowest_s", 0.0) > total.slowest_s:
            total.slowest_s, total.slowest = part["slowest_s"], part["slowest"]
        total.growth_bytes = part.get("growth_bytes") or total.growth_bytes
        total.findings += path.read_text().splitlines() if path.exists() else []
        if how:
            total.findings.append(f"case {current.value}: {how}")
            total.cases += current.value + 1 - first
            first = current.value + 1
        else:
            total.cases += part.get("cases", 0)
            break
    total.seconds = time.time() - began
    return total


def _watch(worker: multiprocessing.process.BaseProcess, current: "Synchronized[int]") -> str:
    """Wait for the child; returns how it went wrong, or nothing."""
    at, since = -1, time.time()
    while worker.is_alive():
        worker.join(0.5)
        if current.value != at:
            at, since = current.value, time.time()
        elif time.time() - since > SLOW_S + 20 * (at == 0):  # the first case waits for the imports
            worker.kill()
            worker.join()
            return f"still at it after {SLOW_S:.0f} s"
    return "" if worker.exitcode == 0 else f"the process died with code {worker.exitcode}"


def main() -> None:
    """Parse the command line, run, print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--cases", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, default=3600.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--show", type=int, metavar="CASE", help="write a case's bytes to stdout")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    if given.show is not None:
        sys.stdout.buffer.write(damaged(whole_files(), given.seed, given.show)[1])
        return
    with tempfile.TemporaryDirectory() as folder:
        report = fuzz(given.cases, given.seconds, given.seed, Path(folder))
    for outcome, count in sorted(report.outcomes.items()):
        click.echo(f"{count:>8}  {outcome}")
    rate = report.cases / report.seconds
    growth = "?" if report.growth_bytes is None else f"{report.growth_bytes / 2**20:+.1f} MB"
    click.echo(
        f"{report.cases:,} cases in {report.seconds:.0f} s ({rate:.0f} a second), slowest "
        f"{report.slowest_s:.2f} s (case {report.slowest}), memory {growth}, "
        f"findings {len(report.findings)}"
    )
    for finding in report.findings:
        click.echo(f"  {finding}")
    if given.json:
        machine = {"python": platform.python_version(), "cpu": platform.machine()}
        versions = {"opencv": cv2.__version__, "numpy": np.__version__}
        document = {"seed": given.seed, "machine": machine | versions} | vars(report)
        given.json.write_text(json.dumps(document, indent=1), encoding="utf-8")
    raise SystemExit(1 if report.findings else 0)


if __name__ == "__main__":
    main()
