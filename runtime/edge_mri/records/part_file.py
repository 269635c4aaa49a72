"""A part of a dataset as bytes: JSON lines, or Parquet with the same keys; and its paths read back.

Parquet, which pyarrow writes, has a column a key: structs of probabilities, a list for the box.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from io import BytesIO
from itertools import islice
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from edge_mri.answers.audit import versions
from edge_mri.answers.prediction import Prediction
from edge_mri.labels import LabelSpace
from edge_mri.records.output import jsonl_columns
from edge_mri.records.resume import path_hash
from edge_mri.storage.json_document import parse
from edge_mri.storage.json_text import json_text
from edge_mri.storage.spelling import meant

FORMATS = ("parquet", "jsonl")
ONLY_PARTS = (
    f"--format {FORMATS[0]} goes into a dataset: --output DIR/, with the slash, or a URL such as "
    "s3://bucket/records"
)

_ROWS = 16_384
"""Records of a row group: a task of images has fewer, one of volumes may need several."""

_KNOWN_BY = ("path", "frame", "plane")


def write_part(
    records: Iterable[Prediction], file: IO[bytes], format_: str, labels: LabelSpace, audit: bool
) -> None:
    """Write records as they come.

    Args:
        records: What to write.
        file: Where to.
        format_: One of `FORMATS`.
        labels: Of the model.
        audit: Whether records have an `audit`.
    """
    rows = (record.to_dict() for record in records)
    if format_ == "jsonl":
        file.writelines(json_text(row).encode() + b"\n" for row in rows)
        return
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = _schema(labels, audit)
    with pq.ParquetWriter(file, schema, compression="zstd") as writer:
        while some := list(islice(rows, _ROWS)):
            writer.write_table(pa.Table.from_pylist(some, schema=schema))


def covered(data: bytes, format_: str) -> NDArray[np.uint64]:
    """Return the hash of each file that a part has records of, as often as it was read.

    Raises:
        ValueError: It is no such part.
    """
    first: dict[str, tuple[object, object]] = {}
    times: Counter[str] = Counter()
    for path, *frame in _rows(data, format_):
        key = (frame[0], frame[1] if frame[0] else None)
        times[path] += first.setdefault(path, key) == key
    hashes = [path_hash(meant(path)) for path in times.elements()]
    return np.array(hashes, np.uint64)


def _rows(data: bytes, format_: str) -> Iterator[tuple[str, object, object]]:
    if format_ == "jsonl":
        for line in data.splitlines():
            row: Any = parse(line.decode(), len(line))
            yield row["path"], row["frame"], row["plane"]
        return
    import pyarrow.parquet as pq

    table = pq.read_table(BytesIO(data), columns=list(_KNOWN_BY))
    yield from zip(*(table[name].to_pylist() for name in _KNOWN_BY), strict=True)


def _schema(labels: LabelSpace, audit: bool) -> Any:
    import pyarrow as pa

    text, number = pa.string(), pa.float64()
    empty = [("none", text)]  # Parquet has no struct without a field
    origin = {"input_sha256", "model_sha256", "preprocess_sha256", "provider", "time"}
    kinds = {
        "type_probabilities": pa.struct([(name, number) for name in labels.types]),
        "plane_probabilities": pa.struct([(name, number) for name in labels.planes] or empty),
        "novelty": number,
        "box": pa.list_(pa.int64()),
        "frame": pa.int64(),
        "audit": pa.struct(
            [
                *((name, text) for name in sorted(origin)),
                ("versions", pa.struct([(name, text) for name in versions()])),
            ]
        ),
    }
    if labels.present_key:
        kinds[labels.present_key] = number
    return pa.schema([(name, kinds.get(name, text)) for name in jsonl_columns(audit, labels)])
