"""What the tests of duplicates share: phantom heads and the fingerprints of the real sets."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from edge_mri.labels import Label
from edge_mri.phantoms.phantom import draw_phantom
from edge_mri_train.duplicates.fingerprint import Fingerprint, fingerprint


@pytest.fixture(scope="session")
def heads() -> list[NDArray[np.uint8]]:
    """Thirty phantoms of different heads, ten a plane, 160 px."""
    return [
        draw_phantom(Label(type_, plane), size_px=160, seed=4, index=index)
        for plane in ("axial", "coronal", "sagittal")
        for index, type_ in enumerate(
            ["glioma", "meningioma", "pituitary", "no_tumor", "glioma"] * 2
        )
    ]


@pytest.fixture(scope="session")
def real(data_dir: Path) -> dict[Path, Fingerprint]:
    """The fingerprints of nickparvar and artemis, by path below the folder of the sets."""
    files = [file for name in ("nickparvar", "artemis") for file in data_dir.glob(f"{name}/*/*/*")]
    files.sort()
    with ThreadPoolExecutor(2) as pool:
        fingerprints = pool.map(lambda file: fingerprint(file.read_bytes()), files)
        return {
            file.relative_to(data_dir): one for file, one in zip(files, fingerprints, strict=True)
        }
