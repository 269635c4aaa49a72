"""Draws what comes out of `edge-mri infer --heatmaps`, on phantoms.

    python benchmarks/studies/release/draw_picture.py --out docs/pictures/answers.png

Four phantoms in a row: two with a lesion that the packaged model finds, one without, and one that
it rejects; of each kind the first that it answers so.
"""

import argparse
import tempfile
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_mri.classifier import Classifier
from edge_mri.phantoms.phantom import PhantomConfig, write_phantoms
from edge_mri.pictures.heatmaps import SCALES, HeatmapWriter

GAP_PX = 8
WANTED = (
    ("glioma_axial", "ok", "glioma"),
    ("meningioma_coronal", "ok", "meningioma"),
    ("no_tumor_axial", "ok", "no_tumor"),
    ("pituitary_sagittal", "rejected", ""),
)
"""Folder, status and type of the phantoms to show; an empty type is any."""


def row() -> NDArray[np.uint8]:
    """Return the picture, `(H, W, 3)` uint8 BGR."""
    classifier = Classifier.load()
    tiles = []
    with tempfile.TemporaryDirectory() as folder:
        images, maps = Path(folder, "images"), Path(folder, "maps")
        write_phantoms(images, PhantomConfig(count=6, size_px=256, seed=0, format="png"))
        writer = HeatmapWriter(maps, classifier.contract.preprocess, SCALES["lesion"])
        for name, status, type_ in WANTED:
            files = sorted(images.glob(f"{name}/*.png"))
            records = list(classifier.stream(files, finish=writer))
            fitting = [one for one in records if one.status == status and type_ in ("", one.type)]
            chosen = max(fitting or records, key=lambda one: max(one.type_probabilities.values()))
            tiles.append(cv2.imread(str(maps / str(chosen.heatmap))))
    height = max(tile.shape[0] for tile in tiles)
    parts: list[NDArray[np.uint8]] = []
    for tile in tiles:
        below = height - tile.shape[0]
        tall = cv2.copyMakeBorder(tile, 0, below, 0, GAP_PX, cv2.BORDER_CONSTANT)
        parts.append(tall.astype(np.uint8))
    return np.hstack(parts)[:, :-GAP_PX]


def main() -> None:
    """Read the options and write the picture."""
    parser = argparse.ArgumentParser(description="Draw what comes out.")
    parser.add_argument("--out", type=Path, default=Path("docs/pictures/answers.png"))
    out = parser.parse_args().out
    out.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(out), row(), [cv2.IMWRITE_PNG_COMPRESSION, 9])


if __name__ == "__main__":
    main()
