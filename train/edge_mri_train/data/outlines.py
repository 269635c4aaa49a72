"""Where the tumours are: outlines and masks that lie beside a set's images.

A set's folder may hold `outlines.json`, which maps an image's path to the corners of its outline,
`[[x, y], …]` in pixels of the image, or a folder `masks/` of PNG images as large as theirs, white
where the lesion is. Each is named as the image it belongs to, or as its name up to the last `_`
(one mask for several contrasts of a slice), and lies below `masks/` as the image does below the
set, or in `masks/CLASS/`, or where no two classes share a name, in `masks/` itself. A folder
`masks` may also lie beside the image or its folder.
"""

import json
import reprlib
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_mri.errors import ImageError
from edge_mri.images import read_image
from edge_mri.images.preprocess import PreprocessSpec, preprocess
from edge_mri.labels import LabelSpace
from edge_mri.remote.url import Place
from edge_mri_train.data.folders import Sample
from edge_mri_train.data.layout import MASKS
from edge_mri_train.errors import OutlineError, first_line
from edge_mri_train.settings.data_file import read_text
from edge_mri_train.settings.rules import number

OUTLINES = "outlines.json"

_COORDINATE = number(lambda one: abs(one) < 2**15, "of pixels")

Mask = NDArray[np.uint8]


def lesion_mask(
    sample: Sample, spec: PreprocessSpec, space: LabelSpace | None = None
) -> Mask | None:
    """Return `(S, S)` uint8, 255 where the lesion is, or None where nobody outlined it.

    An image of the absent type has an empty mask; where there is no such type, no image has one.

    Args:
        sample: The image.
        spec: Of the network's input.
        space: Of its label; None: the default one.

    Raises:
        OutlineError: The outline or mask is there and cannot be used.
    """
    space = space or LabelSpace()
    if space.absent is None:
        return None
    if space.is_present(sample.label) is False:
        return np.zeros((spec.size, spec.size), np.uint8)
    corners = _outlines(sample.folder).get(sample.path.as_posix())
    if corners is not None:
        image = _read(sample.file)
        mask = np.zeros(image.shape, np.uint8)
        cv2.fillPoly(mask, [_corners(sample, corners)], 255)
    else:
        file = _mask_file(sample)
        if file is None:
            return None
        mask = _read(file)
        _require_shape(file, mask, sample)
    fitted = preprocess(mask, spec)[0]
    return np.where(fitted >= 128, 255, 0).astype(np.uint8)


@cache
def _outlines(root: Path) -> dict[str, Any]:
    file = root / OUTLINES
    if not file.is_file():
        return {}
    text = read_text(file, lambda reason: OutlineError(file, reason))
    try:
        outlines = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise OutlineError(file, f"it is no JSON ({first_line(error)})") from error
    if not isinstance(outlines, dict):
        raise OutlineError(file, "expected an object of image path to corners")
    return outlines


def _corners(sample: Sample, corners: Any) -> NDArray[np.int32]:
    """Return corners as OpenCV takes them, `(N, 2)`; it computes with 16 bits before the point."""
    if (
        not isinstance(corners, list)
        or not corners
        or not all(isinstance(one, list) and len(one) == 2 for one in corners)
        or not all(_COORDINATE.holds(at) for one in corners for at in one)
    ):
        raise OutlineError(
            sample.folder / OUTLINES,
            f"{sample.path}: expected [[x, y], …] in pixels, got {reprlib.repr(corners)}",
        )
    return np.round(np.array(corners, float)).astype(np.int32)


def _mask_file(sample: Sample) -> Path | None:
    stem = sample.path.stem
    root, above = sample.folder, sample.path.parent
    masks = root / MASKS
    beside = (root / above / MASKS, root / above.parent / MASKS)
    for folder in dict.fromkeys((masks / above, masks / above.name, masks, *beside)):
        for name in (stem, stem.rpartition("_")[0]):
            file = folder / f"{name}.png"
            if name and file.is_file():
                return file
    return None


def _require_shape(file: Path, mask: Mask, sample: Sample) -> None:
    """Raise `OutlineError` where a mask is not as large as its image."""
    image = _read(sample.file)
    if mask.shape != image.shape:
        sizes = [f"{one.shape[1]} x {one.shape[0]} px" for one in (mask, image)]
        raise OutlineError(
            file, f"it is {sizes[0]}, its image {sample.file} {sizes[1]}; expected one size"
        )


def _read(file: Place) -> Mask:
    try:
        return read_image(file)
    except ImageError as error:
        raise OutlineError(file, str(error)) from error
