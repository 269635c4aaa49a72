"""What the slices of a volume or series say together, from the records of its slices.

A volume is a file of several frames (a NIfTI volume, a multi-frame DICOM file, a TIFF of several
pages) or the DICOM files of one series, in whatever folders they lie; of a file that holds a series
of volumes each is one. Its answer is a summary of slices that were each judged alone, no model of
its own; when it has a type is `edge_mri.model.volume_rule`.
"""

import re
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import PurePath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_mri.answers.prediction import Prediction
from edge_mri.labels import LabelSpace
from edge_mri.model.volume_rule import VolumeRule
from edge_mri.remote.url import Place, located
from edge_mri.storage.spelling import spelled

_GAP = 1.5
"""Slices further apart than this many of their stack's usual steps are no neighbours."""


@dataclass(frozen=True)
class Volume:
    """The summary of one volume.

    Neighbours are parallel slices that follow one another in space, all with an answer.

    Attributes:
        path: The file, or the folder that holds all files of a series.
        series: The series' hash, as in `edge_mri.images.Frame`; None for a file of frames.
        volume: Its number in a file that holds several, from 1; else None.
        planes: The planes that were judged, as the file tells them, else as the model does.
        slices: How many records it has.
        errors: How many of them are errors.
        rejected: How many of them are rejected; they do not count for the answer.
        answered: How many of them have an answer.
        tumor_slices: How many of these say a tumour.
        type: What it is as a whole; None where the rule does not tell.
        neighbours: How many neighbours were averaged for that; None where so many have no answer.
        neighbours_tumor_probability: The highest mean of P(any tumour) over so many neighbours.
        peak_path: The file of the slice with the highest P(any tumour); of the first slice where
            none has an answer.
        peak_frame: Its number in that file; None where the file holds one image.
        peak_tumor_probability: P(any tumour) there, of one slice alone; None without an answer.
        present: The model's word for a tumour; None where it has none. Not written itself.
    """

    path: str
    series: str | None
    volume: int | None
    planes: tuple[str, ...]
    slices: int
    errors: int
    rejected: int
    answered: int
    tumor_slices: int
    type: str | None
    neighbours: int | None
    neighbours_tumor_probability: float | None
    peak_path: str
    peak_frame: int | None
    peak_tumor_probability: float | None
    present: str | None = "tumour"

    def to_dict(self) -> dict[str, Any]:
        """Return the summary as JSON values; paths are spelled as in records."""
        paths = {"path": spelled(self.path), "peak_path": spelled(self.peak_path)}
        return {key: one for key, one in (asdict(self) | paths).items() if key != "present"}

    @property
    def name(self) -> str:
        """What people know it by: its path, and its number behind a `#` where the file has more."""
        return self.path if self.volume is None else f"{self.path}#{self.volume}"

    def told(self) -> str:
        """Return what its slices say, for people."""
        slices = f"{self.slices} slices"
        if self.planes:
            slices += f" ({', '.join(self.planes)})"
        if not self.answered:
            return f"{slices}, no answer"
        if self.present is None:
            return f"{slices}, {self.answered} answered, no type: no class means nothing found"
        counts = f"{self.tumor_slices} of {self.answered} answered slices say {self.present}"
        if self.neighbours_tumor_probability is None:
            return f"{slices}, no type: {counts}, too few neighbours have an answer"
        said, mean = self.type or "no type", self.neighbours_tumor_probability
        over = f"P({self.present}) {mean:.3f} over {self.neighbours} neighbours"
        return f"{slices}, {said}: {counts}, {over}"


class VolumeSummaries:
    """Gathers records as they pass; holds a few dozen bytes a slice, not its record.

    Args:
        most: How many volumes are gathered; those that begin later are left out. None for all,
            about a kilobyte each.
        rule: When a volume has a type; None for the default, that of the packaged model.
        labels: Of the model; None for the default space. Without an absent type no volume has one.

    Attributes:
        left_out: Whether there were more than `most`.
    """

    def __init__(
        self,
        most: int | None = None,
        rule: VolumeRule | None = None,
        labels: LabelSpace | None = None,
    ) -> None:
        self._most = most
        self._rule = rule or VolumeRule()
        self._labels = labels or LabelSpace()
        self._gathered: dict[_Key, _Gathered] = {}
        self._last: dict[str, _Key] = {}
        self.left_out = False

    def through(self, records: Iterable[Prediction]) -> Iterator[Prediction]:
        """Let records pass and remember what they say of their volumes."""
        for record in records:
            self._add(record)
            yield record

    def volumes(self) -> Iterator[Volume]:
        """Give the volumes with more than one slice, in the order of their first records."""
        for key, gathered in self._gathered.items():
            if gathered.slices > 1:
                yield gathered.summary(key, self._rule)

    def _add(self, record: Prediction) -> None:
        if record.frame is not None:
            number = None if record.position is None else record.position.volume
            key: _Key = (record.path, None, number)
            self._last = {record.path: key}
        elif record.series is not None:
            key = ("", record.series, None)
        elif record.path in self._last:  # the error that ends a file of frames
            key = self._last[record.path]
        else:
            return
        if key in self._gathered or self._most is None or len(self._gathered) < self._most:
            self._gathered.setdefault(key, _Gathered(self._labels)).add(record)
        else:
            self.left_out = True


_Key = tuple[str, str | None, int | None]  # path, series, number


