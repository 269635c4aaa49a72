r"""Whether heatmaps point at tumours: peaks and boxes against an expert's outlines.

    python benchmarks/measure_heatmaps.py MODEL --data cheng [--manifest split.csv] [--json FILE]

The folder holds images and `outlines.json`, which maps their paths in it to polygons in pixels of
the image. Images that the model was trained on, or near duplicates of such, are left out by what
it remembers of them (the `.seen` file beside it; `--seen` names another, `--all` keeps them). With
`--manifest` those are kept that the run's manifest gave to validation, whole patients as far as
they are known: what there is to measure a model that learned from the same set.

Printed, with n and Wilson's 95 % intervals: the share of images whose peak lies inside the outline
or within 5 px of it; the same for a point drawn at random from the head, what chance gives; the
share of boxes whose intersection with the outline's bounding box is at least half of their union.

`--fractions` tries other fractions of the peak's height for the box: chosen on one half of the
images by number (those of one patient are neighbours), scored on the other.

Last a check of sanity (Adebayo et al. 2018, "Sanity checks for saliency maps"): with the weights of
every layer shuffled, maps must no longer resemble those of the model (Spearman's correlation) nor
find tumours. A map that survives it shows the image and not what was learned.
"""

import argparse
import json
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click
import cv2
import numpy as np
import onnx
from numpy.typing import NDArray
from scipy.stats import spearmanr

from edge_mri.classifier import Classifier
from edge_mri.contract import Contract
from edge_mri.decision import decide
from edge_mri.errors import OptionError
from edge_mri.images import read_image
from edge_mri.labels import NO_TUMOR
from edge_mri.location import Box, lesion_box, maps, peak
from edge_mri.preprocess import Placement, preprocess
from edge_mri.progress import TerminalProgress
from edge_mri_train.duplicates.seen import SeenImages
from edge_mri_train.manifest import read_manifest
from edge_mri_train.metrics import ratio, wilson
from edge_mri_train.predictor import SEEN_SUFFIX
from edge_mri_train.scan import fingerprint_files

RADII_PX = (0, 5)
LEAST_IOU = 0.5
FRACTIONS = (0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.9)

_BATCH = 32
_HEAD = 20  # grey level from which a pixel counts as head
_SMALLEST_WEIGHT = 16  # elements; what is smaller is no layer's weight


@dataclass(frozen=True)
class Case:
    """An image with what an expert drew on it.

    Attributes:
        file: The image.
        type: The folder that it lies in.
        polygon: `(P, 2)` float32, x and y in pixels of the image.
    """

    file: Path
    type: str
    polygon: NDArray[np.float32]


@dataclass(frozen=True)
class Finding:
    """Where a model points on one image.

    Attributes:
        case: The image.
        cells: `(h, w)` its map.
        place: Where the image lies in the network's input.
        distance: From the peak to the outline in pixels; negative inside.
        by_chance: For each of `RADII_PX`, the share of the head that is as near.
        iou: Of the box and the outline's bounding box; 0 without a box.
        called: Whether a tumour is said.
    """

    case: Case
    cells: NDArray[np.float32]
    place: Placement
    distance: float
    by_chance: tuple[float, ...]
    iou: float
    called: bool


def read_cases(folder: Path) -> list[Case]:
    """Read the outlines of a folder."""
    outlines = json.loads((folder / "outlines.json").read_text(encoding="utf-8"))
    return [
        Case(folder / path, Path(path).parent.name, np.array(points, np.float32))
        for path, points in sorted(outlines.items())
    ]


def unseen(cases: Sequence[Case], seen: SeenImages) -> list[Case]:
    """Return the images that are no near duplicate of a training image."""
    prints = fingerprint_files([case.file for case in cases], TerminalProgress())
    known = seen.near(prints, TerminalProgress())
    return [case for case, was in zip(cases, known, strict=True) if not was]


def validated(cases: Sequence[Case], manifest: Path) -> list[Case]:
    """Return the images that a manifest gives to validation."""
    samples = [row.sample for row in read_manifest(manifest)]
    kept = {sample.file.resolve() for sample in samples if sample.split == "val"}
    return [case for case in cases if case.file.resolve() in kept]


def findings(classifier: Classifier, cases: Sequence[Case]) -> Iterator[Finding]:
    """Ask a model where the tumours are."""
    contract = classifier.contract
    for start in range(0, len(cases), _BATCH):
        batch = cases[start : start + _BATCH]
        images = [read_image(case.file) for case in batch]
        pixels = np.stack([preprocess(image, contract.preprocess) for image in images])
        answers = classifier.answers(pixels, lesion=True)
        located = maps(answers, contract.labels)
        if located is None:
            raise OptionError(f"{classifier.path} has neither a lesion map nor a cam output")
        said = decide(answers, contract.labels, contract.tumor_threshold).types
        for case, image, cells, column in zip(batch, images, located, said, strict=True):
            place = Placement.of(image.shape, contract.preprocess)
            box = lesion_box(cells, place)
            yield Finding(
                case,
                cells,
                place,
                distance(case.polygon, peak(cells, place)),
                chance(case.polygon, image),
                0.0 if box is None else iou(box, outline_box(case.polygon)),
                contract.labels.types[column] != NO_TUMOR,
            )


