"""Views to change: phantoms with a known lesion, and without."""

import numpy as np
import pytest

from edge_mri.labels import parse_folder_name
from edge_mri.phantoms.phantom import draw_phantom
from edge_mri_train.augmentation.lesions import LesionBank
from edge_mri_train.augmentation.pipeline import Donors
from edge_mri_train.augmentation.view import View

SIZE = 96


def phantom(folder: str, index: int) -> np.ndarray:
    return draw_phantom(parse_folder_name(folder), size_px=SIZE, seed=3, index=index)


@pytest.fixture(scope="session")
def free() -> list[View]:
    """Eight heads without a lesion."""
    empty = np.zeros((SIZE, SIZE), np.float32)
    return [
        View(phantom("no_tumor_axial", index).astype(np.float32) / 255, empty) for index in range(8)
    ]


@pytest.fixture(scope="session")
def with_lesion() -> list[View]:
    """Eight of the same heads with one, outlined where the pair of images differs."""
    views = []
    for index in range(8):
        image = phantom("glioma_axial", index).astype(np.float32) / 255
        other = phantom("no_tumor_axial", index).astype(np.float32) / 255
        views.append(View(image, (np.abs(image - other) > 0.1).astype(np.float32)))
    return views


@pytest.fixture(scope="session")
def donors(free, with_lesion) -> Donors:
    views = [*free, *with_lesion]
    images = np.stack([np.round(view.image * 255).astype(np.uint8) for view in views])
    return Donors.of(images, [(view.mask * 255).astype(np.uint8) for view in views])


@pytest.fixture(scope="session")
def bank(donors) -> LesionBank:
    return donors.bank
