"""Kill runs with SIGKILL at random moments, go on, and compare with a run that nobody killed.

    python benchmarks/studies/robustness/kill_runs.py [--runs 20] [--trainings 3] [--json FILE]

`edge-mri infer -o` as JSON lines and CSV with --resume: no record lost, none doubled, each whole.
`edge-mri train` with --resume: the same weights at the end.
"""

import csv
import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from campaign import Campaign, arguments, fault, process
from edge_mri.phantoms.phantom import PhantomConfig, write_phantoms
from edge_mri_train.networks.checkpoint import load_state
from edge_mri_train.networks.digest import digest
from edge_mri_train.settings.runs import CHECKPOINT, LAST

MOST_KILLS = 6  # of one run, until it is left alone
TRAINING = (
    *("--arch", "squeezenet1_1", "--init-weights", "none", "--image-size", 32),
    *("--epochs", 4, "--device", "cpu"),
)


def campaign(runs: int, trainings: int, images: int = 240) -> Campaign:
    """Kill `runs` classifications and `trainings` trainings several times each."""
    counted, generator = Campaign("kills"), random.Random(0)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_phantoms(folder / "set", PhantomConfig(count=4, size_px=96, format="png"))
        files = sorted((folder / "set").rglob("*.png"))
        named = [files[number % len(files)] for number in range(images - 1)]
        named.insert(20, folder / "no-image.png")
        named[20].write_bytes(b"no image")
        for kind in ("jsonl", "csv"):
            whole = folder / f"whole.{kind}"
            begun = time.perf_counter()
            process("infer", *named, "-o", whole)
            taken = time.perf_counter() - begun
            for number in range(runs):
                out = folder / f"{number}.{kind}"
                _classify(counted, [*named, "-o", out], whole, out, generator, taken)
        if trainings:
            _train(counted, folder, trainings, generator)
    return counted


def _classify(
    counted: Campaign,
    given: list[object],
    whole: Path,
    out: Path,
    generator: random.Random,
    taken: float,
) -> None:
    kind, kills = out.suffix[1:], 0
    for _ in range(MOST_KILLS):
        kills += _killed(["infer", *given, "--resume"], generator.uniform(0, taken))
        written = out.read_bytes() if out.exists() else b""
        rows = written[: written.rfind(b"\n") + 1]
        if not whole.read_bytes().startswith(rows):
            counted.note(
                f"infer {kind}", "", found="other records", case=f"{out.name} kill {kills}"
            )
            return
    ended = process("infer", *given, "--resume")
    found = "" if _names(out) == _names(whole) else "records lost or doubled"
    if not found and out.read_bytes() != whole.read_bytes():
        found = "other answers"
    counted.note_ended(f"infer {kind}, gone on", f"{out.name} kills {kills}", ended, found=found)
    counted.counts[f"infer {kind}", "killed"] += kills


def _names(path: Path) -> list[str]:
    lines = path.read_text().splitlines()
    if path.suffix == ".csv":
        return [row["path"] for row in csv.DictReader(lines)]
    return [json.loads(line)["path"] for line in lines]


def _train(counted: Campaign, folder: Path, trainings: int, generator: random.Random) -> None:
    given = ["train", "--data", folder / "set", *TRAINING]
    begun = time.perf_counter()
    ended = process(*given, "--out", folder / "whole", timeout_s=600)
    taken = time.perf_counter() - begun
    if fault(ended, (0,)):
        counted.note_ended("train", "whole", ended, codes=(0,))
        return
    for number in range(trainings):
        out, kills = folder / f"run-{number}", 0
        for _ in range(MOST_KILLS):
            more = ["--resume"] if (out / LAST).exists() else []
            kills += _killed([*given, *more, "--out", out], generator.uniform(0, 1.2 * taken))
            if not (out / LAST).exists() and out.exists():
                ended = process(*given, "--out", out, timeout_s=600)
                if ended.code:  # what lies there is no run: said so in a line
                    counted.note_ended("train, begun again", f"run {number}", ended)
                    for one in out.iterdir():
                        one.unlink()
        more = ["--resume"] if (out / LAST).exists() else []
        ended = process(*(given if not more else given[:1]), *more, "--out", out, timeout_s=600)
        same = ended.code == 0 and all(
            _state(out / one) == _state(folder / "whole" / one) for one in (CHECKPOINT, LAST)
        )
        found = "" if same else "other weights"
        counted.note_ended("train, gone on", f"run {number} kills {kills}", ended, found=found)
        counted.counts["train", "killed"] += kills


def _state(path: Path) -> str:
    state = load_state(path)
    return digest(state["state" if path.name == CHECKPOINT else "network"])


def _killed(given: list[object], wait_s: float) -> bool:
    """Start a command, kill it after a while; say whether it was still running."""
    child = subprocess.Popen(
        [sys.executable, "-m", "edge_mri", *map(str, given)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        child.wait(wait_s)
    except subprocess.TimeoutExpired:
        child.kill()
    return child.wait() == -9


def main() -> int:
    """Run the campaign."""
    options = arguments(__doc__, runs=20, trainings=3, images=240).parse_args()
    return campaign(options.runs, options.trainings, options.images).finish(options.json)


if __name__ == "__main__":
    sys.exit(main())
