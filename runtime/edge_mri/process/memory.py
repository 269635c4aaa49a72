"""Memory that runs out over one image: an error of that image, and the rest goes on."""

import cv2

from edge_mri.errors import ImageMemoryError

ERRORS = (MemoryError, cv2.error)
"""What numpy and OpenCV raise when memory runs out; the latter also for other reasons."""


def ran_out(error: Exception, verb: str) -> ImageMemoryError:
    """Return what one of `ERRORS` means for the image at hand; other errors are raised again.

    Args:
        error: One of `ERRORS`.
        verb: What was to be done with the image, such as `decode`.
    """
    if isinstance(error, cv2.error) and error.code != cv2.Error.StsNoMem:
        raise error
    return ImageMemoryError(verb)
