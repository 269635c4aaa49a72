"""A page for people about a run: summary, pictures, and a table to sort and filter.

One HTML file that needs no network and no other file; failed and rejected files come first. What
the page does in the browser is `templates/report.js`. Rows and pictures wait in temporary files
until the page is written, so that memory stays flat; a page holds a bounded number of both and
says so.
"""

import base64
import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from html import escape
from importlib.resources import files
from itertools import islice
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any, TextIO

import numpy as np
from numpy.typing import NDArray

from edge_mri import __version__
from edge_mri.atomic import atomic_path
from edge_mri.contract import Contract
from edge_mri.errors import OutputError
from edge_mri.labels import NO_TUMOR
from edge_mri.location import Map
from edge_mri.prediction import Prediction
from edge_mri.thumbnails import Pictured, pictured
from edge_mri.volumes import Volume

MOST_ROWS = 50_000
"""More records than this are counted in the summary, but not listed."""

MOST_VOLUMES = 500

MOST_PICTURES = 5_000
"""Of more records than this, only so many have pictures; see `_URGENCY`."""

_URGENCY = ("error", "rejected", "tumour", "rest")
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
        self._spools: dict[str, _Spool] = {}

    def __enter__(self) -> "Report":
        for urgency in _URGENCY:
            self._spools[urgency] = self._stack.enter_context(_Spool())
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
        """Take note of records as they pass.

        Raises:
            OutputError: The temporary files cannot be written.
        """
        for record in records:
            self._count(record)
            try:
                self._spools[_urgency(record)].add(_row(record), _pictures(record))
            except OSError as error:
                raise OutputError(self.path, error.strerror or str(error)) from error
            yield record

    def write(self, volumes: Iterable[Volume] = (), *, complete: bool = True) -> None:
        """Write the page, whole or not at all.

        Args:
            volumes: What slices say together; the first `MOST_VOLUMES` are shown.
            complete: False: the run was stopped, and the page says so.

        Raises:
            OutputError: The page cannot be written.
        """
        head, tail = self._page(list(islice(volumes, MOST_VOLUMES)), complete).split(
            "<!--records-->"
        )
        try:
            with (
                atomic_path(self.path) as temporary,
                temporary.open("w", encoding="utf-8", errors="backslashreplace") as page,
            ):
                page.write(head)
                self._write_rows(page)
                page.write(tail)
        except OSError as error:
            if isinstance(error, OutputError):
                raise
            raise OutputError(self.path, error.strerror or str(error)) from error

    def _write_rows(self, page: TextIO) -> None:
        """Write a JSON array, a row a line, pictures at the end of their rows."""
        pictured, written = 0, 0
        for spool in self._spools.values():
            for row, pictures in spool.rows():
                if written == MOST_ROWS:
                    break
                has_picture = pictures != "null" and pictured < MOST_PICTURES
                pictured += has_picture
                page.write(",\n" if written else "")
                page.write(f"[{row},{pictures if has_picture else 'null'}]")
                written += 1

    def _count(self, record: Prediction) -> None:
        answer = record.type if record.status == "ok" else record.rejected
        self._counts.update(name for name in ("all", record.status, answer) if name)

    def _page(self, volumes: list[Volume], complete: bool) -> str:
        """Return the page with a mark where the rows go."""
        folder = files("edge_mri") / "templates"
        script = (folder / "report.js").read_text(encoding="utf-8")
        style = (folder / "report.css").read_text(encoding="utf-8")
        parts = {
            "title": escape(f"edge-mri report: {self._counts['all']:,} images"),
            "script_hash": base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
            "style": style,
            "facts": _facts(self._contract, self._model),
            "bounds": escape(self._bounds(complete)),
            "about": _script_json(self._about() | {"volumes": [one.to_dict() for one in volumes]}),
            "version": escape(__version__),
            "time": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
            "script": script,
        }
        text = (folder / "report.html").read_text(encoding="utf-8")
        for name, value in parts.items():
            text = text.replace(f"<!--{name}-->", value, 1)
        return text

    def _about(self) -> dict[str, Any]:
        """Return what the page's script is told beside the rows."""
        contract = self._contract
        return {
            "types": contract.labels.types,
            "planes": contract.labels.planes,
            "counts": self._counts,
            "threshold": contract.tumor_threshold,
            "scale": self._scale,
        }

    def _bounds(self, complete: bool) -> str:
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
                "tumours, then the rest."
            )
        return " ".join(said)


