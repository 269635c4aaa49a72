"""What a run shows people beside its records: heatmaps and a report, as they were asked for."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_mri.answers.location import Map
from edge_mri.answers.prediction import Prediction
from edge_mri.classifier import Classifier
from edge_mri.errors import OptionError
from edge_mri.finishing import Finish
from edge_mri.pictures.heatmaps import SCALES, HeatmapWriter
from edge_mri.pictures.report import Report


@dataclass(frozen=True)
class Views:
    """What was asked for.

    Attributes:
        heatmaps: Writes heatmaps; None: not asked for.
        report: Gathers a report; None: not asked for.
    """

    heatmaps: HeatmapWriter | None
    report: Report | None

    @classmethod
    def of(cls, classifier: Classifier, folder: Path | None, page: Path | None) -> "Views":
        """Make what was asked for.

        Args:
            classifier: Whose answers are shown.
            folder: For heatmaps; None: none.
            page: For the report; None: none.

        Raises:
            OptionError: Heatmaps were asked for, and the model has no map.
            OutputError: The folder cannot be made.
        """
        source = classifier.map_output
        scale = None if source is None else SCALES[source]
        writer = report = None
        if folder is not None:
            if scale is None:
                raise OptionError(
                    f"no heatmaps from {classifier.path.name}: the model has neither a lesion map "
                    "nor class activation maps; write it again with `edge-mri export --outputs cam`"
                )
            writer = HeatmapWriter(folder, classifier.contract.preprocess, scale)
        if page is not None:
            report = Report(page, classifier.contract, classifier.path.name, scale)
        return cls(writer, report)

    @property
    def finish(self) -> Finish | None:
        """What `Classifier.stream` takes as `finish`."""
        return None if self.heatmaps is None and self.report is None else self._finish

    def _finish(
        self, record: Prediction, image: NDArray[np.uint8], cells: Map | None
    ) -> Prediction:
        if self.heatmaps is not None:
            record = self.heatmaps(record, image, cells)
        return record if self.report is None else self.report.picture(record, image, cells)
