"""Two training images made one, with a label of both: mixup and cutmix.

Mixup (Zhang et al. 2018, arXiv 1710.09412) blends them, cutmix (Yun et al. 2019, arXiv 1905.04899)
puts a rectangle of one into the other. Each label counts by its image's share of the result. Where
a lesion is stays known if it is known of both; blended, a lesion fades with its image's share. An
image that was mixed already is left as it is: it has two labels.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from edge_mri_train.augmentation.view import Plane, View

_BLEND = 0.4  # of the beta distribution that mixup draws from


class Mixer:
    """Mixes images with others of the training set.

    Args:
        images: `(N, S, S)` uint8.
        masks: N `(S, S)` uint8, 255 where a lesion is, or None where that is not known.
    """

    def __init__(
        self, images: NDArray[np.uint8], masks: Sequence[NDArray[np.uint8] | None]
    ) -> None:
        self._images = images
        self._masks = masks

    def mixup(self, view: View, rng: np.random.Generator) -> View:
        """Blend with another image; the first keeps half or more."""
        if view.donor is not None:
            return view
        donor, image, mask = self._other(rng)
        share = float(rng.beta(_BLEND, _BLEND))
        share = max(share, 1 - share)
        return _mixed(view, donor, image, mask, np.full_like(image, share), share)

    def cutmix(self, view: View, rng: np.random.Generator) -> View:
        """Put a rectangle of another image in the same place, of any size up to all of it."""
        if view.donor is not None:
            return view
        donor, image, mask = self._other(rng)
        rows, columns = image.shape
        side = np.sqrt(rng.random())
        height, width = round(rows * side), round(columns * side)
        top = int(rng.integers(rows - height + 1))
        left = int(rng.integers(columns - width + 1))
        own = np.ones_like(image)
        own[top : top + height, left : left + width] = 0
        return _mixed(view, donor, image, mask, own, float(own.mean()))

    def _other(self, rng: np.random.Generator) -> tuple[int, Plane, Plane | None]:
        donor = int(rng.integers(len(self._images)))
        mask = self._masks[donor]
        return donor, _scaled(self._images[donor]), None if mask is None else _scaled(mask)


def _scaled(pixels: NDArray[np.uint8]) -> Plane:
    return pixels.astype(np.float32) / np.float32(255)


def _mixed(
    view: View, donor: int, image: Plane, mask: Plane | None, own: Plane, share: float
) -> View:
    """Return `own` of the view and the rest of the other image, point by point."""
    both = None
    if view.mask is not None and mask is not None:
        both = own * view.mask + (1 - own) * mask
    mixed = own * view.image + (1 - own) * image
    return replace(view, image=mixed, mask=both, donor=donor, share=share)