class _Spool:
    """Rows, and the pictures of the first of them, in temporary files."""

    def __enter__(self) -> "_Spool":
        with ExitStack() as stack:
            self._rows: IO[bytes] = stack.enter_context(TemporaryFile())
            self._pictures: IO[bytes] = stack.enter_context(TemporaryFile())
            self._close = stack.pop_all().close
        self._count = 0
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def add(self, row: str, pictures: str) -> None:
        """Add a record's JSON, each in one line."""
        if self._count < MOST_ROWS:
            self._rows.write(f"{row}\n".encode())
        if self._count < MOST_PICTURES:
            self._pictures.write(f"{pictures}\n".encode())
        self._count += 1

    def rows(self) -> Iterator[tuple[str, str]]:
        """Return the rows in their order, each with its pictures."""
        self._rows.seek(0)
        self._pictures.seek(0)
        for row in self._rows:
            pictures = self._pictures.readline() or b"null"
            yield row.decode().rstrip("\n"), pictures.decode().rstrip("\n")


def _urgency(record: Prediction) -> str:
    if record.status != "ok":
        return record.status
    return "rest" if record.type == NO_TUMOR else "tumour"


def _row(record: Prediction) -> str:
    values: dict[str, Any] = {"path": record.path, "status": record.status}
    if record.frame is not None:
        values["frame"] = record.frame
    if record.status == "error":
        values["why"] = record.error
    else:
        values |= {
            "type": record.type,
            "plane": record.plane,
            "types": [round(p, 4) for p in (record.type_probabilities or {}).values()],
            "planes": [round(p, 4) for p in (record.plane_probabilities or {}).values()],
            "tumor": record.tumor_probability,
            "novelty": record.novelty,
            "why": record.rejected,
            "box": record.box,
        }
    return _script_json(values)


def _pictures(record: Prediction) -> str:
    if not isinstance(record, Pictured) or record.thumbnail is None:
        return "null"
    heat = None if record.heat is None else base64.b64encode(record.heat).decode()
    return json.dumps(
        {
            "size": record.size,
            "thumbnail": base64.b64encode(record.thumbnail).decode(),
            "heat": heat,
        }
    )


def _script_json(values: dict[str, Any]) -> str:
    """Return JSON that is safe inside a script element: ASCII, and no `<` to end it with."""
    return json.dumps(values, separators=(",", ":")).replace("<", r"\u003c")


def _facts(contract: Contract, model: str) -> str:
    """Return what the model says about itself, as rows of a description list."""
    labels, training = contract.labels, contract.training
    gate = contract.rejection
    rejects = "never: it answers any image, also what is no brain MR"
    if gate is not None:
        low, high = gate.undecided
        rejects = f"novelty above {gate.max_novelty:.4g}"
        if low < high:
            rejects += f"; P(tumour) from {low:.2f} to {high:.2f}"
        rejects += f"; answers {100 * gate.kept:.1f} % of {gate.n:,} validation images"
    data, validation = training.get("data"), training.get("validation")
    facts = {
        "Model": f"{contract.name}, {contract.precision} ({model})",
        "Types": ", ".join(labels.types),
        "Planes": ", ".join(labels.planes) or "not answered",
        "Says tumour": f"from P(any tumour) = {contract.tumor_threshold:.3g}",
        "Rejects": rejects,
        "Input": f"grey, {contract.preprocess.size} x {contract.preprocess.size} px",
        "Trained on": ", ".join(map(str, data)) if isinstance(data, list) else "not stated",
    }
    if isinstance(validation, dict) and {"type_accuracy", "type_n"} <= set(validation):
        facts["Validation"] = (
            f"type right on {100 * validation['type_accuracy']:.1f} % of "
            f"{validation['type_n']:,} images; on images from elsewhere it may be far less"
        )
    facts |= {
        "Weights": contract.weights_sha256[:16] or "hash not stated",
        "Licence": contract.licence,
        "Intended use": contract.intended_use,
    }
    return "\n".join(
        f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>"
        for name, value in facts.items()
    )
