r"""How well duplicates are found, on pairs whose truth is known.

    python benchmarks/measure_duplicates.py \
        --family nickparvar artemis cheng --family tcga-lgg/tumor tcga-lgg/no_tumor \
        --others foreign --patient 'TCGA_\w\w_\w{4}' --json FILE

True pairs are made: images of each folder are edited in known ways, and the edited image must
lead back to its source among all images of all folders. False pairs are known too: folders of
different families share no patients, and where file names hold the patient, neither do images
with different ones. For `find_duplicates` the score of every candidate pair counts, for
`SeenImages` the answer for every image that asks.
"""

import argparse
import json
import re
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click
import cv2
import numpy as np
from numpy.typing import NDArray

from edge_mri.errors import ImageError
from edge_mri.images import ImageFiles, read_image
from edge_mri.progress import NoProgress
from edge_mri.workers import available_threads
from edge_mri_train.duplicates.candidates import Layer, ask, find_candidates, search_pool, strongest
from edge_mri_train.duplicates.descriptors import describe, turn
from edge_mri_train.duplicates.fingerprint import (
    Fingerprint,
    content_box,
    fingerprint,
    fingerprint_pixels,
)
from edge_mri_train.duplicates.registration import agreements
from edge_mri_train.duplicates.search import NEAR, RELATED, find_duplicates
from edge_mri_train.duplicates.seen import SeenImages

Image = NDArray[np.uint8]
Edit = Callable[[Image, np.random.Generator], Image]


@dataclass(frozen=True)
class Collection:
    """The images of all folders that are neither copies of another nor flat.

    Attributes:
        files: N.
        fingerprints: N.
        folders: `(N,)` number of the folder that was given.
        families: `(N,)` number of its family; each folder of others is one.
        patients: `(N,)` text, empty where unknown.
    """

    files: list[Path]
    fingerprints: list[Fingerprint]
    folders: NDArray[np.int64]
    families: NDArray[np.int64]
    patients: NDArray[np.str_]


def collect(families: Sequence[Sequence[Path]], patient: str | None) -> Collection:
    """Read all folders."""
    rows: list[tuple[Path, Fingerprint, int, int, str]] = []
    known: set[bytes] = set()
    folders = [(folder, number) for number, family in enumerate(families) for folder in family]
    for position, (folder, family) in enumerate(folders):
        files = list(ImageFiles([folder]))
        with ThreadPoolExecutor(available_threads()) as pool:
            for file, image in zip(files, pool.map(_fingerprint, files), strict=True):
                if image is None or image.is_flat or image.pixel_hash in known:
                    continue
                known.add(image.pixel_hash)
                found = re.search(patient, file.name) if patient else None
                rows.append((file, image, position, family, found.group(0) if found else ""))
    files_, fingerprints, positions, numbers, names = zip(*rows, strict=True)
    return Collection(
        list(files_),
        list(fingerprints),
        np.array(positions),
        np.array(numbers),
        np.array(names),
    )


def _fingerprint(file: Path) -> Fingerprint | None:
    try:
        return fingerprint(file.read_bytes())
    except ImageError:
        return None


def false_pairs(images: Collection) -> dict[str, Any]:
    """Score the candidate pairs of different patients, and count those that pass."""
    thumbnails = [image.thumbnail for image in images.fingerprints]
    pairs = find_candidates(thumbnails, NoProgress())
    scores = agreements(thumbnails, pairs, NoProgress())
    a, b = pairs.moving, pairs.target
    both = (images.patients[a] != "") & (images.patients[b] != "")
    results = {}
    for name, apart in (
        ("families", images.families[a] != images.families[b]),
        ("patients", both & (images.patients[a] != images.patients[b])),
    ):
        chosen = scores[apart]
        results[name] = {
            "pairs": len(chosen),
            "highest": float(chosen.max(initial=0)),
            **{f"from {t:.2f}": int((chosen >= t).sum()) for t in (0.7, 0.75, RELATED, NEAR)},
        }
    return results


def false_memories(images: Collection, rng: np.random.Generator) -> dict[str, Any]:
    """Count the images that are taken for seen by what remembers only other patients."""
    results = {}
    for family in np.unique(images.families):
        inside = images.families == family
        asking = np.flatnonzero(~inside)
        asking = rng.choice(asking, min(len(asking), 5000), replace=False)
        seen = SeenImages.of(_at(images, np.flatnonzero(inside)))
        found = seen.near(_at(images, asking))
        results[f"family {family + 1} remembered"] = {"asked": len(found), "seen": int(found.sum())}
    patients = np.unique(images.patients[images.patients != ""])
    if len(patients) > 1:
        half = np.isin(images.patients, patients[::2])
        rest = np.flatnonzero((images.patients != "") & ~half)
        found = SeenImages.of(_at(images, np.flatnonzero(half))).near(_at(images, rest))
        results["half the patients"] = {"asked": len(found), "seen": int(found.sum())}
    return results


