r"""Whether a model answers alike on other CPUs, emulated: no VNNI and no AVX-512, and ARM64.

    python benchmarks/studies/robustness/portability.py [MODEL...] [--images DIR] \
        [--cpu haswell --cpu cortex-a72]

The same images go through the whole runtime natively, under `qemu-x86_64 -cpu Haswell` with this
Python and its packages, and under `qemu-aarch64 -cpu cortex-a72` (the CPU of a Raspberry Pi 4) with
Debian's Python and the aarch64 wheels, which are fetched into `--cache`. Compared are the logits,
and on ARM what `edge-mri infer` writes. Speed under emulation says nothing and is not measured.

Needs Debian's qemu-user; for ARM also a Debian 12 with apt-get, dpkg and pip. Exit code: 0; 1 when
a model's answers differ by more than `--tolerance`; 77 when an emulator cannot be had, with the
reason.
"""

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray

from edge_mri.classifier import SHIPPED_MODEL
from edge_mri.phantoms.phantom import PhantomConfig, write_phantoms
from emulated_cpus import KNOWN, Cpu, UnavailableError, native

SKIPPED = 77

_ASK = """
import json, sys
from pathlib import Path
from edge_mri.classifier import Classifier
from edge_mri.cli import main
from edge_mri.images import ImageFiles, read_image
from edge_mri.images.preprocess import preprocess_batch

answers, images, *models = sys.argv[1:]
found = {}
for model in models:
    classifier = Classifier.load(model, device="cpu")
    files = list(ImageFiles([Path(images)]))
    pixels = preprocess_batch(map(read_image, files), classifier.contract.preprocess)
    records = Path(answers + ".jsonl")
    arguments = ["infer", images, "--model", model, "--format", "jsonl", "-o", str(records)]
    main(arguments, standalone_mode=False)
    found[model] = {
        "pixels": pixels.reshape(len(pixels), -1).tolist(),
        "logits": classifier.logits(pixels).tolist(),
        "types": [json.loads(line)["type"] for line in records.read_text().splitlines()],
    }
Path(answers).write_text(json.dumps(found))
"""


@dataclass(frozen=True)
class Answers:
    """What one model was shown, `(N, S * S)`, and said: `(N, K)` logits, a type per record."""

    pixels: NDArray[np.int64]
    logits: NDArray[np.float64]
    types: list[str]


class FailedError(Exception):
    """A CPU ran Python, and the models did not run on it."""


def ask(cpu: Cpu, models: list[Path], images: Path, folder: Path) -> dict[Path, Answers]:
    """Ask models about a folder of images on a CPU."""
    start_python(cpu)
    answers = folder / "answers.json"
    ended = subprocess.run(
        [*cpu.command, "-c", _ASK, str(answers), str(images), *map(str, models)],
        env=os.environ
        | {"PYTHONPATH": os.pathsep.join(cpu.packages), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    if ended.returncode:
        last = "\n".join(ended.stderr.splitlines()[-5:])
        raise FailedError(f"Python ended with {ended.returncode} on {cpu.name}:\n{last}")
    found = json.loads(answers.read_text(encoding="utf-8"))
    given = {model: found[str(model)] for model in models}
    return {
        model: Answers(np.array(one["pixels"]), np.array(one["logits"]), one["types"])
        for model, one in given.items()
    }


def start_python(cpu: Cpu) -> None:
    """Raise `UnavailableError` where Python itself does not start: no word on the models."""
    started = subprocess.run([*cpu.command, "-c", ""], capture_output=True, text=True, check=False)
    if started.returncode:
        last = "\n".join(started.stderr.splitlines()[-5:])
        raise UnavailableError(f"Python does not start on {cpu.name}:\n{last}")


def compare(here: Answers, there: Answers, tolerance: float) -> tuple[bool, str]:
    """Return whether two CPUs answer alike, and what differs.

    Decoders may round another way from CPU to CPU; where one changed the input, the class alone
    must be the same.
    """
    pixels = np.abs(here.pixels - there.pixels).max(axis=1)
    logits = np.abs(here.logits - there.logits).max(axis=1)
    same = pixels == 0
    classes = int((here.logits.argmax(axis=1) != there.logits.argmax(axis=1)).sum())
    types = sum(one != other for one, other in zip(here.types, there.types, strict=True))
    largest = logits[same].max(initial=0.0)
    text = (
        f"{len(same)} images: {classes} other classes, {types} other types written; the same input "
        f"for {same.sum()}, whose logits differ by at most {largest:.2g}"
    )
    if not same.all():
        text += (
            f"; elsewhere input differs by at most {pixels.max()} grey levels, logits by "
            f"{logits[~same].max():.2g}"
        )
    return classes == types == 0 and bool(largest <= tolerance and same.any()), text


@click.command()
@click.argument("models", nargs=-1, type=click.Path(path_type=Path, exists=True))
@click.option(
    "--images",
    type=click.Path(path_type=Path, exists=True),
    help="A handful of images.  [default: twelve phantoms]",
)
@click.option(
    "--cpu",
    "cpus",
    multiple=True,
    type=click.Choice(list(KNOWN)),
    default=tuple(KNOWN),
    show_default=True,
)
@click.option("--tolerance", default=0.01, show_default=True, help="Largest logit difference.")
@click.option(
    "--show",
    type=click.Path(path_type=Path, exists=True),
    multiple=True,
    help="A model that is only shown, such as one with full-range weights.",
)
@click.option(
    "--cache",
    type=click.Path(path_type=Path),
    help="Where the ARM Python is kept.  [default: fetched anew]",
)
def main(
    models: tuple[Path, ...],
    images: Path | None,
    cpus: tuple[str, ...],
    tolerance: float,
    show: tuple[Path, ...],
    cache: Path | None,
) -> None:
    """Compare the answers of MODELS, or of the packaged model, on several CPUs."""
    judged = [one.resolve() for one in models or (SHIPPED_MODEL,)]
    shown = [one.resolve() for one in show]
    with tempfile.TemporaryDirectory(prefix="edge-mri-") as name:
        folder = Path(name)
        if images is None:
            images = folder / "phantoms"
            write_phantoms(images, PhantomConfig(count=1, size_px=256))
        try:
            here = ask(native(), [*judged, *shown], images.resolve(), folder)
        except (FailedError, UnavailableError) as error:
            raise click.ClickException(str(error)) from error
        failed, missing = False, False
        for wanted in cpus:
            try:
                cpu = KNOWN[wanted]((cache or folder / "arm").resolve())
                there = ask(cpu, [*judged, *shown], images.resolve(), folder)
            except UnavailableError as error:
                click.echo(f"skipped  {wanted}: {error}")
                missing = True
                continue
            except FailedError as error:
                click.echo(f"FAILED   {wanted}: {error}")
                failed = True
                continue
            for model in [*judged, *shown]:
                same, text = compare(here[model], there[model], tolerance)
                failed |= not same and model in judged
                word = "shown" if model in shown else "ok" if same else "FAILED"
                click.echo(f"{word:<8} {cpu.name}, {model.name}, {text}")
    sys.exit(1 if failed else SKIPPED if missing else 0)


if __name__ == "__main__":
    main()
