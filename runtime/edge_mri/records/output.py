"""How records are written: a table for people, JSON, JSON lines or CSV for machines.

How file names are spelled is `edge_mri.storage.spelling`; cells that a spreadsheet would run are
`edge_mri.storage.csv_text`.
"""

from collections.abc import Callable, Iterable
from dataclasses import fields
from pathlib import Path
from typing import Any, TextIO

from edge_mri.answers.audit import Audit
from edge_mri.answers.prediction import NOT_WRITTEN, PRESENT, Prediction
from edge_mri.labels import LabelSpace
from edge_mri.storage.csv_text import csv_line
from edge_mri.storage.json_text import json_array, json_text
from edge_mri.storage.spelling import spelled, valid
from edge_mri.terminal.printable import printable

_BOX = ("box_x", "box_y", "box_width", "box_height")

Writer = Callable[[Iterable[Prediction], TextIO, LabelSpace], None]


def write_table(records: Iterable[Prediction], stream: TextIO, labels: LabelSpace) -> None:
    """Write aligned columns, each answer with its probability; the path comes last.

    In place of a type that the model would rather not give stands why: foreign, unfamiliar or
    undecided; a reason in words comes last. A frame's number follows its path after a `#`. What a
    terminal would not print of a file name, such as a line break, is escaped.
    """
    stream.write(f"{'status':<10}{'type':<18}{'plane':<16}path\n")
    for record in records:
        if record.status == "error":
            reason = printable(record.error or "")
            stream.write(f"{record.status:<10}{_place(record)}: {reason}\n")
            continue
        type_ = record.rejected or _cell(record.type, record.type_probabilities)
        plane = _cell(record.plane, record.plane_probabilities)
        why = f": {printable(record.reason)}" if record.reason else ""
        stream.write(f"{record.status:<10}{type_:<18}{plane:<16}{_place(record)}{why}\n")


def write_json(records: Iterable[Prediction], stream: TextIO, labels: LabelSpace) -> None:
    """Write one JSON array in ASCII, a record a line."""
    for text in json_array(record.to_dict() for record in records):
        stream.write(text)


def write_jsonl(records: Iterable[Prediction], stream: TextIO, labels: LabelSpace) -> None:
    """Write one JSON object a line, in ASCII."""
    for record in records:
        stream.write(json_text(record.to_dict()) + "\n")


def write_csv(
    records: Iterable[Prediction],
    stream: TextIO,
    labels: LabelSpace,
    *,
    audit: bool = False,
    header: bool = True,
) -> None:
    """Write CSV with one probability column a type and a plane, and four columns for the box.

    Args:
        records: What to write.
        stream: Where to.
        labels: Of the model.
        audit: Whether the records have an `audit`, which comes in columns of its own.
        header: False to go on with a file that has one.
    """
    columns = csv_columns(labels, audit)
    if header:
        stream.write(csv_line(columns))
    for record in records:
        probabilities = (record.type_probabilities or {}) | (record.plane_probabilities or {})
        present = {record.present_key: record.tumor_probability} if record.present_key else {}
        values: dict[str, Any] = (
            present
            | {
                "path": spelled(record.path),
                "status": record.status,
                "type": record.type,
                "plane": record.plane,
                "novelty": record.novelty,
                "heatmap": record.heatmap,
                "rejected": record.rejected,
                "reason": record.reason and valid(record.reason),
                "error": record.error and valid(record.error),
                "frame": record.frame,
            }
            | dict(zip(_BOX, record.box or (), strict=False))
            | {f"p_{name}": value for name, value in probabilities.items()}
            | (_flat(record.audit) if audit and record.audit else {})
        )
        stream.write(csv_line(values.get(name) for name in columns))


def format_for(path: Path | None) -> str:
    """Return the format that the suffix of a file says; `table` for any other, and for None."""
    suffix = "" if path is None else path.suffix.lower().removeprefix(".")
    return suffix if suffix in WRITERS else "table"


def csv_columns(labels: LabelSpace, audit: bool = False) -> list[str]:
    """Return the columns of the CSV form."""
    names = [f"p_{name}" for name in (*labels.types, *labels.planes)]
    columns = ["path", "status", "type", "plane", *names]
    columns += [labels.present_key] if labels.present_key else []
    columns += ["novelty", *_BOX, "heatmap", "rejected", "reason", "error", "frame"]
    return columns + ([field.name for field in fields(Audit)] if audit else [])


def jsonl_columns(audit: bool = False, labels: LabelSpace | None = None) -> list[str]:
    """Return the keys of a JSON record; `labels` are those of the model, None for the default."""
    written = [field.name for field in fields(Prediction) if field.name not in NOT_WRITTEN]
    present = (labels or LabelSpace()).present_key
    columns = [key for name in written if (key := present if name == PRESENT else name)]
    return columns if audit else [name for name in columns if name != "audit"]


def _flat(audit: Audit) -> dict[str, Any]:
    versions = " ".join(f"{name}={version}" for name, version in audit.versions.items())
    return audit.to_dict() | {"versions": versions}


WRITERS: dict[str, Writer] = {
    "table": write_table,
    "json": write_json,
    "jsonl": write_jsonl,
    "csv": write_csv,
}


def _cell(answer: str | None, probabilities: dict[str, float] | None) -> str:
    if answer is None or probabilities is None:
        return "-"
    return f"{printable(answer)} {probabilities[answer]:.3f}"


def _place(record: Prediction) -> str:
    frame = "" if record.frame is None else f"#{record.frame}"
    return printable(spelled(record.path)) + frame