def distance(polygon: NDArray[np.float32], point: tuple[float, float]) -> float:
    """Return how far a point is from an outline, in pixels; negative inside."""
    return -cv2.pointPolygonTest(polygon.reshape(-1, 1, 2), point, True)


def chance(polygon: NDArray[np.float32], image: NDArray[np.uint8]) -> tuple[float, ...]:
    """Return the share of the head within each of `RADII_PX` of an outline."""
    inside = np.zeros(image.shape, np.uint8)
    cv2.fillPoly(inside, [np.rint(polygon).astype(np.int32)], 1)
    head = image >= _HEAD
    shares = []
    for radius in RADII_PX:
        kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1,) * 2)
        near = cv2.dilate(inside, kernel) > 0
        shares.append(float((near & head).sum() / max(head.sum(), 1)))
    return tuple(shares)


def outline_box(polygon: NDArray[np.float32]) -> Box:
    """Return the bounding box of an outline, in whole pixels."""
    left, top = np.floor(polygon.min(axis=0)).astype(int).tolist()
    right, bottom = np.ceil(polygon.max(axis=0)).astype(int).tolist()
    return left, top, right - left, bottom - top


def iou(one: Box, other: Box) -> float:
    """Return the intersection of two boxes over their union."""
    sides = [
        max(min(one[k] + one[k + 2], other[k] + other[k + 2]) - max(one[k], other[k]), 0)
        for k in (0, 1)
    ]
    shared = sides[0] * sides[1]
    return shared / max(one[2] * one[3] + other[2] * other[3] - shared, 1)


def scores(found: Sequence[Finding]) -> dict[str, Any]:
    """Return the shares of peaks and boxes that are right, with their intervals."""
    n = len(found)
    values: dict[str, Any] = {"n": n}
    for position, radius in enumerate(RADII_PX):
        hits = sum(one.distance <= radius for one in found)
        values[f"peak_{radius}px"] = ratio(hits, n)
        values[f"peak_{radius}px_ci95"] = wilson(hits, n)
        shares = [one.by_chance[position] for one in found]
        values[f"chance_{radius}px"] = float(np.mean(shares)) if n else None
    boxes = sum(one.iou >= LEAST_IOU for one in found)
    values["box"] = ratio(boxes, n)
    values["box_ci95"] = wilson(boxes, n)
    values["median_iou"] = float(np.median([one.iou for one in found])) if n else None
    return values


def box_fractions(found: Sequence[Finding]) -> dict[str, Any]:
    """Return the share of good boxes by fraction, and of those whose fraction others chose."""
    good = np.array(
        [
            [
                _is_good(lesion_box(one.cells, one.place, fraction), one.case)
                for fraction in FRACTIONS
            ]
            for one in found
        ]
    )
    halves = np.array([int(one.case.file.stem) for one in found])
    halves = halves > np.median(halves)
    chosen, hits = [], 0
    for half in (False, True):
        best = int(good[halves != half].sum(axis=0).argmax())
        chosen.append(FRACTIONS[best])
        hits += int(good[halves == half, best].sum())
    return {
        "shares": dict(zip(map(str, FRACTIONS), good.mean(axis=0).round(4).tolist(), strict=True)),
        "chosen_by_halves": chosen,
        "on_the_other_half": ratio(hits, len(found)),
        "on_the_other_half_ci95": wilson(hits, len(found)),
    }


def _is_good(box: Box | None, case: Case) -> bool:
    return box is not None and iou(box, outline_box(case.polygon)) >= LEAST_IOU


def shuffled(path: Path, seed: int, target: Path) -> None:
    """Write a model with the weights of every layer in another order."""
    rng = np.random.default_rng(seed)
    model = onnx.load(path)
    for tensor in model.graph.initializer:
        values = onnx.numpy_helper.to_array(tensor)
        if values.ndim >= 2 and values.size >= _SMALLEST_WEIGHT:
            mixed = rng.permutation(values.ravel()).reshape(values.shape)
            tensor.CopyFrom(onnx.numpy_helper.from_array(mixed, tensor.name))
    stored = {one.key: one.value for one in model.metadata_props}
    contract = replace(Contract.from_metadata(stored), weights_sha256="", rejection=None)
    onnx.helper.set_model_props(model, contract.to_metadata())
    onnx.save(model, target)


