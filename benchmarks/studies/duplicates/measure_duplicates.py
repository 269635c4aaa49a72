r"""How well duplicates are found, on pairs whose truth is known.

    python benchmarks/studies/duplicates/measure_duplicates.py \
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
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

from edge_mri.errors import ImageError
from edge_mri.images import ImageFiles, read_image
from edge_mri.process.worker_pool import WorkerPool
from edge_mri.process.workers import available_threads
from edge_mri.terminal.progress import NoProgress
from edge_mri_train.duplicates.candidates import Layer, ask, find_candidates, search_pool, strongest
from edge_mri_train.duplicates.descriptors import describe
from edge_mri_train.duplicates.fingerprint import Fingerprint, fingerprint, fingerprint_pixels
from edge_mri_train.duplicates.registration import agreements
from edge_mri_train.duplicates.search import NEAR, RELATED, find_duplicates
from edge_mri_train.duplicates.seen import SeenImages
from image_edits import EDITS


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

    def at(self, positions: NDArray[np.int64]) -> "Collection":
        """Return some of the images."""
        return Collection(
            [self.files[position] for position in positions],
            [self.fingerprints[position] for position in positions],
            self.folders[positions],
            self.families[positions],
            self.patients[positions],
        )


def collect(families: Sequence[Sequence[Path]], patient: str | None) -> Collection:
    """Read all folders."""
    rows: list[tuple[Path, Fingerprint, int, int, str]] = []
    known: set[bytes] = set()
    folders = [(folder, number) for number, family in enumerate(families) for folder in family]
    for position, (folder, family) in enumerate(folders):
        files = list(ImageFiles([folder]))
        with WorkerPool(available_threads()) as pool:
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
        seen = SeenImages.of(images.at(np.flatnonzero(inside)).fingerprints)
        found = seen.near(images.at(asking).fingerprints)
        results[f"family {family + 1} remembered"] = {"asked": len(found), "seen": int(found.sum())}
    patients = np.unique(images.patients[images.patients != ""])
    if len(patients) > 1:
        half = np.isin(images.patients, patients[::2])
        rest = np.flatnonzero((images.patients != "") & ~half)
        found = SeenImages.of(images.at(np.flatnonzero(half)).fingerprints).near(
            images.at(rest).fingerprints
        )
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
            "seen edited": float(
                SeenImages.of(edited).near(images.at(sources).fingerprints).mean()
            ),
        }
        click.echo(f"{name:<40}" + "".join(f"{v:>16.3f}" for v in results[name].values()))
    return results


def _share(found: NDArray[np.int64], count: int) -> float:
    return len(np.unique(found)) / count


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
    results: dict[str, Any] = {
        "images": len(everything.files),
        "false pairs": false_pairs(everything),
        "false memories": false_memories(everything, rng),
    }
    click.echo(json.dumps(results, indent=2))
    columns = ("source", "group", "group, related", "seen", "seen edited")
    click.echo(f"{'edit':<40}" + "".join(f"{column:>16}" for column in columns))
    brains = everything.at(np.flatnonzero(everything.families < len(options.family)))
    results["recall"] = recall(brains, options.sources, rng)
    if options.json:
        options.json.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
