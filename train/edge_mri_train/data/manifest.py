"""The manifest: which image is on which side, in a CSV that a run can be repeated from.

A first line `# labels: {…}` holds the label space, where it is another than the default one.
Columns: `set` (the set's folder, relative to the manifest's where possible), `path` (relative to
the set), `sha256` of the file, `type` (several joined by `|`), `plane`, `group`, `split`. How
images are divided is `edge_mri_train.data.split`; how names and cells are spelled,
`edge_mri.storage.spelling` and `edge_mri.storage.csv_text`.
"""

import hashlib
import json
import os
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from edge_mri.errors import ContractError, ImageReadError, listed
from edge_mri.images.opening import open_regular
from edge_mri.labels import PLANES, Label, LabelSpace
from edge_mri.labels.space import JOINER
from edge_mri.process.worker_pool import WorkerPool
from edge_mri.process.workers import available_threads
from edge_mri.remote.url import Place
from edge_mri.storage.atomic import atomic_path
from edge_mri.storage.csv_text import csv_line, unguarded
from edge_mri.storage.spelling import meant, spelled
from edge_mri.terminal.progress import Progress
from edge_mri_train.data.folders import Sample
from edge_mri_train.data.layout import path_inside
from edge_mri_train.errors import LeaveOutError, ManifestError
from edge_mri_train.settings.csv_file import columns_of, open_csv
from edge_mri_train.settings.data_file import read_text

COLUMNS = ("set", "path", "sha256", "type", "plane", "group", "split")
DROPPED = "dropped"
"""The split of an image that was left out: it repeats one of a kept test folder, or is faulty."""

_LABELS = "# labels: "
_SIDES = re.compile(rf"train|val|test|fold-\d+|{DROPPED}")
_UNDECODED = "surrogateescape"  # so earlier versions wrote file names that are no UTF-8


@dataclass(frozen=True)
class Row:
    """One image of a manifest.

    Attributes:
        sample: The image; its `split` is `train`, `val`, `test`, `fold-0`, … or `dropped`.
        sha256: Of the file's bytes.
        group: Images of one group are on one side.
    """

    sample: Sample
    sha256: str
    group: str


def hash_files(samples: Sequence[Sample], progress: Progress) -> list[str]:
    """Return the SHA-256 of each file."""
    with progress.bar("hashing files", len(samples)) as step, _pool() as pool:
        hashes = []
        for digest in pool.map(lambda sample: _sha256(sample.here), samples):
            hashes.append(digest)
            step()
    return hashes


def write_manifest(rows: Sequence[Row], path: Path, space: LabelSpace | None = None) -> None:
    """Write rows as CSV, and the space that their labels are of; None: the default one."""
    folder = path.resolve().parent
    sets = {row.sample.root: _relative(row.sample.folder, folder) for row in rows}
    with (
        atomic_path(path) as temporary,
        temporary.open("w", newline="", encoding="utf-8") as file,
    ):
        if space is not None and space != LabelSpace():
            file.write(f"{_LABELS}{json.dumps(space.to_dict())}\n")
        file.write(csv_line(COLUMNS))
        for row in rows:
            sample = row.sample
            file.write(
                csv_line(
                    [
                        spelled(sets[sample.root]),
                        spelled(sample.path.as_posix()),
                        row.sha256,
                        JOINER.join(sample.label.types),
                        sample.label.plane,
                        spelled(row.group),
                        sample.split,
                    ]
                )
            )


def read_manifest(path: Path) -> list[Row]:
    """Read a manifest; raises `ManifestError` when it is not there or no manifest."""
    space = manifest_space(path)
    first_line = 1 if space == LabelSpace() else 2
    with open_csv(path, ManifestError, _UNDECODED, _LABELS) as reader:
        if tuple(reader.fieldnames or ()) != COLUMNS:
            raise ManifestError(
                path, f"its columns are {columns_of(reader)}, expected {', '.join(COLUMNS)}"
            )
        lines: dict[Place, int] = {}
        rows: list[Row] = []
        for values in reader:
            line = reader.line_num + first_line - 1
            row = _row(path, line, values, space)
            first = lines.setdefault(row.sample.file, line)
            if len(lines) == len(rows):
                raise ManifestError(
                    path,
                    f"line {line} names {row.sample.path} again, after line {first}",
                )
            rows.append(row)
    if not rows:
        raise ManifestError(path, "it names no image")
    return rows


