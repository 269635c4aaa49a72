"""What a run says to people when it ends: counts, speed, what was skipped, volumes."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, fields
from itertools import islice
from pathlib import Path

from edge_mri.answers.prediction import Prediction
from edge_mri.answers.volumes import Volume, VolumeSummaries
from edge_mri.classifier import Classifier
from edge_mri.images import ImageFiles
from edge_mri.records.resume import Done
from edge_mri.remote.url import Place
from edge_mri.storage.atomic import atomic_path
from edge_mri.storage.csv_text import csv_line
from edge_mri.storage.json_text import json_array, json_text

SHOWN_VOLUMES = 10
MOST_TYPES = 20
"""Of more types than this the most frequent are told."""


@dataclass
class Counts:
    """Counts of records: status, why rejected, and the type where there is an answer.

    Attributes:
        said: How often each was said.
        animations: Files of which one image was read.
        unread: How many more images these hold.
    """

    said: Counter[str] = field(default_factory=Counter)
    animations: int = 0
    unread: int = 0

    @property
    def records(self) -> int:
        """How many there were."""
        return sum(self.said[status] for status in ("ok", "rejected", "error"))

    def counted(
        self, records: Iterable[Prediction], step: Callable[[], None] = lambda: None
    ) -> Iterator[Prediction]:
        """Let records pass; `step` is called for each."""
        for record in records:
            answer = record.type if record.status == "ok" else record.rejected
            self.said[record.status] += 1
            if answer:
                self.said[answer] += 1
            self.animations += record.unread > 0
            self.unread += record.unread
            step()
            yield record

    def add(self, others: "Counts") -> None:
        """Count what was counted elsewhere."""
        self.said += others.said
        self.animations += others.animations
        self.unread += others.unread


class RunSummary(Counts):
    """Counts records as they pass.

    Args:
        done: The records that were there before.
    """

    def __init__(self, done: Done | None = None) -> None:
        super().__init__()
        self._done = done or Done()

    @property
    def errors(self) -> int:
        """Files that could not be used, in the run that this one goes on with too."""
        return self.said["error"] + self._done.errors

    def lines(
        self, files: ImageFiles[Place], seconds: float, classifier: Classifier, workers: str
    ) -> list[str]:
        """Return the summary, a line each; `workers` says what did the work."""
        counts, contract, total = self.said, classifier.contract, self.records
        lines = [
            f"{total} images in {seconds:.1f} s ({total / seconds:.0f} images/s; {contract.name} "
            f"{contract.precision}, {classifier.device}, {workers})",
            self._types(contract.labels.types),
            f"ok {counts['ok']}, rejected {counts['rejected']} (foreign {counts['foreign']}, "
            f"unfamiliar {counts['unfamiliar']}, undecided {counts['undecided']}), "
            f"errors {counts['error']}",
        ]
        if self._done.records:
            lines.append(
                f"went on after {self._done.records} records, {self._done.errors} of them errors"
            )
        if self.animations:
            lines.append(
                f"animations {self.animations}: of each one image was read, "
                f"{self.unread} more are in them"
            )
        if files.skipped:
            lines.append(f"skipped {files.skipped} other files (not {' '.join(files.suffixes)})")
        return [*lines, "For research use, not for diagnosis."]

    def _types(self, types: Sequence[str]) -> str:
        """Return how often each type was said; of many types, those that were said most."""
        counts = self.said
        if len(types) <= MOST_TYPES:
            return ", ".join(f"{name} {counts[name]}" for name in types)
        most = sorted(types, key=lambda name: -counts[name])[:MOST_TYPES]
        rest = sum(counts[name] for name in types) - sum(counts[name] for name in most)
        return ", ".join(f"{name} {counts[name]}" for name in most) + f", others {rest}"


def volume_lines(summaries: VolumeSummaries) -> list[str]:
    """Return the first volumes, a line each; a hint where there are more, or may be.

    What was left out, such as a series of one slice so far, need not be a volume.
    """
    volumes = list(islice(summaries.volumes(), SHOWN_VOLUMES + 1))
    lines = []
    for volume in volumes[:SHOWN_VOLUMES]:
        lines.append(f"volume {volume.name!r}: {volume.told()}")
    if len(volumes) > SHOWN_VOLUMES:
        lines.append("and more volumes: --volumes FILE lists them all")
    elif summaries.left_out:
        first = "and perhaps more volumes" if lines else "perhaps there are volumes"
        lines.append(f"{first}: --volumes FILE lists them all")
    return lines


def write_volumes(summaries: VolumeSummaries, path: Path) -> None:
    """Write all volumes: as JSON or CSV where the suffix says so, else as JSON lines."""
    format_ = path.suffix.lower()
    with (
        atomic_path(path) as temporary,
        temporary.open("w", encoding="utf-8", newline="") as file,
    ):
        found = (volume.to_dict() for volume in summaries.volumes())
        if format_ == ".json":
            file.writelines(json_array(found))
        elif format_ == ".csv":
            columns = [one.name for one in fields(Volume) if one.name != "present"]
            file.write(csv_line(columns))
            for volume in found:
                volume["planes"] = " ".join(volume["planes"])
                file.write(csv_line(volume[name] for name in columns))
        else:
            file.writelines(f"{json_text(volume)}\n" for volume in found)
