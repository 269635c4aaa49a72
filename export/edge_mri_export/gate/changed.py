"""Brain images as the training's augmentation and extraction show them.

What is a brain to the training is one to the gate: an extracted brain, another scanner's contrast.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from edge_mri_export.gate.images import Groups
from edge_mri_train.augmentation.pipeline import Augmentation, AugmentConfig
from edge_mri_train.augmentation.view import View

_EXTRACTED = replace(AugmentConfig.none(), extract=1.0)
_AUGMENTED = AugmentConfig(
    extract=0.5,
    frame=0.3,
    curve=0.3,
    bias_field=0.3,
    blur=0.2,
    resolution=0.2,
    noise=0.2,
    jpeg=0.2,
)


def extracted(groups: Groups, most: int) -> dict[str, NDArray[np.uint8]]:
    """Return up to `most` images of each group with skull and scalp blacked out."""
    return _changed(groups, most, "extracted", Augmentation(_EXTRACTED))


def augmented(groups: Groups, most: int) -> dict[str, NDArray[np.uint8]]:
    """Return up to `most` images of each group turned, re-contrasted, noisy, half extracted."""
    return _changed(groups, most, "augmented", Augmentation(_AUGMENTED))


def _changed(
    groups: Groups, most: int, how: str, change: Augmentation
) -> dict[str, NDArray[np.uint8]]:
    """Return the changed images under their sources' names; the same ones each time."""
    rng = np.random.default_rng(0)
    return {
        f"{source}, {how}": np.stack([_one(image[0], change, rng) for image in pixels[:most]])
        for source, pixels in groups.items()
    }


def _one(
    image: NDArray[np.uint8], change: Augmentation, rng: np.random.Generator
) -> NDArray[np.uint8]:
    plane = (image / np.float32(255)).astype(np.float32)
    seen = change(View(plane, None), rng).image
    pixels: NDArray[np.uint8] = np.clip(np.round(255 * seen), 0, 255).astype(np.uint8)
    return pixels[np.newaxis]