def manifest_space(path: Path) -> LabelSpace:
    """Return the space of a manifest's labels; raises `ManifestError`."""
    text = read_text(path, lambda reason: ManifestError(path, reason), _UNDECODED)
    first = text.partition("\n")[0]
    if not first.startswith(_LABELS):
        return LabelSpace()
    try:
        values = json.loads(first.removeprefix(_LABELS))
        if not isinstance(values, dict):
            raise ContractError("labels: expected an object")
        return LabelSpace.from_dict(values)
    except (ContractError, ValueError, RecursionError) as error:
        raise ManifestError(path, f"its first line says no labels: {error}") from error


def check_manifest(path: Path, rows: Sequence[Row], progress: Progress) -> None:
    """Raise `ManifestError` with the list of files that are gone or have changed."""
    with progress.bar("checking the manifest's files", len(rows)) as step, _pool() as pool:
        wrong = []
        for row, digest in zip(rows, pool.map(_sha256_or_none, rows), strict=True):
            if digest != row.sha256:
                wrong.append(f"{row.sample.file} ({'changed' if digest else 'missing'})")
            step()
    if wrong:
        raise ManifestError(
            path,
            f"{len(wrong)} of its {len(rows)} files are not what they were: "
            f"{listed(wrong)}; make a new one with `edge-mri split`",
        )


def with_split(row: Row, split: str) -> Row:
    """Return the row on another side."""
    return replace(row, sample=replace(row.sample, split=split))


def read_left_out(path: Path) -> frozenset[str]:
    """Read the SHA-256 of files that are to be left out, from the column sha256 of a CSV.

    Raises:
        LeaveOutError: It cannot be read, or has no such column.
    """
    with open_csv(path, LeaveOutError) as reader:
        if "sha256" not in (reader.fieldnames or ()):
            raise LeaveOutError(path, f"column sha256 expected, got {columns_of(reader)}")
        return frozenset((values["sha256"] or "").strip().lower() for values in reader)


def leave_out(
    rows: Sequence[Row], hashes: frozenset[str], *, keep_test: bool
) -> tuple[list[Row], Counter[str | None]]:
    """Drop the files of some hashes; the others stay on the side where they are.

    Args:
        rows: All of them.
        hashes: SHA-256 of the files.
        keep_test: Leave test images: a published test folder is measured on as it is.

    Returns:
        The rows, and of those with such a hash how many lay on which side.
    """
    found = Counter(row.sample.split for row in rows if row.sha256 in hashes)
    return [
        with_split(row, DROPPED)
        if row.sha256 in hashes and not (keep_test and row.sample.split == "test")
        else row
        for row in rows
    ], found


def _row(path: Path, line: int, values: dict[str, str], space: LabelSpace) -> Row:
    # A cell that a spreadsheet would run has an apostrophe: a type may be called -1.
    named = unguarded(values["type"] or "").split(JOINER)
    label = Label(named, unguarded(values["plane"] or "") or None)
    planes = space.planes or PLANES
    if (
        None in values.values()
        or not set(label.types) <= set(space.types)
        or label.plane not in (*planes, None)
        or not _SIDES.fullmatch(values["split"])
    ):
        came = ", ".join(f"{name} {values[name]!r}" for name in ("type", "plane", "split"))
        raise ManifestError(
            path,
            f"line {line} has {came}; expected a type of {listed(space.types)}, a plane of "
            f"{listed(planes)} or none, and train, val, test, fold-N or {DROPPED}",
        )
    name, set_, group = (meant(unguarded(values[one])) for one in ("path", "set", "group"))
    inside = path_inside(name)
    if inside is None:
        raise ManifestError(path, f"line {line} names {name!r}; expected a path below its set")
    root = Path(os.path.normpath(path.parent / set_))  # an absolute set stays as it is
    return Row(Sample(root, inside, label, values["split"], group), values["sha256"], group)


def _relative(root: Path, folder: Path) -> str:
    try:
        return Path(os.path.relpath(root.resolve(), folder)).as_posix()
    except ValueError:  # another drive
        return root.resolve().as_posix()


def _pool() -> WorkerPool:
    return WorkerPool(available_threads())


def _sha256_or_none(row: Row) -> str | None:
    try:
        return _sha256(row.sample.here)
    except ImageReadError:
        return None


def _sha256(path: Path) -> str:
    try:
        with open_regular(path) as (file, _):
            return hashlib.sha256(file.read()).hexdigest()
    except ImageReadError as error:
        reason = error.__cause__ or error
        raise ImageReadError(f"{path}: {getattr(reason, 'strerror', None) or reason}") from error
