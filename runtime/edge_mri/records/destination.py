"""Where the records of a run go: stdout or a file, in one format, from its start or its end."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TextIO, cast

from edge_mri.classifier import Classifier
from edge_mri.errors import OptionError, OutputError
from edge_mri.records.output import WRITERS, Writer, csv_columns, jsonl_columns, write_csv
from edge_mri.records.part_file import ONLY_PARTS
from edge_mri.records.record_file import RecordFile
from edge_mri.records.resume import FORMATS as RESUMABLE
from edge_mri.records.resume import Done
from edge_mri.storage.atomic import atomic_path
from edge_mri.terminal.standard_streams import for_data


@dataclass(frozen=True)
class Destination:
    """What a run was asked to write, and where.

    Attributes:
        path: The file; None for stdout.
        format: One of `edge_mri.records.output.WRITERS`.
        audit: Whether records say where they come from.
        resume: Whether the file is one that ended early, and goes on.
    """

    path: Path | None
    format: str
    audit: bool = False
    resume: bool = False

    def __post_init__(self) -> None:
        if self.format not in WRITERS:
            raise OptionError(ONLY_PARTS)
        if self.resume and not self.can_go_on:
            raise OptionError("--resume needs --output FILE and --format jsonl or csv")

    @property
    def can_go_on(self) -> bool:
        """Whether a run that ends early can be resumed."""
        return self.path is not None and self.format in RESUMABLE

    def done(self, classifier: Classifier) -> Done:
        """Read what the file covers.

        Raises:
            OutputError: It is no such file, or another model has begun it, where that is told.
        """
        if not self.resume or self.path is None:
            return Done()
        labels = classifier.contract.labels
        is_jsonl = self.format == "jsonl"
        columns = jsonl_columns(self.audit, labels) if is_jsonl else csv_columns(labels, self.audit)
        done = Done.read(self.path, self.format, columns)
        if self.audit and done.first is not None:
            origin = done.first if self.format == "csv" else done.first["audit"]
            begun_by = origin.get("model_sha256") if isinstance(origin, dict) else None
            if begun_by != classifier.model_sha256:
                reason = "its records are by another model; write to another file"
                raise OutputError(self.path, reason)
        return done

    def writer(self, done: Done) -> Writer:
        """Return what writes records behind those that are done."""
        if self.format == "csv":
            return partial(write_csv, audit=self.audit, header=done.keep_bytes == 0)
        return WRITERS[self.format]

    @contextmanager
    def opened(self, done: Done) -> Iterator[TextIO]:
        """Open what the records go to; it takes file names that are no valid text.

        Raises:
            OutputError: It cannot be written.
        """
        if self.path is None:
            stream = sys.stdout if self.format == "table" else for_data(sys.stdout)
            if hasattr(stream, "reconfigure"):
                stream.reconfigure(line_buffering=True)  # a kill loses no record
                if self.format == "csv":  # no two names may become one
                    stream.reconfigure(encoding="utf-8", errors="strict")
            yield stream
            stream.flush()
        elif self.can_go_on:
            with RecordFile(self.path, done.keep_bytes) as file:
                yield cast(TextIO, file)
        else:
            with (
                atomic_path(self.path) as temporary,
                temporary.open(
                    "w", encoding="utf-8", errors="backslashreplace", newline=""
                ) as whole,
            ):
                yield whole
