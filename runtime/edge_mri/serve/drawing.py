"""Pictures that go with records over HTTP: heatmaps as `infer` writes them, and the report's."""

import base64
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from edge_mri.answers.location import Map
from edge_mri.answers.prediction import Prediction
from edge_mri.images.preprocess import PreprocessSpec
from edge_mri.pictures.heatmaps import heatmap, png_bytes
from edge_mri.pictures.thumbnails import pictured

PICTURE_PX = 320
"""The longer side of the page's pictures, which can be looked at alone."""

PNG = "data:image/png;base64,"


@dataclass(frozen=True)
class Drawing:
    """What is drawn for each record; it is what a job takes as `finish`.

    Attributes:
        spec: Of the model.
        scale: What the colours of heatmaps mean; None: the model has no map.
        heatmap: Whether the record's `heatmap` is a picture, as a `data:` URL.
        pictures: Whether it has the report's pictures.
    """

    spec: PreprocessSpec
    scale: str | None
    heatmap: bool
    pictures: bool

    def __call__(
        self, record: Prediction, image: NDArray[np.uint8], cells: Map | None
    ) -> Prediction:
        """Give a record its pictures; arguments as of `edge_mri.finishing.Finish`."""
        if self.heatmap and cells is not None and self.scale is not None:
            png = png_bytes(heatmap(record, image, cells, self.spec, self.scale))
            record = replace(record, heatmap=PNG + base64.b64encode(png).decode())
        if self.pictures:
            record = pictured(record, image, cells, self.spec, PICTURE_PX)
        return record