def sanity(
    classifier: Classifier, found: Sequence[Finding], seeds: int, images: int
) -> dict[str, Any]:
    """Compare a model's maps with those of the same network with shuffled weights."""
    rng = np.random.default_rng(0)
    chosen = rng.permutation(len(found))[:images]
    correlations, hits, n = [], 0, 0
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(seeds):
            path = Path(folder) / f"{seed}.onnx"
            shuffled(classifier.path, seed, path)
            other = Classifier.load(path, device="cpu", reject=False)
            random = findings(other, [found[row].case for row in chosen])
            for row, one in zip(chosen, random, strict=True):
                correlations.append(rank_correlation(found[row].cells, one.cells))
                hits += one.distance <= RADII_PX[-1]
                n += 1
    return {
        "networks": seeds,
        "images": len(chosen),
        "mean_correlation": float(np.mean(correlations)),
        "mean_absolute_correlation": float(np.mean(np.abs(correlations))),
        "above_0.5": float(np.mean(np.array(correlations) > 0.5)),
        f"peak_{RADII_PX[-1]}px": ratio(hits, n),
        f"peak_{RADII_PX[-1]}px_ci95": wilson(hits, n),
    }


def rank_correlation(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """Return Spearman's correlation of two maps; 0 where one of them is flat."""
    if np.ptp(one) == 0 or np.ptp(other) == 0:
        return 0.0
    return float(spearmanr(one.ravel(), other.ravel()).statistic)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print a table and write the JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path)
    parser.add_argument("--data", type=Path, required=True, help="images and outlines.json")
    parser.add_argument("--seen", type=Path, help="what the model remembers")
    parser.add_argument("--manifest", type=Path, help="keep its validation images instead")
    parser.add_argument("--fractions", action="store_true", help="of a peak's height, for boxes")
    parser.add_argument("--all", action="store_true", help="also images that it was trained on")
    parser.add_argument("--networks", type=int, default=5, help="with shuffled weights")
    parser.add_argument("--images", type=int, default=100, help="for the check of sanity")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(arguments)
    classifier = Classifier.load(options.model, device="cpu", reject=False)
    if classifier.map_output is None:
        parser.error(f"{options.model} has neither a lesion map nor a cam output")
    cases = read_cases(options.data)
    count = len(cases)
    if options.manifest:
        cases = validated(cases, options.manifest)
    elif not options.all:
        memory = options.seen or options.model.with_suffix(SEEN_SUFFIX)
        if not memory.is_file():
            parser.error(f"{memory} is missing: give --seen, or --all to keep training images")
        cases = unseen(cases, SeenImages.from_bytes(memory.read_bytes()))
    click.echo(f"{len(cases)} of {count} images, map from `{classifier.map_output}`")
    if not cases:
        parser.error("no image is left: the model was trained on all of them, or near duplicates")
    found = list(findings(classifier, cases))
    groups = {"all": found, "called tumour": [one for one in found if one.called]}
    groups |= {
        name: [one for one in found if one.case.type == name]
        for name in sorted({one.case.type for one in found})
    }
    results: dict[str, Any] = {
        "model": classifier.contract.name,
        "map": classifier.map_output,
        "images": count,
        "left_out": count - len(cases),
        **{name: scores(group) for name, group in groups.items() if group},
        "sanity": sanity(classifier, found, options.networks, options.images),
    }
    if options.fractions:
        results["fractions"] = box_fractions(found)
    click.echo(
        f"{'':<16}{'n':>6}{'peak inside %':>24}{'chance':>8}{'within 5 px %':>24}{'chance':>8}"
        f"{'box IoU >= 0.5 %':>24}{'median IoU':>12}"
    )
    for name in groups:
        if name in results:
            click.echo(f"{name:<16}{_row(results[name])}")
    click.echo(f"shuffled weights: {json.dumps(results['sanity'])}")
    if options.fractions:
        click.echo(f"boxes by fraction: {json.dumps(results['fractions'])}")
    if options.json:
        options.json.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


def _row(values: dict[str, Any]) -> str:
    def share(name: str) -> str:
        low, high = values[f"{name}_ci95"]
        return f"{100 * values[name]:.1f} ({100 * low:.1f}-{100 * high:.1f})"

    cells = [f"{values['n']:>6}"]
    for radius in RADII_PX:
        cells += [
            f"{share(f'peak_{radius}px'):>24}",
            f"{100 * values[f'chance_{radius}px']:>8.1f}",
        ]
    return "".join([*cells, f"{share('box'):>24}", f"{values['median_iou']:>12.2f}"])


if __name__ == "__main__":
    main()
