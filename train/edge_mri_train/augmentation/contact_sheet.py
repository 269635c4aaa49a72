"""What the augmentation makes of images, as one picture: a look before hours of training.

One row for each change alone, and the last for all together as the configuration has them; the
outline of a known lesion is drawn in.
"""

from dataclasses import asdict, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_mri.errors import OutputError
from edge_mri.storage.atomic import atomic_path
from edge_mri_train.augmentation.pipeline import Augmentation, AugmentConfig, Donors
from edge_mri_train.augmentation.view import View

_CAPTION_PX = 110
_OUTLINE = (80, 200, 255)  # BGR


def draw_contact_sheet(
    views: list[View], config: AugmentConfig, donors: Donors | None, seed: int, path: Path
) -> None:
    """Write a PNG: a column for each image, a row for each change that the configuration makes.

    Args:
        views: The images, all of one size.
        config: How often each change is made; those at 0 get no row.
        donors: What to paste and to mix with.
        seed: Of the changes.
        path: The picture.
    """
    used = [name for name, often in asdict(config).items() if often]
    rows = [("original", AugmentConfig.none())]
    rows += [(name, replace(AugmentConfig.none(), **{name: 1.0})) for name in used]
    rows += [("all", config)] * 3
    sheet = np.concatenate(
        [
            _row(
                caption,
                [_changed(view, one, donors, (seed, row, n)) for n, view in enumerate(views)],
            )
            for row, (caption, one) in enumerate(rows)
        ]
    )
    with atomic_path(path) as temporary:
        written, code = cv2.imencode(".png", sheet)
        if not written:
            raise OutputError(path, "OpenCV cannot write it")
        temporary.write_bytes(code.tobytes())


def _changed(
    view: View, config: AugmentConfig, donors: Donors | None, seed: tuple[int, ...]
) -> View:
    return Augmentation(config, donors)(view, np.random.default_rng(seed))


def _row(caption: str, views: list[View]) -> NDArray[np.uint8]:
    height = views[0].image.shape[0]
    label = np.zeros((height, _CAPTION_PX, 3), np.uint8)
    place = (6, height // 2)
    cv2.putText(label, caption, place, cv2.FONT_HERSHEY_SIMPLEX, 0.5, (255,) * 3, 1, cv2.LINE_AA)
    return np.concatenate([label, *(_picture(view) for view in views)], axis=1)


def _picture(view: View) -> NDArray[np.uint8]:
    pixels = np.round(view.image * 255).astype(np.uint8)
    picture = np.asarray(cv2.cvtColor(pixels, cv2.COLOR_GRAY2BGR), np.uint8)
    if view.mask is not None:
        shape = (view.mask >= 0.5).astype(np.uint8)
        contours, _ = cv2.findContours(shape, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(picture, contours, -1, _OUTLINE, 1)
    return picture
