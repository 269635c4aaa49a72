"""One training image on its way through the augmentation."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.float32]


@dataclass(frozen=True)
class View:
    """An image and what is known of its lesion.

    Attributes:
        image: `(S, S)` float32 in 0..1.
        mask: `(S, S)` float32 in 0..1, where a lesion is; None where it is not known.
        is_pasted: A lesion was pasted into an image without one: its type is nobody's.
        is_healed: The lesion it had was covered: no tumour, unless one was pasted after.
        donor: Position of the training image that it was mixed with; None: it is by itself.
        share: Of the label in the loss; the donor's label has the rest.
    """

    image: Plane
    mask: Plane | None
    is_pasted: bool = False
    is_healed: bool = False
    donor: int | None = None
    share: float = 1.0


def head(image: Plane) -> NDArray[np.uint8]:
    """Return `(S, S)` uint8, 1 inside the head: what is not background, holes filled.

    Args:
        image: `(S, S)` float32 in 0..1.
    """
    smooth = cv2.GaussianBlur(image, (0, 0), 1.5)
    bright = (smooth > max(0.25 * float(smooth.mean()), 0.02)).astype(np.uint8)
    contours, _ = cv2.findContours(bright, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    filled = np.zeros(image.shape, np.uint8)
    if contours:
        cv2.drawContours(filled, [max(contours, key=cv2.contourArea)], -1, 1, cv2.FILLED)
    return filled


def depth(inside: NDArray[np.uint8]) -> Plane:
    """Return `(S, S)` float32: distance of each pixel from the rim of the head, in pixels."""
    padded = cv2.copyMakeBorder(inside, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    distance = np.asarray(cv2.distanceTransform(padded, cv2.DIST_L2, 3), np.float32)
    return distance[1:-1, 1:-1]
