"""The healthy heads of the phantoms: what a slice shows before a tumour is drawn into it.

The folds of the cortex, the size of the ventricles and the brightness of the tissues are drawn
anew for each image; the anatomy they follow is `edge_mri.phantoms.atlas`.
"""

import cv2
import numpy as np

from edge_mri.phantoms.atlas import (
    BRIGHTNESS,
    FLUID,
    GREY,
    MUSCLE,
    SHEET,
    SHEET_PX,
    WHITE,
    Atlas,
    Sheet,
    fill,
)

_GRAIN = np.float32(12)
_FOLD_PERIOD_PX = 23.0
_CORTEX_PX = 4.2
_STEPS_PER_PX = 12


def draw_head(atlas: Atlas, rng: np.random.Generator) -> Sheet:
    """Draw a head without a tumour: `(256, 256)` float32, 0 to 255."""
    tone = BRIGHTNESS * rng.uniform(0.93, 1.07, BRIGHTNESS.size).astype(np.float32)
    noise = smooth_noise(rng, _FOLD_PERIOD_PX)
    sheet: Sheet = tone[atlas.tissue] + atlas.leaves
    sheet += (atlas.tissue == MUSCLE) * (_GRAIN * noise)
    sheet = np.where(atlas.cerebrum > 0, _fold(atlas, noise, tone), sheet)
    swelling = np.float32(rng.uniform(-0.25, 0.3))
    for tissue, outline in atlas.deep:
        swollen = outline + (outline - outline.mean(axis=0)) * swelling
        fill(sheet, swollen if tissue == FLUID else outline, float(tone[tissue]))
    return sheet


def smooth_noise(rng: np.random.Generator, period_px: float) -> Sheet:
    """Return `(256, 256)` float32 noise of unit deviation that waves with about that period."""
    grid = SHEET_PX * 3 // 8
    sigma = period_px / (2 * np.pi) * grid / SHEET_PX
    noise = rng.standard_normal((grid, grid), np.float32)
    band = cv2.GaussianBlur(noise, (0, 0), sigma) - cv2.GaussianBlur(noise, (0, 0), 1.6 * sigma)
    band /= band.std()
    return np.asarray(cv2.resize(band, SHEET, interpolation=cv2.INTER_CUBIC), np.float32)


def _fold(atlas: Atlas, noise: Sheet, tone: Sheet) -> Sheet:
    """Fold the cerebrum: furrows run in from the surface along the zero lines of the noise."""
    furrow_px = np.abs(noise) * np.float32(_FOLD_PERIOD_PX / (2 * np.pi))
    furrow_px += np.maximum(atlas.depth_px - np.float32(atlas.fold_px), 0)
    surface_px = np.minimum(atlas.depth_px, furrow_px)
    step = np.minimum(surface_px * _STEPS_PER_PX, 255).astype(np.uint8)
    layers_px = [0.3, 1.6, _CORTEX_PX - 0.6, _CORTEX_PX + 1.2, 18]
    tones = [tone[FLUID], tone[GREY], tone[GREY], tone[WHITE] - 4, tone[WHITE] + 4]
    by_step = np.interp(np.arange(256) / _STEPS_PER_PX, layers_px, tones)
    return np.asarray(by_step.astype(np.float32)[step])
