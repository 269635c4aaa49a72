"""The tumours of the phantoms, drawn into a healthy head.

Each type is where it grows and how it takes up contrast: what is bright, what is dark, how even.
Lengths are pixels of the 256 px sheet; the heads are `edge_mri.phantoms.head`.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_mri.phantoms.atlas import SHEET, SHEET_PX, Atlas, Mask, Sheet
from edge_mri.phantoms.head import smooth_noise

Point = NDArray[np.float64]

_GLIOMA_RADIUS_PX = (16.0, 27.0)
_MENINGIOMA_RADIUS_PX = (13.0, 24.0)
_PITUITARY_RADIUS_PX = (10.0, 17.0)
_ENHANCED = (178.0, 222.0)
_TEXTURE_PERIOD_PX = 30.0


def draw_tumour(sheet: Sheet, atlas: Atlas, type_: str, rng: np.random.Generator) -> None:
    """Draw a tumour of a type into a `(256, 256)` head; `no_tumor` leaves it as it is."""
    if type_ == "glioma":
        _draw_glioma(sheet, atlas, rng)
    elif type_ == "meningioma":
        _draw_meningioma(sheet, atlas, rng)
    elif type_ == "pituitary":
        _draw_pituitary(sheet, atlas, rng)


def _draw_glioma(sheet: Sheet, atlas: Atlas, rng: np.random.Generator) -> None:
    """Inside the brain: a ragged, uneven bright ring, a dark dead core, dark oedema around."""
    radius = rng.uniform(*_GLIOMA_RADIUS_PX)
    centre = _pick(atlas.depth_px > 0.75 * radius, rng)
    oedema = _blob(centre, radius * rng.uniform(1.4, 1.8), 0.35, rng) & atlas.cerebrum
    ring = _blob(centre, radius, 0.25, rng) & atlas.cavity
    off_centre = rng.uniform(-0.15, 0.15, 2) * radius
    core = _blob(centre + off_centre, radius * rng.uniform(0.4, 0.65), 0.35, rng) & ring
    texture = smooth_noise(rng, _TEXTURE_PERIOD_PX)
    _blend(sheet, oedema, 62 + 8 * texture, opacity=0.85, soft_px=3.0)
    _blend(sheet, ring, rng.uniform(*_ENHANCED) + 18 * texture)
    _blend(sheet, core, rng.uniform(40, 75) + 14 * texture, soft_px=1.5)


def _draw_meningioma(sheet: Sheet, atlas: Atlas, rng: np.random.Generator) -> None:
    """On the coverings of the brain: round, even, bright, broad against skull or falx."""
    radius = rng.uniform(*_MENINGIOMA_RADIUS_PX)
    contact = _pick(atlas.coverings > 0, rng)
    slope = cv2.GaussianBlur(atlas.depth_px, (0, 0), 5.0)
    x, y = contact.astype(int)
    inwards = np.array([slope[y, x + 3] - slope[y, x - 3], slope[y + 3, x] - slope[y - 3, x]])
    inwards /= max(float(np.linalg.norm(inwards)), 1e-6)
    mass = _blob(contact + inwards * radius * rng.uniform(0.45, 0.7), radius, 0.08, rng)
    tail = _blob(contact, 1.5 * radius, 0.0, rng) & (1 - atlas.cerebrum)
    bright = rng.uniform(*_ENHANCED) + 3 * smooth_noise(rng, _TEXTURE_PERIOD_PX)
    _blend(sheet, tail & atlas.cavity, bright, opacity=0.6)
    _blend(sheet, mass & atlas.cavity, bright)


def _draw_pituitary(sheet: Sheet, atlas: Atlas, rng: np.random.Generator) -> None:
    """At the sella, low in the middle: small to medium, round, bright; it grows upwards."""
    radius = rng.uniform(*_PITUITARY_RADIUS_PX)
    centre = atlas.sella + rng.uniform(-3, 3, 2) - [0, 0.4 * radius]
    mass = _blob(centre, radius, 0.1, rng)
    _blend(sheet, mass, rng.uniform(*_ENHANCED) + 6 * smooth_noise(rng, _TEXTURE_PERIOD_PX))


def _pick(where: NDArray[np.bool_], rng: np.random.Generator) -> Point:
    """Return one of the pixels of a map as (x, y)."""
    y, x = divmod(int(rng.choice(np.flatnonzero(where))), SHEET_PX)
    return np.array([x, y], np.float64)


def _blob(centre: Point, radius_px: float, ragged: float, rng: np.random.Generator) -> Mask:
    """Return a round shape; `ragged` is the part of its radius by which it strays at most."""
    angles = np.linspace(0, 2 * np.pi, 72, endpoint=False)
    waves = np.arange(2, 9)[:, np.newaxis]
    heights = rng.standard_normal((7, 1)) / waves**0.7
    stray = (heights * np.cos(waves * angles + rng.uniform(0, 2 * np.pi, (7, 1)))).sum(axis=0)
    radii = radius_px * (1 + ragged * stray / np.abs(stray).max())
    path = centre + np.stack([np.cos(angles), np.sin(angles)], axis=1) * radii[:, np.newaxis]
    mask = np.zeros(SHEET, np.uint8)
    cv2.fillPoly(mask, [np.rint(path).astype(np.int32)], (1,))
    return mask


def _blend(
    sheet: Sheet, mask: Mask, brightness: Sheet, *, opacity: float = 1.0, soft_px: float = 0.9
) -> None:
    alpha = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), soft_px) * np.float32(opacity)
    sheet += alpha * (brightness - sheet)
