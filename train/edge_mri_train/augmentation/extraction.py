"""Brain extraction at random: many archives keep the brain alone, the sets here the whole head."""

from dataclasses import replace

import cv2
import numpy as np

from edge_mri_train.augmentation.view import View, depth, head

_THINNEST, _THICKEST = 0.05, 0.11  # of skull and scalp, as a share of the head's size
_THICKEST_UNKNOWN = 0.065  # where a lesion may lie at the rim
_KEPT_LESION = 0.9


def extract_brain(view: View, rng: np.random.Generator) -> View:
    """Black out a rim of random thickness, and nothing that would cut into the lesion."""
    inside = head(view.image)
    area = int(inside.sum())
    if area == 0:
        return view
    thickest = _THICKEST_UNKNOWN if view.mask is None else _THICKEST
    thickness = rng.uniform(_THINNEST, thickest) * float(np.sqrt(area))
    kept_pixels = (depth(inside) > thickness).astype(np.float32)
    brain = np.asarray(cv2.GaussianBlur(kept_pixels, (0, 0), 1.0), np.float32)
    if view.mask is not None and view.mask.any():
        kept = float((brain * view.mask).sum() / view.mask.sum())
        if kept < _KEPT_LESION:
            return view
    return replace(view, image=view.image * brain)