def recall(images: Collection, per_folder: int, rng: np.random.Generator) -> dict[str, Any]:
    """Edit some images in each way and see whether the edited ones lead back to their sources."""
    folders = np.unique(images.folders)
    sources = np.concatenate(
        [rng.permutation(np.flatnonzero(images.folders == f))[:per_folder] for f in folders]
    )
    pixels = [read_image(images.files[source]) for source in sources]
    thumbnails = [image.thumbnail for image in images.fingerprints]
    groups = find_duplicates(images.fingerprints).groups()
    seen = SeenImages.of(images.fingerprints)
    with search_pool() as pool:
        whole, crop = pool.map(lambda crops: Layer(thumbnails, of_crops=crops), (False, True))
    results = {}
    for name, edit in EDITS.items():
        edited = [fingerprint_pixels(edit(image, rng)) for image in pixels]
        small = [image.thumbnail for image in edited]
        with search_pool() as pool:
            pairs = pool.submit(ask, whole, crop, describe(np.stack(small))).result()
        pairs = strongest(pairs, len(thumbnails))
        targets, numbers = np.unique(pairs.target, return_inverse=True)
        scores = agreements(
            [*small, *(thumbnails[target] for target in targets)],
            replace(pairs, target=numbers + len(small)),
            NoProgress(),
        )
        source = sources[pairs.moving]
        own, near = pairs.target == source, scores >= NEAR
        in_group = groups[pairs.target] == groups[source]
        results[name] = {
            "source": _share(pairs.moving[own & near], len(small)),
            "group": _share(pairs.moving[in_group & near], len(small)),
            "group, related": _share(pairs.moving[in_group & (scores >= RELATED)], len(small)),
            "seen": float(seen.near(edited).mean()),
            "seen edited": float(SeenImages.of(edited).near(_at(images, sources)).mean()),
        }
        click.echo(f"{name:<40}" + "".join(f"{v:>16.3f}" for v in results[name].values()))
    return results


def _at(images: Collection, positions: NDArray[np.int64]) -> list[Fingerprint]:
    return [images.fingerprints[position] for position in positions]


def _share(found: NDArray[np.int64], count: int) -> float:
    return len(np.unique(found)) / count


def _jpeg(quality: int) -> Edit:
    def edit(image: Image, rng: np.random.Generator) -> Image:
        data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        return np.asarray(cv2.imdecode(data, cv2.IMREAD_GRAYSCALE), np.uint8)

    return edit


def _resized(width: int, height: int) -> Edit:
    return lambda image, rng: np.asarray(
        cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA), np.uint8
    )


def _cut(image: Image, top: float, bottom: float, left: float, right: float) -> Image:
    height, width = image.shape
    rows = slice(int(top * height), height - int(bottom * height))
    return np.ascontiguousarray(image[rows, int(left * width) : width - int(right * width)])


def _frame(*sides: float) -> Edit:
    return lambda image, rng: _cut(image, *sides)


def _head(*sides: float) -> Edit:
    return lambda image, rng: _cut(content_box(image).cut(image), *sides)


def _head_at_random(most: float) -> Edit:
    return lambda image, rng: _cut(content_box(image).cut(image), *rng.uniform(0, most, 4))


def _padded(share: float) -> Edit:
    def edit(image: Image, rng: np.random.Generator) -> Image:
        y, x = (int(share * side) for side in image.shape)
        return np.asarray(cv2.copyMakeBorder(image, y, y, x, x, cv2.BORDER_CONSTANT), np.uint8)

    return edit


def _levels(change: Callable[[NDArray[np.float64]], NDArray[np.float64]]) -> Edit:
    return lambda image, rng: np.clip(change(image.astype(np.float64)), 0, 255).astype(np.uint8)


def _gamma(power: float) -> Edit:
    return _levels(lambda image: 255 * (image / 255) ** power + 0.5)


def _noisy(image: Image, rng: np.random.Generator) -> Image:
    return np.clip(image + rng.normal(0, 8, image.shape), 0, 255).astype(np.uint8)


def _blurred(image: Image, rng: np.random.Generator) -> Image:
    return np.asarray(cv2.GaussianBlur(image, (0, 0), image.shape[1] / 224), np.uint8)


def _sharpened(image: Image, rng: np.random.Generator) -> Image:
    blurred = cv2.GaussianBlur(image, (0, 0), 2 * image.shape[1] / 224)
    return np.asarray(cv2.addWeighted(image, 2.5, blurred, -1.5, 0), np.uint8)


def _rotated(degrees: float) -> Edit:
    def edit(image: Image, rng: np.random.Generator) -> Image:
        height, width = image.shape
        warp = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1)
        return np.asarray(cv2.warpAffine(image, warp, (width, height)), np.uint8)

    return edit


