"""One image out of a file that may hold many."""

from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

_NO_PIXELS = np.empty((0, 0), np.uint8)


class SlicePosition(NamedTuple):
    """Where a slice lies among others of its volume, as the file tells it.

    Attributes:
        stack: What slices that are parallel share.
        along: How far along their common normal it lies, in millimetres; where the file tells no
            place, its number.
        volume: Which volume of a series of volumes in one file it is of, from 1; None where the
            file holds one.
    """

    stack: str
    along: float
    volume: int | None = None


@dataclass(frozen=True, eq=False)
class Frame:
    """What a file holds at one place.

    Attributes:
        pixels: `(H, W)` uint8 grey, 0 black.
        frame: Its number in the file, from 1: the page of a TIFF, the frame of a DICOM file, the
            slice of a volume. With the path it names the image. None where the file's format
            or the file itself holds one image.
        plane: `axial`, `coronal` or `sagittal` where the file says how it lies in the patient;
            None where it does not.
        series: What frames of one DICOM series share: a hash of its identifier, which tells
            nothing of the patient. None for other files.
        position: Where it lies in its volume; None where the file does not tell.
        foreign: What the file's header says against being an MR image of a head, in words; None
            where it says nothing against it.
        shrunk: How many pixels of the file one of `pixels` stands for, along each side.
        unread: How many more images an animation shows, which are not read.
    """

    pixels: NDArray[np.uint8]
    frame: int | None = None
    plane: str | None = None
    series: str | None = None
    position: SlicePosition | None = None
    foreign: str | None = None
    shrunk: int = 1
    unread: int = 0

    def without_pixels(self) -> "Frame":
        """Return what the file says of it, with no pixels."""
        return Frame(
            _NO_PIXELS,
            self.frame,
            self.plane,
            self.series,
            self.position,
            self.foreign,
            self.shrunk,
            self.unread,
        )

    def at_full_size(self) -> NDArray[np.uint8]:
        """Return the pixels in the file's own geometry, as `(H, W)`; blurred where `shrunk`."""
        if self.shrunk == 1:
            return self.pixels
        height, width = self.pixels.shape
        size = (width * self.shrunk, height * self.shrunk)
        return np.asarray(cv2.resize(self.pixels, size), np.uint8)
