"""Dividing labelled images into training and validation, and the manifest that records it.

Files with the same bytes stay on one side. The manifest is a CSV with one row an image, so that a
run can be repeated and its split checked.
"""

import csv
import hashlib
import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edge_mri.atomic import atomic_path
from edge_mri.errors import ImageReadError, OptionError
from edge_mri.labels import PLANES, TYPES, Label
from edge_mri_train.errors import ManifestError
from edge_mri_train.folders import Sample

_COLUMNS = ("root", "path", "sha256", "type", "plane", "group", "split")


@dataclass(frozen=True)
class Row:
    """One image of a manifest.

    Attributes:
        sample: The image, its `split` being `train` or `val`.
        sha256: Of the file's bytes.
        group: Images of one group are on one side; here the files with the same bytes.
    """

    sample: Sample
    sha256: str
    group: str


def split_samples(samples: Sequence[Sample], val_fraction: float, seed: int) -> list[Row]:
    """Divide samples into training and validation, stratified by label, same seed same split.

    Args:
        samples: What to divide; a split that their folders name is replaced.
        val_fraction: Share of each label that goes to validation, above 0 and below 1.
        seed: Of the shuffle.
    """
    if not 0 < val_fraction < 1:
        raise OptionError(f"validation fraction {val_fraction}; expected above 0 and below 1")
    hashes = [_sha256(sample.file) for sample in samples]
    groups: dict[str, list[int]] = defaultdict(list)
    for position, digest in enumerate(hashes):
        groups[digest].append(position)
    by_label: dict[Label, list[str]] = defaultdict(list)
    for digest, members in groups.items():
        by_label[samples[members[0]].label].append(digest)
    validation: set[str] = set()
    for label in sorted(by_label, key=str):
        digests = sorted(by_label[label])
        random.Random(f"{seed}/{label}").shuffle(digests)
        wanted = val_fraction * sum(len(groups[digest]) for digest in digests)
        taken = 0
        for digest in digests[:-1]:
            if taken + len(groups[digest]) / 2 > wanted:
                break
            validation.add(digest)
            taken += len(groups[digest])
    return [
        Row(
            Sample(
                sample.root, sample.path, sample.label, "val" if digest in validation else "train"
            ),
            digest,
            digest[:16],
        )
        for sample, digest in zip(samples, hashes, strict=True)
    ]


def write_manifest(rows: Sequence[Row], path: Path) -> None:
    """Write rows as CSV."""
    with atomic_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(_COLUMNS)
        for row in rows:
            sample = row.sample
            writer.writerow(
                [
                    sample.root.resolve(),
                    sample.path.as_posix(),
                    row.sha256,
                    sample.label.type,
                    sample.label.plane or "",
                    row.group,
                    sample.split,
                ]
            )


def read_manifest(path: Path) -> list[Row]:
    """Read a manifest back; raises `ManifestError` when it is not there or no manifest."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            if tuple(reader.fieldnames or ()) != _COLUMNS:
                raise ManifestError(path, f"its columns are {reader.fieldnames}")
            return [_row(path, reader.line_num, values) for values in reader]
    except OSError as error:
        raise ManifestError(path, error.strerror or str(error)) from error
    except (csv.Error, UnicodeDecodeError) as error:
        raise ManifestError(path, str(error)) from error


def _row(path: Path, line: int, values: dict[str, str]) -> Row:
    label = Label(values["type"], values["plane"] or None)
    if (
        None in values.values()
        or label.type not in TYPES
        or label.plane not in (*PLANES, None)
        or values["split"] not in ("train", "val")
    ):
        raise ManifestError(path, f"line {line} is no image with type, plane and split")
    sample = Sample(Path(values["root"]), Path(values["path"]), label, values["split"])
    return Row(sample, values["sha256"], values["group"])


def _sha256(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise ImageReadError(f"{path}: {error.strerror}") from error
