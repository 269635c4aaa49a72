"""A series, asked about together: its records, what they say as a volume, and its heatmaps.

What was judged of a series before counts in its volume; it is not judged again.
"""

import json
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_mri.answers.audit import versions
from edge_mri.answers.prediction import Prediction
from edge_mri.answers.volumes import Volume, VolumeSummaries
from edge_mri.classifier import Classifier
from edge_mri.images.pixels.frame import SlicePosition
from edge_mri.model.contract import Contract
from edge_mri.node.instance import IMAGE, SERIES, Instance
from edge_mri.node.journal import Judged
from edge_mri.pictures.heatmaps import SCALES, heatmap
from edge_mri.storage.json_text import json_text

_FIELDS = tuple(one.name for one in fields(Prediction) if one.name != "audit")


@dataclass(frozen=True)
class Suspicious:
    """A slice with a high P(any tumour), and its heatmap.

    Attributes:
        record: Of the slice.
        instance: Which image it is of.
        picture: `(H, W, 3)` uint8 BGR; None where the model has no map.
    """

    record: Prediction
    instance: Instance
    picture: NDArray[np.uint8] | None


@dataclass(frozen=True)
class Judgement:
    """What is said of a part of a series.

    Attributes:
        series: Its hash.
        part: Its number, from 1.
        instances: Its images, in the order of their places.
        judged: The same for the journal.
        text: The JSON lines.
        volumes: What the slices say together, those of earlier parts too.
        suspicious: The most suspicious slices that were answered, the first one first: those that
            say a tumour, or the one that says it least unlikely.
    """

    series: str
    part: int
    instances: list[Instance]
    judged: list[Judged]
    text: str
    volumes: list[Volume]
    suspicious: list[Suspicious]


class Judge:
    """Asks a classifier.

    Args:
        classifier: It.
        threads: See `Classifier.stream`.
        most_suspicious: How many slices are shown; 0: none.
    """

    def __init__(self, classifier: Classifier, threads: int | None, most_suspicious: int) -> None:
        self.classifier = classifier
        self._threads, self._most = threads, most_suspicious
        self._origin = {
            "model": classifier.contract.name,
            "model_sha256": classifier.model_sha256,
            "versions": versions(),
        }

    def __call__(
        self,
        images: Sequence[tuple[Path, Instance]],
        parts: int,
        earlier: Sequence[Judged],
        stopped: Callable[[], bool],
    ) -> Judgement | None:
        """Judge images of one series; None where it was stopped.

        Args:
            images: Their files, and which they are.
            parts: How many parts of the series were judged before.
            earlier: The images of these.
            stopped: Says whether to leave off.
        """
        ordered = sorted(images, key=lambda one: (one[1].place, one[1].key))
        by_path = {str(path): instance for path, instance in ordered}
        shown = _Shown(self.classifier, by_path, self._most)
        told: dict[str, list[Prediction]] = {path: [] for path in by_path}
        stream = self.classifier.stream(
            by_path,
            threads=self._threads,
            finish=shown if self._most else None,
            stopped=stopped,
        )
        for record in stream:
            name = _name(by_path[record.path])
            told[record.path].append(replace(record, path=name, error=_anonymous(record)))
        if stopped() or not all(told.values()):
            return None
        instances = [instance for _, instance in ordered]
        judged = [
            Judged(one.key, one.place, _stored(records))
            for one, records in zip(instances, told.values(), strict=True)
        ]
        series = instances[0].series
        volumes = _volumes(series[:SERIES], [*earlier, *judged], self.classifier.contract)
        suspicious = shown.chosen(self.classifier.contract.tumor_threshold)
        part = parts + 1
        lines: list[dict[str, Any]] = [
            {"kind": "image", "series": series[:SERIES]} | record.to_dict()
            for records in told.values()
            for record in records
        ]
        lines.append(
            {
                "kind": "series",
                "series": series[:SERIES],
                "part": part,
                "images": len(instances),
                "volumes": [one.to_dict() for one in volumes],
                **self._origin,
                "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            }
        )
        text = "".join(f"{json_text(one)}\n" for one in lines)
        return Judgement(series, part, instances, judged, text, volumes, suspicious)


class _Shown:
    """Draws the heatmaps of the most suspicious slices as they pass; holds no others."""

    def __init__(self, classifier: Classifier, by_path: dict[str, Instance], most: int) -> None:
        self._classifier, self._by_path, self._most = classifier, by_path, most
        self._lock = threading.Lock()
        self._found: list[Suspicious] = []

    def __call__(
        self, record: Prediction, image: NDArray[np.uint8], cells: NDArray[np.float32] | None
    ) -> Prediction:
        if record.status != "ok" or not self._is_wanted(record):
            return record
        picture = None
        if cells is not None and self._classifier.map_output is not None:
            scale = SCALES[self._classifier.map_output]
            picture = heatmap(record, image, cells, self._classifier.contract.preprocess, scale)
        with self._lock:
            self._found.append(Suspicious(record, self._by_path[record.path], picture))
            self._found.sort(key=lambda one: _suspicion(one.record), reverse=True)
            del self._found[self._most :]
        return record

    def _is_wanted(self, record: Prediction) -> bool:
        with self._lock:
            full = len(self._found) >= self._most
            return not full or _suspicion(record) > _suspicion(self._found[-1].record)

    def chosen(self, threshold: float) -> list[Suspicious]:
        """Return those that say a tumour; where none does, the first."""
        sure = [one for one in self._found if _suspicion(one.record) >= threshold]
        return sure or self._found[:1]


def _suspicion(record: Prediction) -> float:
    return record.tumor_probability or 0.0


def _name(instance: Instance) -> str:
    return f"{instance.series[:SERIES]}/{instance.key[:IMAGE]}"


def _anonymous(record: Prediction) -> str | None:
    """Return the error without the file, whose folders are nobody's business."""
    return None if record.error is None else record.error.replace(record.path, "the image")


def _stored(records: Sequence[Prediction]) -> str:
    return json_text([{name: getattr(one, name) for name in _FIELDS} for one in records])


def _restored(text: str) -> list[Prediction]:
    records = []
    for values in json.loads(text):
        if values.get("box") is not None:
            values["box"] = tuple(values["box"])
        if values.get("position") is not None:
            values["position"] = SlicePosition(*values["position"])
        # Another version may have written it, with fields that this one does not know.
        records.append(Prediction(**{name: values[name] for name in _FIELDS if name in values}))
    return records


def _volumes(series: str, judged: Sequence[Judged], contract: Contract) -> list[Volume]:
    """Sum up in the order of places, which the names that summaries go by are made to tell."""
    names: dict[str, str] = {}
    numbered = []
    for number, one in enumerate(sorted(judged, key=lambda one: (one.place, one.key)), start=1):
        for record in [] if one.records is None else _restored(one.records):
            alias = f"{series}/{number}"
            names[alias] = record.path
            numbered.append(replace(record, path=alias))
    summaries = VolumeSummaries(rule=contract.volumes, labels=contract.labels)
    for _ in summaries.through(numbered):
        pass
    return [
        replace(
            one,
            path=names.get(one.path, one.path),
            peak_path=names.get(one.peak_path, one.peak_path),
        )
        for one in summaries.volumes()
    ]
