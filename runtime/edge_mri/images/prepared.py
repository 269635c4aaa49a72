"""A frame on its way into the network: its pixels there, and the way back from them."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edge_mri.images import Frame
from edge_mri.images.pixels.levels import why_not_an_image
from edge_mri.images.preprocess import Placement, PreprocessSpec, preprocess
from edge_mri.process import memory


class Prepared(NamedTuple):
    """What a classifier takes, many at a time.

    Attributes:
        pixels: `(1, S, S)` uint8 network input.
        place: Where the image lies in it, in pixels of the file.
        frame: What it was made of; without its pixels where nobody needs them any more.
        drawn: Why its pixels are no image of anything, in words; None where they may be.
    """

    pixels: NDArray[np.uint8]
    place: Placement
    frame: Frame
    drawn: str | None = None

    @classmethod
    def of(cls, frame: Frame, spec: PreprocessSpec, *, keep: bool = False) -> "Prepared":
        """Turn a frame into network input; its pixels are let go of unless `keep`.

        Raises:
            ImageMemoryError: Memory runs out.
        """
        height, width = frame.pixels.shape
        place = Placement.of((height * frame.shrunk, width * frame.shrunk), spec)
        try:
            pixels = preprocess(frame.pixels, spec)
        except memory.ERRORS as error:
            raise memory.ran_out(error, "resize") from error
        drawn = why_not_an_image(frame.pixels)
        return cls(pixels, place, frame if keep else frame.without_pixels(), drawn)
