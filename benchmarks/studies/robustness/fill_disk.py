"""Commands that write to a disk that fills up, at many sizes.

    python benchmarks/studies/robustness/fill_disk.py [--steps 8] [--json FILE]

A small file system in memory where this user may mount one, else a limit on the size of a file.
What does not fit is an error in one line, exit code 2; what a reader finds is whole or not there,
but for JSON lines and CSV, whose records are; with room again --resume goes on to all of them.
"""

import csv
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from campaign import Campaign, arguments, process
from edge_mri.classifier import SHIPPED_MODEL
from edge_mri.phantoms.phantom import PhantomConfig, write_phantoms

LARGEST_BYTES = 400_000
ROOM_BYTES = 50_000_000
TRAINING = (
    *("--arch", "squeezenet1_1", "--init-weights", "none", "--image-size", 32),
    *("--epochs", 1, "--device", "cpu"),
)


class Disk:
    """A folder on a disk of some bytes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        self.is_mounted = self._mount(ROOM_BYTES)
        self._bytes = ROOM_BYTES

    def _mount(self, size: int, more: str = "") -> bool:
        given = ["mount", "-t", "tmpfs", "-o", f"size={size}{more}", "none", str(self.folder)]
        return subprocess.run(given, capture_output=True, check=False).returncode == 0

    def resize(self, size: int) -> None:
        """Give the disk this many bytes; what lies on it stays."""
        self._bytes = size
        if self.is_mounted:
            self._mount(size, ",remount")

    def limit(self) -> None:
        """Limit a process where there is no disk of its own."""
        if not self.is_mounted:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (self._bytes, self._bytes))

    def close(self) -> None:
        """Take it away."""
        if self.is_mounted:
            subprocess.run(["umount", str(self.folder)], check=True)


def campaign(steps: int, only: Sequence[str] = ()) -> Campaign:
    """Try each command, or only some, at `steps` sizes of the disk."""
    counted = Campaign("full disk")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_phantoms(folder / "set", PhantomConfig(count=4, size_px=96, format="png"))
        disk = Disk(folder / "disk")
        counted.name += "" if disk.is_mounted else " (file size)"
        out = disk.folder / "out"
        images = folder / "set"
        commands: dict[str, list[object]] = {
            "infer jsonl": ["infer", images, "-o", out / "a.jsonl"],
            "infer csv": ["infer", images, "-o", out / "a.csv"],
            "infer json": ["infer", images, "-o", out / "a.json"],
            "report": ["infer", images, "-o", os.devnull, "--report", out / "a.html"],
            "heatmaps": ["infer", images, "-o", os.devnull, "--heatmaps", out],
            "volumes": ["infer", images, "-o", os.devnull, "--volumes", out / "a.json"],
            "audit": ["audit", images, "--json", out / "a.json", "--html", out / "a.html"],
            "split": ["split", images, "--out", out / "a.csv"],
            "evaluate": ["evaluate", "--data", images, "--json", out / "a.json"],
            "evaluate page": ["evaluate", "--data", images, "--html", out / "a.html"],
            "phantom": ["phantom", out, "--count", 4],
            "check --write": ["check", out / "model.onnx", "--write"],
            "train": ["train", "--data", images, *TRAINING, "--out", out],
        }
        try:
            for command in only or commands:
                for step in range(steps):
                    size = LARGEST_BYTES * step // steps
                    _try(counted, disk, out, command, commands[command], size)
        finally:
            disk.close()
    return counted


def _try(
    counted: Campaign, disk: Disk, out: Path, command: str, given: list[object], size: int
) -> None:
    disk.resize(ROOM_BYTES)
    subprocess.run(["rm", "-rf", str(out)], check=True)
    if command != "train":
        out.mkdir()
    if command == "check --write":
        (out / "model.onnx").write_bytes(SHIPPED_MODEL.read_bytes())
        size += SHIPPED_MODEL.stat().st_size
    disk.resize(size + 8192)
    ended = process(*given, preexec_fn=disk.limit, timeout_s=600)
    case = f"{command} {size:,} bytes"
    found = _left(out)
    counted.note_ended(command, case, ended, found=found, codes=(0, 2))
    if command in ("infer jsonl", "infer csv"):
        disk.resize(ROOM_BYTES)
        ended = process(*given, "--resume", preexec_fn=disk.limit)
        lines = Path(str(given[-1])).read_bytes().count(b"\n") - command.endswith("csv")
        found = "" if lines == 48 else f"{lines} of 48 records"
        counted.note_ended(f"{command}, gone on", case, ended, found=found)


def _left(out: Path) -> str:
    """Say what is not whole of what lies there."""
    for path in sorted(out.rglob("*")) if out.exists() else ():
        if path.name.startswith(".") or path.suffix == ".tmp":
            return f"left: {path.name}"
        if path.suffix == ".html" and not path.read_text().rstrip().endswith("</html>"):
            return "half a page"
        if path.suffix == ".json":
            try:
                json.loads(path.read_text())
            except ValueError:
                return "half a JSON"
        if path.suffix in (".jsonl", ".csv"):
            rows = path.read_text().rpartition("\n")[0].splitlines()
            if path.suffix == ".csv":
                widths = {len(row) for row in csv.reader(rows)}
                if len(widths) > 1:
                    return "half a row"
            elif any(not row.endswith("}") for row in rows):
                return "half a record"
    return ""


def main() -> int:
    """Run the campaign."""
    options = arguments(__doc__, steps=8).parse_args()
    return campaign(options.steps).finish(options.json)


if __name__ == "__main__":
    sys.exit(main())
