"""How well a model's `novelty` output tells brain MR slices from other images.

    python benchmarks/measure_novelty.py MODEL --known DIR... [--elsewhere DIR...] --foreign DIR...

Prints a table: per folder how many images the gate rejects, with Wilson intervals, and the AUROC
of novelty for known against foreign images with a bootstrap interval. Drawn images are added on the
foreign side: uniform and normal noise, smooth noise, even grey. Known images turned upside down and
inverted are shown, and count on neither side.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import click
import cv2
import numpy as np
from numpy.typing import NDArray

from edge_mri.contract import Contract
from edge_mri.errors import ImageError
from edge_mri.images import ImageFiles, read_image
from edge_mri.preprocess import PreprocessSpec, preprocess
from edge_mri.session import open_session
from edge_mri_train.metrics import auroc, wilson

Pixels = NDArray[np.uint8]

_DRAWN = 100
_BATCH = 64
_RESAMPLES = 1000


def folder_pixels(folder: Path, spec: PreprocessSpec) -> Pixels:
    """Read every usable image below a folder."""
    images = []
    for file in ImageFiles([folder]):
        try:
            images.append(preprocess(read_image(file), spec))
        except ImageError as error:
            click.echo(f"left out {file}: {error}")
    return np.stack(images)


def drawn(size: int) -> Iterator[tuple[str, Pixels]]:
    """Yield images that nobody took."""
    rng = np.random.default_rng(0)
    shape = (_DRAWN, 1, size, size)
    yield "uniform noise", rng.integers(0, 256, shape, np.uint8)
    level, spread = rng.uniform(30, 200, (_DRAWN, 1, 1, 1)), rng.uniform(5, 60, (_DRAWN, 1, 1, 1))
    yield "normal noise", np.clip(rng.normal(level, spread, shape), 0, 255).astype(np.uint8)
    coarse = [
        rng.integers(0, 256, (int(side),) * 2, np.uint8) for side in rng.integers(3, 30, _DRAWN)
    ]
    smooth = [cv2.resize(one, (size, size), interpolation=cv2.INTER_CUBIC) for one in coarse]
    yield "smooth noise", np.stack(smooth)[:, np.newaxis].astype(np.uint8)
    greys = np.arange(0, 256, 5).astype(np.uint8).reshape(-1, 1, 1, 1)
    yield "even grey", np.broadcast_to(greys, (len(greys), 1, size, size)).copy()


def separation(known: NDArray[np.float32], foreign: NDArray[np.float32]) -> float:
    """Return the AUROC of novelty for foreign against known images."""
    truth = np.repeat([False, True], [len(known), len(foreign)])
    value = auroc(truth, np.concatenate([known, foreign]))
    return 0.5 if value is None else value


def main() -> None:
    """Measure one model."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--known", type=Path, nargs="+", required=True)
    parser.add_argument("--elsewhere", type=Path, nargs="*", default=[])
    parser.add_argument("--foreign", type=Path, nargs="+", required=True)
    arguments = parser.parse_args()
    session = open_session(arguments.model, "cpu")
    contract = Contract.from_metadata(session.get_modelmeta().custom_metadata_map)
    gate, spec = contract.rejection, contract.preprocess
    if gate is None:
        parser.error(f"{arguments.model} has no rejection gate")

    def novelty(pixels: Pixels) -> NDArray[np.float32]:
        starts = range(0, len(pixels), _BATCH)
        parts = [session.run(["novelty"], {"pixels": pixels[at : at + _BATCH]})[0] for at in starts]
        return np.concatenate(parts)

    def show(name: str, values: NDArray[np.float32]) -> None:
        rejected = int((values > gate.max_novelty).sum())
        low, high = wilson(rejected, len(values)) or (0.0, 1.0)
        click.echo(
            f"{name:28s} {len(values):5d}  rejected {100 * rejected / len(values):5.1f} % "
            f"({100 * low:.1f} to {100 * high:.1f})  median {np.median(values):.2f}"
        )

    click.echo(f"{arguments.model.name}: max_novelty {gate.max_novelty:.3f}, {gate}")
    known, foreign = [], []
    for folder in arguments.known:
        pixels = folder_pixels(folder, spec)
        known.append(novelty(pixels))
        show("/".join(folder.parts[-2:]), known[-1])
        show("  upside down", novelty(np.ascontiguousarray(pixels[:, :, ::-1])))
        show("  inverted", novelty(255 - pixels))
    for folder in arguments.elsewhere:
        show(f"elsewhere {folder.name}", novelty(folder_pixels(folder, spec)))
    for folder in arguments.foreign:
        foreign.append(novelty(folder_pixels(folder, spec)))
        show(folder.name, foreign[-1])
    for name, pixels in drawn(spec.size):
        foreign.append(novelty(pixels))
        show(name, foreign[-1])
    inside, outside = np.concatenate(known), np.concatenate(foreign)
    rng = np.random.default_rng(0)
    samples = [
        separation(rng.choice(inside, len(inside)), rng.choice(outside, len(outside)))
        for _ in range(_RESAMPLES)
    ]
    low, high = np.quantile(samples, [0.025, 0.975])
    click.echo(
        f"AUROC {separation(inside, outside):.4f} ({low:.4f} to {high:.4f}), "
        f"{len(inside)} known, {len(outside)} foreign"
    )


if __name__ == "__main__":
    main()
