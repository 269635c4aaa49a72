"""What a run says to people when it ends: counts, speed, what was skipped, volumes."""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path

from edge_mri.atomic import atomic_path
from edge_mri.classifier import Classifier
from edge_mri.images import ImageFiles
from edge_mri.prediction import Prediction
from edge_mri.volumes import VolumeSummaries

SHOWN_VOLUMES = 10


class RunSummary:
    """Counts records as they pass: status, why rejected, and the type where there is an answer."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._animations = 0
        self._unread = 0

    @property
    def errors(self) -> int:
        """Files that could not be used."""
        return self._counts["error"]

    def counted(
        self, records: Iterable[Prediction], step: Callable[[], None]
    ) -> Iterator[Prediction]:
        """Let records pass; `step` is called for each."""
        for record in records:
            answer = record.type if record.status == "ok" else record.rejected
            self._counts.update(name for name in (record.status, answer) if name)
            self._animations += record.unread > 0
            self._unread += record.unread
            step()
            yield record

    def lines(
        self, files: ImageFiles, seconds: float, classifier: Classifier, workers: int
    ) -> list[str]:
        """Return the summary, a line each."""
        counts, contract = self._counts, classifier.contract
        total = sum(counts[status] for status in ("ok", "rejected", "error"))
        lines = [
            f"{total} images in {seconds:.1f} s ({total / seconds:.0f} images/s; {contract.name} "
            f"{contract.precision}, {classifier.device}, {workers} threads)",
            ", ".join(f"{name} {counts[name]}" for name in contract.labels.types),
            f"ok {counts['ok']}, rejected {counts['rejected']} (foreign {counts['foreign']}, "
            f"undecided {counts['undecided']}), errors {counts['error']}",
        ]
        if self._animations:
            lines.append(
                f"animations {self._animations}: of each one image was read, "
                f"{self._unread} more are in them"
            )
        if files.skipped:
            lines.append(f"skipped {files.skipped} other files (not {' '.join(files.suffixes)})")
        return [*lines, "For research use, not for diagnosis."]


def volume_lines(summaries: VolumeSummaries) -> list[str]:
    """Return the first volumes, a line each; a hint where there are more, or may be.

    What was left out, such as a series of one slice so far, need not be a volume.
    """
    volumes = list(islice(summaries.volumes(), SHOWN_VOLUMES + 1))
    lines = []
    for volume in volumes[:SHOWN_VOLUMES]:
        answer = volume.type or "no answer"
        if volume.tumor_probability is not None:
            answer += f", P(tumour) {volume.tumor_probability:.3f}"
        lines.append(f"volume {volume.path!r}: {volume.slices} slices, {answer}")
    if len(volumes) > SHOWN_VOLUMES:
        lines.append("and more volumes: --volumes FILE lists them all")
    elif summaries.left_out:
        lines.append("and perhaps more volumes: --volumes FILE lists them all")
    return lines


def write_volumes(summaries: VolumeSummaries, path: Path) -> None:
    """Write all volumes as JSON lines."""
    with atomic_path(path) as temporary, temporary.open("w", encoding="ascii") as file:
        for volume in summaries.volumes():
            file.write(json.dumps(volume.to_dict()) + "\n")
