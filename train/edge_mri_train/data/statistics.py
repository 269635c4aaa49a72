"""Statistics of an image and its file that say nothing of anatomy: borders, greys, sharpness."""

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_mri_train.data.inventory import FileFacts

STATISTICS = (
    "width_px",
    "aspect",
    "channels",
    "bytes_per_pixel",
    "jpeg_quantization",
    "border_mean",
    "border_deviation",
    "black_share",
    "mean",
    "deviation",
    "median_of_content",
    "brightest_percent",
    "entropy_bits",
    "sharpness",
    "asymmetry",
)
"""What `statistics` measures, in its order."""

_BORDER = 0.05  # width of the frame, as a share of the side
_BLACK = 10  # grey level up to which a pixel is background


def statistics(image: NDArray[np.uint8], facts: FileFacts) -> NDArray[np.float32]:
    """Return the `(len(STATISTICS),)` float32 statistics of a `(H, W)` uint8 image and its file."""
    height, width = image.shape
    inset_y, inset_x = max(int(height * _BORDER), 1), max(int(width * _BORDER), 1)
    border = np.concatenate(
        [
            image[:inset_y].ravel(),
            image[-inset_y:].ravel(),
            image[:, :inset_x].ravel(),
            image[:, -inset_x:].ravel(),
        ]
    )
    histogram = np.bincount(image.ravel(), minlength=256) / image.size
    seen = histogram[histogram > 0]
    content = image[image > _BLACK]
    mirrored = cv2.absdiff(image, cv2.flip(image, 1))
    values = (
        width,
        width / height,
        facts.channels,
        facts.size_bytes / image.size,
        facts.jpeg_quantization,
        border.mean(),
        border.std(),
        histogram[: _BLACK + 1].sum(),
        image.mean(),
        image.std(),
        np.median(content) if content.size else 0,
        np.percentile(image, 99),
        -(seen * np.log2(seen)).sum(),
        cv2.Laplacian(image, cv2.CV_32F).std(),
        mirrored.mean(),
    )
    return np.array(values, np.float32)
