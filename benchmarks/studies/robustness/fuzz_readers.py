"""Damaged files by the hundred thousand through the readers: no crash, no hang, no growth.

Every case takes a whole file of some format and damages it: its bytes, whatever they mean
(`damaged_files`), or its parts, with lengths and checksums that fit
(`structural_damage`). Reading it must give frames or an `ImageError` with a reason.
A child process reads; when it dies or takes too long over a case, the case is a finding and a new
child goes on after it. Seed, formats and number of a case give its bytes again:

    python benchmarks/studies/robustness/fuzz_readers.py [--cases N] [--seconds S] [--json FILE]
    python benchmarks/studies/robustness/fuzz_readers.py --formats png,apng,webp,awebp,tiff,jpeg,bmp
    python benchmarks/studies/robustness/fuzz_readers.py --seed 0 --show 4711 > case.bin

`--bare` gives the same cases to OpenCV alone, as a reader without checks of its own would: which of
its decoders can die.

Exit code: 0 without findings, 1 with.
"""

import argparse
import ctypes
import faulthandler
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

from damaged_files import damaged, whole_files
from edge_mri.errors import ImageError
from edge_mri.images import Limits, decode_frames
from edge_mri.process.quiet import native_stderr_silenced

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
        by_format: How many cases of a format there were, and of them `died`, `hung`, `raised`.
    """

    cases: int = 0
    seconds: float = 0.0
    outcomes: Counter[str] = field(default_factory=Counter)
    slowest_s: float = 0.0
    slowest: str = ""
    growth_bytes: int | None = None
    findings: list[str] = field(default_factory=list)
    by_format: dict[str, Counter[str]] = field(default_factory=dict)

    def count(self, name: str, what: str, number: int = 1) -> None:
        """Count a case of a format, by the first word of its name."""
        self.by_format.setdefault(name.split()[0], Counter())[what] += number


def read_bare(data: bytes) -> str:
    """Give a case to OpenCV alone; returns how it ended."""
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE)
    except cv2.error:
        return "error"
    return "frames" if image is not None else "nothing"


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


def seeds(formats: str) -> list[tuple[str, bytes]]:
    """Return the whole files of some formats, by the first word of their names; "" for all."""
    wanted = formats.split(",") if formats else []
    files = [
        (name, data) for name, data in whole_files() if not wanted or name.split()[0] in wanted
    ]
    if not files:
        raise SystemExit(f"no whole file of a format among {formats}")
    return files


def child(
    asked: argparse.Namespace,
    first: int,
    current: "Synchronized[int]",
    path: str,
    stop_at: float,
) -> None:
    """Read cases from `first` on, telling which one is at hand, and write what came of them."""
    files = seeds(asked.formats)
    seed, last = asked.seed, asked.cases
    report = Report()
    warm_bytes = None
    with (
        native_stderr_silenced(),
        Path(path).open("a", encoding="utf-8") as findings,
        Path(f"{path}.stack").open("w", encoding="utf-8") as stack,
    ):
        faulthandler.enable(stack, all_threads=False)
        for number in range(first, last):
            if time.time() > stop_at:
                break
            current.value = number
            name, data = damaged(files, seed, number)
            started = time.perf_counter()
            outcome = read_bare(data) if asked.bare else read(data)
            took = time.perf_counter() - started
            if took > report.slowest_s:
                report.slowest_s, report.slowest = took, f"{number}, {name}"
            if outcome.startswith("FINDING"):
                findings.write(f"case {number} ({name}): {outcome.removeprefix('FINDING: ')}\n")
                findings.flush()
                outcome = "finding"
                report.count(name, "raised")
            report.outcomes[f"{name.split()[0]} {outcome}"] += 1
            report.count(name, "cases")
            report.cases += 1
            if report.cases == WARM_CASES:
                warm_bytes = resident_bytes()
            if report.cases % 100 == 0 or took > 0.5:
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


def fuzz(asked: argparse.Namespace, folder: Path) -> Report:
    """Run cases until there are enough or the time is over."""
    files = seeds(asked.formats)  # here first: what is wrong with them is no finding
    context = multiprocessing.get_context("spawn")
    total, first, began = Report(), 0, time.time()
    stop_at = began + asked.seconds
    while first < asked.cases and time.time() < stop_at:
        current = context.Value(ctypes.c_long, first)
        path = folder / f"from-{first}"
        worker = context.Process(target=child, args=(asked, first, current, str(path), stop_at))
        worker.start()
        how = _watch(worker, current)
        part = json.loads(Path(f"{path}.json").read_text()) if Path(f"{path}.json").exists() else {}
        total.outcomes.update(part.get("outcomes", {}))
        for name, counts in part.get("by_format", {}).items():
            for what, number in counts.items():
                total.count(name, what, number)
        if part.get("slowest_s", 0.0) > total.slowest_s:
            total.slowest_s, total.slowest = part["slowest_s"], part["slowest"]
        total.growth_bytes = part.get("growth_bytes") or total.growth_bytes
        total.findings += path.read_text().splitlines() if path.exists() else []
        if not how:
            total.cases += part.get("cases", 0)
            break
        for number in range(first + part.get("cases", 0), current.value + 1):
            total.count(damaged(files, asked.seed, number)[0], "cases")
        name = damaged(files, asked.seed, current.value)[0]
        total.count(name, "died" if "died" in how else "hung")
        total.findings.append(f"case {current.value} ({name}): {how}{_where(path)}")
        total.cases += current.value + 1 - first
        first = current.value + 1
    total.seconds = time.time() - began
    return total


def _where(path: Path) -> str:
    """Return the line of Python that a child was at when it died."""
    lines = Path(f"{path}.stack").read_text(encoding="utf-8").splitlines()
    return next((f" at {line.strip()}" for line in lines if line.startswith("  File")), "")


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
    parser.add_argument("--formats", default="", help="the first words of the whole files' names")
    parser.add_argument("--bare", action="store_true", help="OpenCV alone, without our checks")
    given = parser.parse_args()
    if given.show is not None:
        sys.stdout.buffer.write(damaged(seeds(given.formats), given.seed, given.show)[1])
        return
    with tempfile.TemporaryDirectory() as folder:
        report = fuzz(given, Path(folder))
    for outcome, count in sorted(report.outcomes.items()):
        click.echo(f"{count:>8}  {outcome}")
    for name, counts in sorted(report.by_format.items()):
        click.echo(
            f"{name:8} {counts['cases']:>8} cases, "
            + ", ".join(f"{what} {counts[what]}" for what in ("died", "hung", "raised"))
        )
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
