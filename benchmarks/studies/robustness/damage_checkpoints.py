"""Flip random bits in a run's files, one at a time, and count what is refused and what passes.

    python benchmarks/studies/robustness/damage_checkpoints.py RUN [--flips 200]

RUN is a finished run of `edge-mri train`; it is copied, not changed. A flip passes where the file
is read and says what it said before (the padding of a zip says nothing), and fails where it is
read and says something else.
"""

import argparse
import random
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import click

from edge_mri.errors import EdgeMriError
from edge_mri_train.duplicates.seen import SeenImages
from edge_mri_train.networks.checkpoint import load_state
from edge_mri_train.networks.digest import digest
from edge_mri_train.settings.runs import CHECKPOINT, LAST, SEEN


def main() -> None:
    """Run the campaign and print its table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("run", type=Path)
    parser.add_argument("--flips", type=int, default=200)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for name in (CHECKPOINT, LAST, SEEN):
            copy = Path(shutil.copy(arguments.run / name, folder))
            counts = campaign(copy, _memory if name == SEEN else _state, arguments.flips)
            click.echo(f"{name:<14} {dict(counts)}")


def campaign(path: Path, read: Callable[[Path], str], flips: int) -> Counter[str]:
    """Flip bits of a file and read it after each; returns how many of each outcome."""
    data, expected = path.read_bytes(), read(path)
    counts = Counter({"refused": 0, "read, same values": 0, "READ, OTHER VALUES": 0})
    for seed in range(flips):
        bit = random.Random(seed).randrange(8 * len(data))
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        try:
            same = read(path) == expected
        except EdgeMriError:
            counts["refused"] += 1
        else:
            counts["read, same values" if same else "READ, OTHER VALUES"] += 1
    path.write_bytes(data)
    return counts


def _state(path: Path) -> str:
    return digest(load_state(path))


def _memory(path: Path) -> str:
    return SeenImages.from_bytes(path.read_bytes()).to_bytes().hex()


if __name__ == "__main__":
    main()
