"""Images with an expert's outline of the tumour: which there are, and what is near an outline.

A folder of them holds images and `outlines.json`, which maps their paths in it to polygons in
pixels of the image.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_mri.answers.location import Box
from edge_mri.terminal.progress import TerminalProgress
from edge_mri_train.data.manifest import read_manifest
from edge_mri_train.data.scan import fingerprint_files
from edge_mri_train.duplicates.seen import SeenImages

RADII_PX = (0, 5)

_HEAD = 20  # grey level from which a pixel counts as head


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