class _Gathered:
    def __init__(self, labels: LabelSpace) -> None:
        self._absent, self._present = labels.absent, labels.present_word
        self._errors = self._rejected = 0
        self._types: list[str | None] = []
        self._tumor = array("d")  # P(any tumour); NaN: no answer
        self._along = array("d")
        self._stack = array("l")
        self._stacks: dict[tuple[bool, str], int] = {}
        self._planes: dict[int, Counter[str]] = {}
        self._folder: Place | None = None
        self._peak: tuple[str, int | None, float | None] | None = None

    @property
    def slices(self) -> int:
        return len(self._types)

    def add(self, record: Prediction) -> None:
        tumor = None
        if record.status == "error":
            self._errors += 1
        elif record.status != "ok":
            self._rejected += 1
        else:
            tumor = record.tumor_probability
        self._types.append(record.type if record.status == "ok" else None)
        self._tumor.append(np.nan if tumor is None else tumor)
        if record.position is not None:
            along, stack = record.position.along, (True, record.position.stack)
        else:
            along, stack = _number(record, self.slices), (False, record.plane or "")
        self._along.append(along)
        self._stack.append(self._stacks.setdefault(stack, len(self._stacks)))
        if record.plane is not None:
            self._planes.setdefault(self._stack[-1], Counter())[record.plane] += 1
        if record.frame is None and record.series is not None:
            self._folder = _common(self._folder, located(record.path).parent)
        if self._peak is None or (tumor is not None and tumor > (self._peak[2] or -1)):
            self._peak = (record.path, record.frame, tumor)

    def summary(self, key: _Key, rule: VolumeRule) -> Volume:
        path, series, number = key
        best = max(self._means(rule), key=lambda found: found[0], default=None)
        mean, window = (None, []) if best is None else best
        peak_path, peak_frame, peak = self._peak or (path, None, None)
        planes = (counts.most_common(1)[0][0] for counts in self._planes.values())
        return Volume(
            path=path if self._folder is None else str(self._folder),
            series=series,
            volume=number,
            planes=tuple(dict.fromkeys(planes)),
            slices=self.slices,
            errors=self._errors,
            rejected=self._rejected,
            answered=sum(type_ is not None for type_ in self._types),
            tumor_slices=sum(
                type_ not in (None, self._absent) for type_ in self._types if self._absent
            ),
            type=None if mean is None else self._type(mean, window, rule),
            neighbours=len(window) or None,
            neighbours_tumor_probability=None if mean is None else round(mean, 6),
            peak_path=peak_path,
            peak_frame=peak_frame,
            peak_tumor_probability=None if peak is None else round(peak, 6),
            present=self._present,
        )

    def _type(self, mean: float, window: list[int], rule: VolumeRule) -> str | None:
        if mean < rule.free_below:
            return self._absent
        said = Counter(self._types[place] for place in window)
        del said[self._absent]
        return said.most_common(1)[0][0] if said and mean >= rule.tumor_from else None

    def _means(self, rule: VolumeRule) -> Iterator[tuple[float, list[int]]]:
        """Give the highest mean of each run of neighbours, and the slices that have it."""
        tumor, along = np.array(self._tumor), self._placed()
        for places in self._in_space(along):
            size = rule.window(len(places))
            for run in _runs(places, along[places], tumor[places]):
                if len(run) >= size:
                    means = np.convolve(tumor[run], np.full(size, 1 / size), "valid")
                    first = int(means.argmax())
                    yield float(means[first]), run[first : first + size]

    def _in_space(self, along: NDArray[np.float64]) -> list[list[int]]:
        """Return the slices of each stack as they follow one another.

        Where several lie at one place, as in a series over time, the first of each place are one
        stack, the second another, and so on.
        """
        seen: Counter[tuple[int, float]] = Counter()
        stacks: dict[tuple[int, int], list[int]] = {}
        for place, stack in enumerate(self._stack):
            spot = (stack, round(float(along[place]), 2))
            stacks.setdefault((stack, seen[spot]), []).append(place)
            seen[spot] += 1
        return [sorted(places, key=lambda place: along[place]) for places in stacks.values()]

    def _placed(self) -> NDArray[np.float64]:
        """Return where slices lie; those whose files do not tell have their ranks."""
        along = np.array(self._along)
        told = [number for (is_told, _), number in self._stacks.items() if is_told]
        unknown = np.flatnonzero(~np.isin(self._stack, told))
        numbers = along[unknown]
        if (numbers < 0).any():  # a name tells nothing: as they came
            numbers = np.arange(len(unknown))
        along[unknown[np.argsort(numbers, kind="stable")]] = np.arange(len(unknown))
        return along


def _runs(
    places: list[int], along: NDArray[np.float64], tumor: NDArray[np.float64]
) -> list[list[int]]:
    """Split a stack where a slice is missing, or has no answer."""
    steps = np.diff(along, prepend=along[:1])
    widest = _GAP * float(np.median(steps[1:])) if len(places) > 1 else 0.0
    runs: list[list[int]] = [[]]
    for place, step, value in zip(places, steps.tolist(), tumor.tolist(), strict=True):
        if step > widest:
            runs.append([])
        if value == value:  # no NaN
            runs[-1].append(place)
        else:
            runs.append([])
    return runs


def _number(record: Prediction, count: int) -> float:
    """Return the last number in the name of a series' file, -1 without; frames lie as they come."""
    if record.frame is not None or record.series is None:
        return count
    numbers = re.findall(r"[0-9]+", PurePath(record.path).name)
    return float(numbers[-1][-15:]) if numbers else -1.0


def _common(folder: Place | None, other: Place) -> Place:
    """Return the deepest folder that both lie in."""
    while folder is not None and folder != other and not other.is_relative_to(str(folder)):
        if folder == folder.parent:
            return folder
        folder = folder.parent
    return other if folder is None else folder
