"""What the slices of a volume or series say together, from the records of its slices.

A volume is a file of several frames (a NIfTI volume, a multi-frame DICOM file, a TIFF of several
pages) or the DICOM files of one series. Its answer is a summary of slices that were each judged
alone, no model of its own; it has not been validated on volumes.
"""

import re
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path, PurePath
from typing import Any, NamedTuple

from edge_mri.answers.prediction import Prediction
from edge_mri.labels import LabelSpace
from edge_mri.storage.spelling import spelled

AGREEING_SLICES = 4
"""So many neighbours must say the same: no tumour-free volume reached it (docs/decisions/0058)."""


@dataclass(frozen=True)
class Volume:
    """The summary of one volume.

    Neighbours are slices of one plane that follow one another in slice order, all with an answer.

    Attributes:
        path: The file, or the folder of a series' first file.
        series: The series' hash, as in `edge_mri.images.Frame`; None for a file of frames.
        slices: How many records it has.
        errors: How many of them are errors.
        rejected: How many of them are rejected; they do not count for the answer.
        answered: How many of them have an answer.
        tumor_slices: How many of these say a tumour.
        agreeing: The most neighbours that say the same type but the absent one, or the absent one
            where no slice says another.
        type: What they say, where they are `AGREEING_SLICES` or more; else None.
        peak_path: The file of the slice with the highest P(any tumour); of the first slice where
            none has an answer.
        peak_frame: Its number in that file; None where the file holds one image.
        peak_tumor_probability: P(any tumour) there, of one slice alone; None without an answer.
    """

    path: str
    series: str | None
    slices: int
    errors: int
    rejected: int
    answered: int
    tumor_slices: int
    agreeing: int
    type: str | None
    peak_path: str
    peak_frame: int | None
    peak_tumor_probability: float | None

    def to_dict(self) -> dict[str, Any]:
        """Return the summary as JSON values; paths are spelled as in records."""
        paths = {"path": spelled(self.path), "peak_path": spelled(self.peak_path)}
        return asdict(self) | paths

    def told(self) -> str:
        """Return what its slices say, for people."""
        if not self.answered:
            return f"{self.slices} slices, no answer"
        agreeing = self.agreeing if self.type else f"no {AGREEING_SLICES}"
        return (
            f"{self.slices} slices, {self.type or 'no type'}: {self.tumor_slices} of "
            f"{self.answered} answered slices say tumour, {agreeing} neighbours agree"
        )


class VolumeSummaries:
    """Gathers records as they pass; holds a few bytes a slice, not its record.

    Args:
        most: How many volumes are gathered; those that begin later are left out. None for all,
            about a kilobyte each.
        labels: Of the model.

    Attributes:
        left_out: Whether there were more than `most`.
    """

    def __init__(self, most: int | None = None, labels: LabelSpace | None = None) -> None:
        self._most = most
        self._absent = (labels or LabelSpace()).absent
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
        if record.frame is None and record.series is not None:
            key = (str(Path(record.path).parent), record.series)
        elif record.frame is None and key not in self._gathered:
            return
        if key in self._gathered or self._most is None or len(self._gathered) < self._most:
            self._gathered.setdefault(key, _Gathered(self._absent)).add(record)
        else:
            self.left_out = True


class _Said(NamedTuple):
    """What a slice says, and of which plane it is; a type of None says nothing."""

    type: str | None
    plane: str | None


_NOTHING = _Said(None, None)


class _Gathered:
    def __init__(self, absent: str | None) -> None:
        self._absent = absent
        self._errors = self._rejected = 0
        self._said: list[_Said] = []
        self._order = array("q")
        self._known: dict[_Said, _Said] = {}  # one object for each, not one a slice
        self._peak: tuple[str, int | None, float | None] | None = None

    @property
    def slices(self) -> int:
        return len(self._said)

    def add(self, record: Prediction) -> None:
        said, tumor = _NOTHING, None
        if record.status == "error":
            self._errors += 1
        elif record.status != "ok" or record.type_probabilities is None:
            self._rejected += 1
        else:
            if self._absent is not None:
                tumor = 1 - record.type_probabilities.get(self._absent, 0.0)
            said = _Said(record.type, record.plane)
        self._said.append(self._known.setdefault(said, said))
        self._order.append(_place(record, len(self._said)))
        if self._peak is None or (tumor is not None and tumor > (self._peak[2] or -1)):
            self._peak = (record.path, record.frame, tumor)

    def summary(self, path: str, series: str | None) -> Volume:
        in_order = [self._said[place] for place in self._places()]
        answers = [one.type for one in in_order if one.type is not None]
        tumors = sum(type_ != self._absent for type_ in answers)
        runs = [
            (sum(1 for _ in run), said.type)
            for said, run in groupby(in_order)
            if said.type is not None and (said.type != self._absent or not tumors)
        ]
        agreeing, type_ = max(runs, key=lambda run: run[0], default=(0, None))
        peak_path, peak_frame, peak = self._peak or (path, None, None)
        return Volume(
            path=path,
            series=series,
            slices=self.slices,
            errors=self._errors,
            rejected=self._rejected,
            answered=len(answers),
            tumor_slices=tumors,
            agreeing=agreeing,
            type=type_ if agreeing >= AGREEING_SLICES else None,
            peak_path=peak_path,
            peak_frame=peak_frame,
            peak_tumor_probability=None if peak is None else round(peak, 6),
        )

    def _places(self) -> list[int]:
        """Return the slices in their order; as they came where not every file name tells it."""
        places = range(self.slices)
        if min(self._order, default=0) < 0:
            return list(places)
        return sorted(places, key=lambda place: self._order[place])


def _place(record: Prediction, count: int) -> int:
    """Return where a slice lies in its volume: by the last number in its file's name.

    Frames lie as they come. -1: the name has no number.
    """
    if record.frame is not None:
        return count
    numbers = re.findall(r"[0-9]+", PurePath(record.path).name)
    return int(numbers[-1][-18:]) if numbers else -1
