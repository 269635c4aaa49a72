"""Damaged files by the hundred thousand through the readers: no crash, no hang, no growth.

Every case takes a whole file of some format (drawings, and the test files of pydicom and nibabel
where they are installed) and damages it: cut off, bits flipped, numbers in its header replaced,
another format's header, parts repeated or left out. Reading it must give frames or an `ImageError`
with a reason. A child process reads; when it dies or takes too long over a case, the case is a
finding and a new child goes on after it. Seed and number of a case give its bytes again:

    python benchmarks/fuzz_readers.py [--cases 100000] [--seconds 300] [--seed 0] [--json FILE]
    python benchmarks/fuzz_readers.py --seed 0 --show 4711 > case.bin

Exit code: 0 without findings, 1 with.
"""

import argparse
import ctypes
import gzip
import json
import multiprocessing
import platform
import random
import struct
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from importlib.util import find_spec
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path
from typing import Any

import click
import cv2
import numpy as np
from numpy.typing import NDArray

from edge_mri.errors import ImageError
from edge_mri.images import Limits, decode_frames
from edge_mri.images.quiet import native_stderr_silenced
from edge_mri.labels import Label
from edge_mri.phantom import draw_phantom

LIMITS = Limits(max_pixels=4_000_000)
SLOW_S = 60.0  # CharLS takes 2**31 steps over some damaged JPEG-LS, then gives up
MAX_SEED_BYTES = 300_000
WARM_CASES = 10_000
ODD_NUMBERS = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 60_000, 0x7FFFFFFF, 0xFFFFFFFF)


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


def whole_files() -> list[tuple[str, bytes]]:
    """Return a whole file of every kind, with a name for it, in a fixed order."""
    drawing = draw_phantom(Label("glioma", "axial"), size_px=96)
    deep = drawing.astype(np.uint16) * 16
    encodings: dict[str, tuple[str, NDArray[Any], list[int]]] = {
        "jpeg": (".jpg", drawing, []),
        "jpeg progressive": (".jpg", drawing, [cv2.IMWRITE_JPEG_PROGRESSIVE, 1]),
        "jpeg colour": (".jpg", cv2.cvtColor(drawing, cv2.COLOR_GRAY2BGR), []),
        "jpeg restarts": (".jpg", drawing, [cv2.IMWRITE_JPEG_RST_INTERVAL, 4]),
        "png": (".png", drawing, []),
        "png 16": (".png", deep, []),
        "png alpha": (".png", cv2.cvtColor(drawing, cv2.COLOR_GRAY2BGRA), []),
        "bmp": (".bmp", drawing, []),
        "webp": (".webp", drawing, [cv2.IMWRITE_WEBP_QUALITY, 80]),
        "webp lossless": (".webp", drawing, [cv2.IMWRITE_WEBP_QUALITY, 101]),
        "tiff": (".tif", drawing, []),
        "tiff 16": (".tif", deep, []),
        "tiff float": (".tif", drawing.astype(np.float32), []),
        "tiff lzw": (".tif", drawing, [cv2.IMWRITE_TIFF_COMPRESSION, 5]),
        "tiff jpeg": (".tif", drawing, [cv2.IMWRITE_TIFF_COMPRESSION, 7]),
    }
    files = [
        (name, bytes(cv2.imencode(suffix, pixels, options)[1]))
        for name, (suffix, pixels, options) in encodings.items()
    ]
    files.append(("tiff pages", bytes(cv2.imencodemulti(".tif", [drawing] * 3)[1])))
    if find_spec("pydicom"):
        import pydicom

        folder = Path(pydicom.__file__).parent / "data/test_files"
        files += [
            ("dicom " + path.stem, path.read_bytes()) for path in sorted(folder.glob("*.dcm"))
        ]
    if find_spec("nibabel"):
        import nibabel as nib

        volume = np.stack([drawing[::8, ::8]] * 6, axis=2)
        stored = nib.Nifti1Image(volume, np.eye(4)).to_bytes()
        files += [("nifti", stored), ("nifti gzip", gzip.compress(stored, mtime=0))]
        files.append(("nifti 2", nib.Nifti2Image(volume, np.eye(4)).to_bytes()))
    return [(name, data) for name, data in files if len(data) <= MAX_SEED_BYTES]


def damaged(files: list[tuple[str, bytes]], seed: int, number: int) -> tuple[str, bytes]:
    """Return the kind and the bytes of a case."""
    rng = random.Random(f"{seed}/{number}")
    name, whole = rng.choice(files)
    if name.startswith("dicom") and rng.random() < 0.6:  # they are many: less of each
        name, whole = rng.choice(files[:16])
    data = bytearray(whole)
    for _ in range(rng.choice((1, 1, 2, 4))):
        if data:
            _DAMAGES[rng.randrange(len(_DAMAGES))](data, rng, files)
    return name, bytes(data)


def _cut(data: bytearray, rng: random.Random, _: object) -> None:
    del data[rng.randrange(len(data)) :]


def _cut_and_end(data: bytearray, rng: random.Random, _: object) -> None:
    tail = bytes(data[-rng.choice((2, 12, 64)) :])
    del data[rng.randrange(len(data)) :]
    data += tail


def _flip(data: bytearray, rng: random.Random, _: object) -> None:
    for _ in range(rng.choice((1, 3, 10, 100))):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def _flip_header(data: bytearray, rng: random.Random, _: object) -> None:
    for _ in range(rng.choice((1, 3, 10))):
        data[rng.randrange(min(len(data), 512))] = rng.randrange(256)


def _odd_number(data: bytearray, rng: random.Random, _: object) -> None:
    kind = rng.choice(("<H", ">H", "<I", ">I"))
    size = struct.calcsize(kind)
    position = rng.randrange(max(min(len(data), rng.choice((64, 512, 1 << 30))) - size, 1))
    value = rng.choice(ODD_NUMBERS) & (256**size - 1)
    data[position : position + size] = struct.pack(kind, value)


def _other_header(data: bytearray, rng: random.Random, files: list[tuple[str, bytes]]) -> None:
    length = rng.choice((2, 8, 32, 132, 352))
    data[:length] = rng.choice(files)[1][:length]


def _leave_out(data: bytearray, rng: random.Random, _: object) -> None:
    start = rng.randrange(len(data))
    del data[start : start + rng.choice((1, 2, 16, 256))]


def _repeat(data: bytearray, rng: random.Random, _: object) -> None:
    start = rng.randrange(len(data))
    part = data[start : start + rng.choice((1, 16, 256, 4096))]
    data[start:start] = part * rng.choice((1, 2, 50))


def _blank(data: bytearray, rng: random.Random, _: object) -> None:
    start = rng.randrange(len(data))
    length = min(rng.choice((4, 64, 4096)), len(data) - start)
    data[start : start + length] = bytes([rng.choice((0, 255))]) * length


_DAMAGES = (
    *(_cut, _cut_and_end, _flip, _flip_header, _odd_number, _odd_number),
    *(_other_header, _leave_out, _repeat, _blank),
)


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
