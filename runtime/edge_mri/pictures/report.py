"""A page for people about a run: summary, pictures, and a table to sort and filter.

One HTML file that needs no network and no other file; failed and rejected files come first. Rows
and pictures wait in temporary files (`edge_mri.pictures.report_rows`) until the page is written
(its frame is `edge_mri.pictures.report_page`), so that memory stays flat; a page holds a bounded
number of both and says so.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import TextIO

import numpy as np
from numpy.typing import NDArray

from edge_mri.answers.location import Map
from edge_mri.answers.prediction import Prediction
from edge_mri.answers.volumes import Volume
from edge_mri.errors import OutputError
from edge_mri.model.contract import Contract
from edge_mri.pictures.report_page import ROWS, Page
from edge_mri.pictures.report_rows import Spool, pictures_json, row_json
from edge_mri.pictures.thumbnails import pictured
from edge_mri.storage.atomic import atomic_path

MOST_ROWS = 50_000
"""More records than this are counted in the summary, but not listed."""

MOST_VOLUMES = 500
"""More volumes than this are left out."""

MOST_PICTURES = 5_000
"""Of more records than this, only so many have pictures; see `_URGENCY`."""

_URGENCY = ("error", "rejected", "found", "rest")
"""In which order records are listed, and get pictures where not all can."""


class Report:
    """Gathers the records of a run and writes its page.

    A context manager; leaving it removes the temporary files.
    """

    def __init__(self, path: Path, contract: Contract, model: str, scale: str | None) -> None:
        """Begin a report.

        Args:
            path: The page.
            contract: Of the model.
            model: Its file, for people.
            scale: What the colours of heatmaps mean; None where the model has no map.
        """
        self.path = path
        self._contract = contract
        self._model = model
        self._scale = scale
        self._counts: Counter[str] = Counter()
        self._stack = ExitStack()
        self._spools: dict[str, Spool] = {}

    def __enter__(self) -> "Report":
        for urgency in _URGENCY:
            self._spools[urgency] = self._stack.enter_context(Spool(MOST_ROWS, MOST_PICTURES))
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def most_volumes(self) -> int:
        """How many volumes the page shows."""
        return MOST_VOLUMES

    def picture(
        self, record: Prediction, image: NDArray[np.uint8], cells: Map | None
    ) -> Prediction:
        """Give a record its pictures; it is what `Classifier.stream` takes as `finish`."""
        return pictured(record, image, cells, self._contract.preprocess)

    def gathered(self, records: Iterable[Prediction]) -> Iterator[Prediction]:
        """Take note of records as they pass; their stream ends with this, in this thread.

        Raises:
            OutputError: The temporary files cannot be written.
        """
        for record in records:
            self._count(record)
            try:
                self._spools[self._urgency(record)].add(row_json(record), pictures_json(record))
            except OSError as error:
                raise OutputError.of(self.path, error) from error
            yield record

    def write(
        self,
        volumes: Iterable[Volume] = (),
        *,
        complete: bool = True,
        volumes_left_out: bool = False,
    ) -> None:
        """Write the page, whole or not at all.

        Args:
            volumes: What slices say together; the first `MOST_VOLUMES` are shown.
            complete: False: the run was stopped, and the page says so.
            volumes_left_out: There were more volumes than are given here.

        Raises:
            OutputError: The page cannot be written.
        """
        shown = list(islice(volumes, MOST_VOLUMES + 1))
        left_out = volumes_left_out or len(shown) > MOST_VOLUMES
        bounds = self._bounds(complete, volumes_left_out=left_out)
        shown = shown[:MOST_VOLUMES]
        page = Page(self._contract, self._model, self._scale, self._counts, shown, bounds)
        head, tail = page.html().split(ROWS)
        try:
            with (
                atomic_path(self.path) as temporary,
                temporary.open("w", encoding="utf-8", errors="backslashreplace") as file,
            ):
                file.write(head)
                self._write_rows(file)
                file.write(tail)
        except OSError as error:
            if isinstance(error, OutputError):
                raise
            raise OutputError.of(self.path, error) from error

    def _write_rows(self, file: TextIO) -> None:
        """Write a JSON array, a row a line, pictures at the end of their rows."""
        pictured, written = 0, 0
        for spool in self._spools.values():
            for row, pictures in spool.rows():
                if written == MOST_ROWS:
                    break
                has_picture = pictures != "null" and pictured < MOST_PICTURES
                pictured += has_picture
                file.write(",\n" if written else "")
                file.write(f"[{row},{pictures if has_picture else 'null'}]")
                written += 1

    def _count(self, record: Prediction) -> None:
        answer = record.type if record.status == "ok" else record.rejected
        self._counts.update(name for name in ("all", record.status, answer) if name)

    def _found(self) -> str:
        word = self._contract.labels.present_word
        return "" if word is None else f"{word}s, then "

    def _bounds(self, complete: bool, *, volumes_left_out: bool) -> str:
        """Say what is left out of the page."""
        said = [] if complete else ["The run was stopped before its end: images are missing here."]
        if self._counts["all"] > MOST_ROWS:
            said.append(
                f"The table lists {MOST_ROWS:,} of {self._counts['all']:,} images; "
                "the summary counts all."
            )
        if self._counts["all"] > MOST_PICTURES:
            said.append(
                f"At most {MOST_PICTURES:,} images have pictures: rejected ones first, then "
                f"{self._found()}the rest."
            )
        if volumes_left_out:
            said.append(
                f"No more than the first {MOST_VOLUMES:,} volumes are shown: "
                "--volumes FILE lists all."
            )
        return " ".join(said)

    def _urgency(self, record: Prediction) -> str:
        if record.status != "ok":
            return record.status
        return "rest" if record.type == self._contract.labels.absent else "found"