def _turned(symmetry: int) -> Edit:
    return lambda image, rng: turn(image, symmetry)


def _chain(*edits: Edit) -> Edit:
    def edit(image: Image, rng: np.random.Generator) -> Image:
        for one in edits:
            image = one(image, rng)
        return image

    return edit


def _at_random(image: Image, rng: np.random.Generator) -> Image:
    return _chain(
        _turned(int(rng.integers(8))),
        _head_at_random(0.1),
        _gamma(float(np.exp(rng.uniform(-0.5, 0.5)))),
        _resized(224, 224),
        _jpeg(int(rng.integers(40, 95))),
    )(image, rng)


EDITS: dict[str, Edit] = {
    "JPEG 90": _jpeg(90),
    "JPEG 50": _jpeg(50),
    "JPEG 15": _jpeg(15),
    "to 224 x 224": _resized(224, 224),
    "to 64 x 64": _resized(64, 64),
    "to 224 x 150": _resized(224, 150),
    "mirrored": _turned(2),
    "upside down": _turned(1),
    "rotated by 90 degrees": _turned(5),
    "rotated by 180 degrees": _turned(3),
    "transposed": _turned(4),
    "padded by 10 %": _padded(0.1),
    "padded by 25 %": _padded(0.25),
    "frame cut by 5 % a side": _frame(0.05, 0.05, 0.05, 0.05),
    "frame cut by 10 % a side": _frame(0.1, 0.1, 0.1, 0.1),
    "frame cut by 15 % a side": _frame(0.15, 0.15, 0.15, 0.15),
    "head cut by 3 % a side": _head(0.03, 0.03, 0.03, 0.03),
    "head cut by 5 % a side": _head(0.05, 0.05, 0.05, 0.05),
    "head cut by 10 % a side": _head(0.1, 0.1, 0.1, 0.1),
    "head cut by 15 % a side": _head(0.15, 0.15, 0.15, 0.15),
    "head cut by 15 % below": _head(0, 0.15, 0, 0),
    "head cut by 12 % in a corner": _head(0.12, 0, 0.12, 0),
    "head cut by 0-10 % each side": _head_at_random(0.1),
    "head cut by 0-15 % each side": _head_at_random(0.15),
    "brightness + 30": _levels(lambda image: image + 30),
    "contrast x 0.5": _levels(lambda image: image * 0.5),
    "contrast x 1.6, clipped": _levels(lambda image: image * 1.6),
    "gamma 0.5": _gamma(0.5),
    "gamma 0.7": _gamma(0.7),
    "gamma 1.5": _gamma(1.5),
    "gamma 2.0": _gamma(2.0),
    "CLAHE": lambda image, rng: np.asarray(cv2.createCLAHE(2.0, (8, 8)).apply(image), np.uint8),
    "histogram equalised": lambda image, rng: np.asarray(cv2.equalizeHist(image), np.uint8),
    "noise of 8 levels": _noisy,
    "blurred": _blurred,
    "strongly sharpened": _sharpened,
    "rotated by 3 degrees": _rotated(3),
    "rotated by 6 degrees": _rotated(6),
    "rotated by 10 degrees": _rotated(10),
    "mirrored, to 128 x 128, JPEG 50": _chain(_turned(2), _resized(128, 128), _jpeg(50)),
    "head - 10 %, by 90 degrees, gamma 1.5": _chain(
        _head(0.1, 0.1, 0.1, 0.1), _turned(5), _gamma(1.5), _jpeg(70)
    ),
    "turn, head - 0-10 %, gamma, 224, JPEG": _at_random,
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print tables and write the JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--family", type=Path, nargs="+", action="append", required=True)
    parser.add_argument("--others", type=Path, nargs="*", default=[], help="no brain MR")
    parser.add_argument("--patient", help="pattern of the patient in a file's name")
    parser.add_argument("--sources", type=int, default=50, help="edited images per folder")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(arguments)
    rng = np.random.default_rng(options.seed)
    everything = collect([*options.family, *([f] for f in options.others)], options.patient)
    brains = everything.families < len(options.family)
    results: dict[str, Any] = {
        "images": len(everything.files),
        "false pairs": false_pairs(everything),
        "false memories": false_memories(everything, rng),
    }
    click.echo(json.dumps(results, indent=2))
    columns = ("source", "group", "group, related", "seen", "seen edited")
    click.echo(f"{'edit':<40}" + "".join(f"{column:>16}" for column in columns))
    chosen = np.flatnonzero(brains)
    sources = Collection(
        [everything.files[i] for i in chosen],
        _at(everything, chosen),
        everything.folders[chosen],
        everything.families[chosen],
        everything.patients[chosen],
    )
    results["recall"] = recall(sources, options.sources, rng)
    if options.json:
        options.json.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
