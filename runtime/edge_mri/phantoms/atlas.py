"""The anatomy of the phantoms: what all heads of a plane share, as outlines on a sheet.

The sheet is 256 x 256 px. An atlas is built once per plane; how a head is drawn from it, each a
little different, is `edge_mri.phantoms.head`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

SHEET_PX = 256
SHEET = (SHEET_PX, SHEET_PX)

Sheet = NDArray[np.float32]
Mask = NDArray[np.uint8]
Outline = NDArray[np.float32]
Part = tuple[int, Outline]

AIR, SKIN, FAT, MUSCLE, BONE, MARROW, FLUID, GREY, WHITE, VESSEL = range(10)
# How bright each of them is on a contrast-enhanced T1 image, 0 to 255.
BRIGHTNESS = np.array([3, 105, 205, 80, 18, 88, 34, 100, 146, 205], np.float32)

_MIDLINE_PX = SHEET_PX // 2


@dataclass(frozen=True)
class Atlas:
    """What all heads of a plane share; maps are `(256, 256)`, points (x, y), lengths px.

    Attributes:
        tissue: uint8, the tissue at each pixel.
        leaves: float32, the brightness that the leaves of the cerebellum add to their tissue.
        cavity: uint8, 1 inside the skull.
        cerebrum: uint8, 1 in the folded part of the brain.
        depth_px: float32, distance to the surface of the cerebrum, 0 outside.
        coverings: uint8, 1 where the cerebrum lies against skull or falx, far from the sella.
        sella: Where the pituitary gland lies.
        fold_px: How deep furrows run in.
        deep: The parts drawn over the folds, in this order; those of fluid vary in size.
    """

    tissue: Mask
    leaves: Sheet
    cavity: Mask
    cerebrum: Mask
    depth_px: Sheet
    coverings: Mask
    sella: tuple[int, int]
    fold_px: float
    deep: Sequence[Part]


@cache
def atlas_of(plane: str) -> Atlas:
    """Return the atlas of a plane: `axial`, `coronal` or `sagittal`."""
    return {"axial": _axial, "coronal": _coronal, "sagittal": _sagittal}[plane]()


def fill(sheet: Sheet | Mask, outline: Outline, value: float) -> None:
    """Fill the closed smooth curve (Catmull-Rom) through the `(n, 2)` points of an outline."""
    p1 = outline[:, np.newaxis]
    p0, p2, p3 = np.roll(p1, 1, 0), np.roll(p1, -1, 0), np.roll(p1, -2, 0)
    t = np.linspace(0, 1, 8, endpoint=False, dtype=np.float32)[:, np.newaxis]
    bend = 2 * p0 - 5 * p1 + 4 * p2 - p3 + t * (3 * (p1 - p2) + p3 - p0)
    path = p1 + 0.5 * t * (p2 - p0 + t * bend)
    cv2.fillPoly(sheet, [np.rint(path.reshape(-1, 2)).astype(np.int32)], (value,))


def _points(text: str) -> Outline:
    """Read an outline written as in SVG: `x,y x,y …`."""
    return np.array([pair.split(",") for pair in text.split()], np.float32)


def _oval(x: float, y: float, half_width: float, half_height: float, turn: float = 0) -> Outline:
    """Return an ellipse as an outline, turned by degrees."""
    angles = np.linspace(0, 2 * np.pi, 10, endpoint=False)
    ring = half_width * np.cos(angles) + 1j * half_height * np.sin(angles)
    ring *= np.exp(1j * np.radians(turn))
    return np.stack([x + ring.real, y + ring.imag], axis=1).astype(np.float32)


def _mirrored(outline: Outline) -> Outline:
    return np.stack([2 * _MIDLINE_PX - outline[:, 0], outline[:, 1]], axis=1)


def _closed(half: Outline) -> Outline:
    """Close an outline given on one side of the midline by its mirror image."""
    off_midline = half[half[:, 0] != _MIDLINE_PX]
    return np.concatenate([half, _mirrored(off_midline)[::-1]])


def _pair(tissue: int, outline: Outline) -> tuple[Part, Part]:
    return (tissue, outline), (tissue, _mirrored(outline))


def _mask(outline: Outline) -> Mask:
    mask = np.zeros(SHEET, np.uint8)
    fill(mask, outline, 1)
    return mask


def _inside_px(mask: Mask) -> Sheet:
    """Return the distance from each pixel in a mask to its edge, 0 outside."""
    distance = cv2.distanceTransform(mask, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return np.asarray(distance, np.float32)


def _build(
    head: Mask,
    cavity: Mask,
    cerebrum: Mask,
    *,
    cerebellum: Mask | None = None,
    falx: bool = True,
    fissures: Sequence[Outline] = (),
    outside: Sequence[Part] = (),
    sella: tuple[int, int],
    fold_px: float,
    deep: Sequence[Part],
) -> Atlas:
    """Put a head together from the skin inwards; `outside` are parts outside the brain."""
    from_skin, from_cavity = _inside_px(head), _inside_px(1 - cavity)
    tissue = head * np.uint8(SKIN)
    tissue[from_skin > 2] = FAT
    tissue[from_skin > 7] = MUSCLE
    tissue[(from_skin > 6) & (from_cavity <= 7)] = BONE
    tissue[(from_skin > 6) & (from_cavity > 2.5) & (from_cavity <= 5)] = MARROW
    tissue[cavity > 0] = FLUID
    for kind, outline in outside:
        fill(tissue, outline, kind)
    leaves = np.zeros(SHEET, np.float32)
    if cerebellum is not None:
        tissue[cerebellum > 0] = GREY
        leaves += cerebellum * (8 + 22 * np.sin(1.7 * _inside_px(cerebellum)))

    x, y = np.meshgrid(np.arange(SHEET_PX), np.arange(SHEET_PX))
    against = _inside_px(cavity) < 5
    if falx:
        cerebrum = cerebrum * (np.abs(x - _MIDLINE_PX) > 1)
        against |= np.abs(x - _MIDLINE_PX) < 5
    for line in fissures:
        cv2.polylines(cerebrum, [line.astype(np.int32)], False, (0,), 2)
    depth = _inside_px(cerebrum)
    against &= (depth > 0) & (depth < 2.5) & (np.hypot(x - sella[0], y - sella[1]) > 60)
    coverings = against.astype(np.uint8)
    return Atlas(tissue, leaves, cavity, cerebrum, depth, coverings, sella, fold_px, deep)


def _axial() -> Atlas:
    head = _mask(_closed(_points("128,12 168,22 202,60 216,124 209,180 178,229 128,243")))
    from_skin = _inside_px(head)
    sylvian = _points("216,112 178,118 166,128")
    return _build(
        head,
        cavity=(from_skin > 14).astype(np.uint8),
        cerebrum=(from_skin > 15.5).astype(np.uint8),
        fissures=[sylvian, _mirrored(sylvian)],
        sella=(128, 122),
        fold_px=15,
        deep=[
            (WHITE, _oval(128, 94, 20, 7)),
            (WHITE, _oval(128, 162, 20, 7)),
            (WHITE, _oval(128, 128, 34, 36)),
            *_pair(GREY, _oval(142, 136, 11, 15, 15)),
            *_pair(GREY, _oval(146, 107, 6, 11, -20)),
            *_pair(GREY, _oval(164, 122, 7, 18, -12)),
            *_pair(FLUID, _points("131,116 131,104 144,88 150,92 143,104 135,120")),
            *_pair(FLUID, _points("140,150 150,156 163,178 158,182 147,168 138,156")),
            (FLUID, _oval(128, 134, 2.5, 12)),
            *_pair(VESSEL, _oval(153, 166, 2, 5, -30)),
            (VESSEL, _oval(128, 226, 4, 3)),
            (VESSEL, _oval(128, 29, 2, 2)),
        ],
    )


def _coronal() -> Atlas:
    head = "128,10 172,20 204,58 212,112 205,158 196,190 182,216 177,240 180,300 128,300"
    brain = "128,26 166,34 192,66 198,110 194,142 176,163 154,164 142,152 128,148"
    canal = "128,130 140,138 150,160 144,182 138,205 138,300 128,300"
    stem = "128,136 142,142 146,162 139,182 134,205 134,300 128,300"
    inside = _mask(_closed(_points(brain)))
    sylvian = _points("206,112 178,120 164,116")
    return _build(
        _mask(_closed(_points(head))),
        cavity=inside | _mask(_closed(_points(canal))),
        cerebrum=(_inside_px(inside) > 1.5).astype(np.uint8),
        fissures=[sylvian, _mirrored(sylvian)],
        outside=_pair(BONE, _oval(182, 179, 14, 11)),
        sella=(128, 148),
        fold_px=16,
        deep=[
            (WHITE, _oval(128, 108, 40, 24)),
            *_pair(GREY, _oval(142, 124, 12, 10, 20)),
            *_pair(GREY, _oval(165, 114, 6, 15, 8)),
            *_pair(GREY, _oval(149, 104, 5, 6)),
            *_pair(FLUID, _points("130,97 140,93 152,94 150,100 140,103 131,107")),
            (FLUID, _oval(128, 124, 2.5, 11)),
            *_pair(FLUID, _oval(170, 146, 5, 3, 30)),
            (WHITE, _closed(_points(stem))),
            *_pair(VESSEL, _oval(148, 158, 2.5, 3)),
            (VESSEL, _oval(128, 151, 5, 2.5)),
            (VESSEL, _oval(128, 31, 4, 3)),
        ],
    )


def _sagittal() -> Atlas:
    head = (
        "120,8 165,13 206,40 229,85 231,125 220,162 208,188 206,215 212,250 216,300 96,300 "
        "98,262 92,246 62,243 48,235 46,222 39,212 42,204 35,196 36,188 22,182 20,174 30,154 "
        "36,136 30,114 36,80 58,38 88,16"
    )
    cavity = (
        "120,23 164,28 197,52 215,90 216,126 207,156 194,180 172,190 160,204 160,262 162,300 "
        "140,300 140,262 141,214 134,184 124,160 112,154 98,143 70,133 52,119 47,95 61,55 90,31"
    )
    cerebrum = (
        "120,25 164,30 196,54 213,91 213,122 200,142 172,138 150,134 130,138 110,142 98,140 "
        "72,131 54,117 50,95 63,57 92,33"
    )
    callosum = (
        "92,116 88,100 100,85 126,77 154,82 174,100 176,114 166,113 160,100 148,91 126,86 "
        "106,93 98,102 98,112"
    )
    stem = (
        "138,128 154,132 155,152 152,176 151,205 156,262 158,300 144,300 144,262 144,205 "
        "140,186 130,176 127,162 133,146"
    )
    return _build(
        _mask(_points(head)),
        cavity=_mask(_points(cavity)),
        cerebrum=_mask(_points(cerebrum)),
        cerebellum=_mask(_points("158,150 178,144 203,148 206,162 193,181 172,186 158,172")),
        falx=False,
        outside=[
            (BONE, _points("40,146 74,140 98,156 98,178 84,180 50,178")),
            (MUSCLE, _points("48,158 84,160 84,166 50,168")),
            (AIR, _oval(103, 164, 9, 7)),
            (AIR, _points("98,182 108,190 114,215 112,245 107,245 108,215")),
            (GREY, _oval(76, 208, 27, 18)),
            (FAT, _oval(182, 225, 12, 26)),
            *((MARROW, _oval(128, y, 8, 7)) for y in (206, 224, 242, 260)),
        ],
        sella=(116, 150),
        fold_px=40,
        deep=[
            (GREY, _oval(132, 116, 32, 16, 8)),
            (FLUID, _points("98,106 108,94 128,87 150,92 162,106 140,102 118,104")),
            (WHITE, _points(callosum)),
            (FLUID, _oval(124, 128, 8, 5, -20)),
            (WHITE, _points(stem)),
            (FLUID, _points("155,156 163,164 155,174 153,166")),
            (VESSEL, _oval(116, 151, 5, 3)),
            (VESSEL, _oval(124, 168, 1.5, 10, -12)),
            (VESSEL, _oval(180, 130, 2, 14, -60)),
            (VESSEL, _oval(212, 140, 4, 8, 15)),
        ],
    )
