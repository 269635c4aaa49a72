"""A side's images in memory, with what is known of each: label, and lesion where it is outlined."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from edge_mri.images.preprocess import PreprocessSpec
from edge_mri.labels import Label, LabelSpace
from edge_mri.terminal.progress import Progress
from edge_mri_train.augmentation.view import View
from edge_mri_train.data.folders import Sample
from edge_mri_train.data.outlines import Mask, lesion_mask
from edge_mri_train.data.pixels import load_pixels
from edge_mri_train.learning.loss import class_masks


@dataclass(frozen=True)
class Slices:
    """N images, decoded once.

    Attributes:
        pixels: `(N, 1, S, S)` uint8 network input.
        labels: N labels.
        masks: N `(S, S)` uint8, 255 where a lesion is, or None where nobody outlined it.
        sets: N folders of the sets that the images are of; empty where that is not known.
    """

    pixels: NDArray[np.uint8]
    labels: list[Label]
    masks: list[Mask | None]
    sets: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.labels)

    @classmethod
    def load(
        cls,
        samples: Sequence[Sample],
        spec: PreprocessSpec,
        name: str,
        progress: Progress,
        space: LabelSpace | None = None,
    ) -> "Slices":
        """Read images and outlines; `name` is shown with the progress.

        `space` is that of their labels; None: the default one.

        Raises:
            ImageDecodeError: A file cannot be used.
            OutlineError: Its outline cannot be used.
        """
        with progress.bar(name, len(samples)) as step:
            pixels = load_pixels([sample.file for sample in samples], spec, on_image=step)
        masks = [lesion_mask(sample, spec, space) for sample in samples]
        sets = [str(sample.root) for sample in samples]
        return cls(pixels, [sample.label for sample in samples], masks, sets)

    def has_lesion(self, position: int) -> bool:
        """Whether an image has an outlined lesion."""
        mask = self.masks[position]
        return mask is not None and bool(mask.any())

    def view(self, position: int) -> View:
        """Return an image as the augmentation takes it."""
        mask = self.masks[position]
        return View(
            self.pixels[position, 0].astype(np.float32) / np.float32(255),
            None if mask is None else mask.astype(np.float32) / np.float32(255),
        )

    def allowed(self, space: LabelSpace) -> NDArray[np.bool_]:
        """Return `(N, K)`: the classes of the space that each label allows."""
        allowed: NDArray[np.bool_] = class_masks(self.labels, space).numpy()
        return allowed
