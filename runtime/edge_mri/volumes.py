"""What the slices of a volume or series say together, from the records of its slices.

A volume is a file of several frames (a NIfTI volume, a multi-frame DICOM file, a TIFF of several
pages) or the DICOM files of one series. Its answer is a summary of slices that were each judged
alone, no model of its own; it has not been validated on volumes.
"""

import heapq
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from edge_mri.labels import NO_TUMOR
from edge_mri.prediction import Prediction

TOP_SLICES = 3  # one slice alone may be a false alarm; a lesion worth finding is on several


@dataclass(frozen=True)
class Volume:
    """The summary of one volume.

    Attributes:
        path: The file, or the folder of a series' first file.
        series: The series' hash, as in `edge_mri.images.Frame`; None for a file of frames.
        slices: How many records it has.
        errors: How many of them are errors.
        rejected: How many of them are rejected; they do not count for the answer.
        tumor_probability: Mean P(any tumour) of the `TOP_SLICES` slices where it is highest; None
            where no slice has an answer.
        type: `no_tumor` where that is below the threshold, else the tumour type with the highest
            mean probability over these slices; None where no slice has an answer.
        tumor_slices: How many slices have P(any tumour) at or above the threshold.
        peak_path: The file of the slice with the highest P(any tumour).
        peak_frame: Its number in that file.
    """

    path: str
    series: str | None
    slices: int
    errors: int
    rejected: int
    tumor_probability: float | None
    type: str | None
    tumor_slices: int
    peak_path: str | None
    peak_frame: int | None

    def to_dict(self) -> dict[str, Any]:
        """Return the summary as JSON values."""
        return asdict(self)


class VolumeSummaries:
    """Gathers records as they pass; holds a few numbers a volume, not its records.

    Args:
        threshold: P(any tumour) at or above which a slice, and a volume, counts as tumour.
        most: How many volumes are gathered; those that begin later are left out. None for all,
            about a kilobyte each.

    Attributes:
        left_out: Whether there were more than `most`.
    """

    def __init__(self, threshold: float = 0.5, most: int | None = None) -> None:
        self._threshold = threshold
        self._most = most
        self._gathered: dict[tuple[str, str | None], _Gathered] = {}
        self.left_out = False

    def through(self, records: Iterable[Prediction]) -> Iterator[Prediction]:
        """Let records pass and remember what they say of their volumes."""
        for record in records:
            self._add(record)
            yield record

    def volumes(self) -> Iterator[Volume]:
        """Give the volumes with more than one slice, in the order of their first records."""
        for (path, series), gathered in self._gathered.items():
            if gathered.slices > 1:
                yield gathered.summary(path, series)

    def _add(self, record: Prediction) -> None:
        key: tuple[str, str | None] = (record.path, None)
        if record.series is not None:
            key = (str(Path(record.path).parent), record.series)
        elif record.frame is None and key not in self._gathered:
            return
        if key in self._gathered or self._most is None or len(self._gathered) < self._most:
            self._gathered.setdefault(key, _Gathered(self._threshold)).add(record)
        else:
            self.left_out = True


@dataclass(frozen=True, order=True)
class _Slice:
    tumor: float
    earliness: int  # of two equal slices the earlier one is the higher
    path: str = field(compare=False)
    frame: int | None = field(compare=False)
    by_type: dict[str, float] = field(compare=False)


class _Gathered:
    def __init__(self, threshold: float) -> None:
        self.slices = 0
        self._threshold = threshold
        self._errors = self._rejected = self._tumor_slices = 0
        self._top: list[_Slice] = []

    def add(self, record: Prediction) -> None:
        self.slices += 1
        if record.status == "error":
            self._errors += 1
        elif record.status != "ok" or record.type_probabilities is None:
            self._rejected += 1
        else:
            by_type = record.type_probabilities
            tumor = 1 - by_type.get(NO_TUMOR, 0.0)
            self._tumor_slices += tumor >= self._threshold
            heapq.heappush(
                self._top, _Slice(tumor, -self.slices, record.path, record.frame, by_type)
            )
            if len(self._top) > TOP_SLICES:
                heapq.heappop(self._top)

    def summary(self, path: str, series: str | None) -> Volume:
        counts = (self.slices, self._errors, self._rejected)
        if not self._top:
            return Volume(path, series, *counts, None, None, 0, None, None)
        peak = max(self._top)
        score = round(sum(each.tumor for each in self._top) / len(self._top), 6)
        tumors = [name for name in peak.by_type if name != NO_TUMOR]
        type_ = NO_TUMOR
        if tumors and score >= self._threshold:
            type_ = max(tumors, key=lambda name: sum(each.by_type[name] for each in self._top))
        return Volume(
            path, series, *counts, score, type_, self._tumor_slices, peak.path, peak.frame
        )
