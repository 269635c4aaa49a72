"""Where a model points, and how often that is right: its map's peaks and boxes against outlines."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_mri.answers.decision import decide
from edge_mri.answers.location import Box, lesion_box, maps, peak
from edge_mri.classifier import Classifier
from edge_mri.errors import OptionError
from edge_mri.images import read_image
from edge_mri.images.preprocess import Placement, preprocess
from edge_mri_train.evaluation.intervals import ratio, wilson
from outlined import RADII_PX, Case, chance, distance, iou, outline_box

LEAST_IOU = 0.5
FRACTIONS = (0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.9)

_BATCH = 32


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
                contract.labels.types[column] != contract.labels.absent,
            )


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
