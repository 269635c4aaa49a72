"""A dataset: a folder, or a place in object storage, of parts that each appear whole or not at all.

A part has the records of one task (`edge_mri.records.tasks`) and its name, so that a task that is
done twice leaves one part. `_edge_mri.json` says what all of them are made with. Readers of
datasets pass over names that begin with `_` or a dot: what is half written begins with a dot.
"""

import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import IO, Any

import numpy as np

from edge_mri.answers.prediction import Prediction
from edge_mri.errors import OptionError, OutputError, RemoteError
from edge_mri.labels import LabelSpace
from edge_mri.records.part_file import FORMATS, covered, write_part
from edge_mri.records.resume import Done
from edge_mri.remote import files, listing
from edge_mri.remote.url import Place, Url
from edge_mri.storage.atomic import atomic_path
from edge_mri.storage.claim import claimed
from edge_mri.storage.json_document import parse, shown
from edge_mri.storage.json_text import json_text

ABOUT = "_edge_mri.json"

_PART = "part-"
_OF_FILES = (".json", ".jsonl", ".csv", ".parquet")
_MOST_ABOUT = 100_000  # characters
_MOST_PART_BYTES = 2**40


@dataclass(frozen=True)
class Dataset:
    """Where records of many tasks go.

    Attributes:
        place: A folder, or a URL in one of `edge_mri.remote.files.OBJECT_STORES`.
        format: One of `edge_mri.records.part_file.FORMATS`.
        labels: Of the model.
        audit: Whether records say where they come from.
    """

    place: Place
    format: str
    labels: LabelSpace
    audit: bool = False

    @classmethod
    def require(cls, place: Place, format_: str) -> None:
        """Raise `OptionError` where none can be written."""
        if format_ not in FORMATS:
            raise OptionError(
                f"--format {format_} does not go into a dataset; expected {' or '.join(FORMATS)}"
            )
        if isinstance(place, Url) and place.scheme not in files.OBJECT_STORES:
            raise OptionError(
                f"--output {place}: expected a file, a folder with a trailing slash, or a URL of "
                f"{', '.join(one + '://' for one in files.OBJECT_STORES[:-1])}"
            )
        if isinstance(place, Url) and place.address.endswith(_OF_FILES):
            raise OptionError(
                f"--output {place}: a URL names a dataset, a folder of parts, and this looks like "
                "a file; end it with a slash for a folder of that name, or name a local file"
            )

    @contextmanager
    def begun(self, about: dict[str, Any], *, resume: bool) -> Iterator[dict[str, Place]]:
        """Begin it, or go on; gives its parts by their names. One run of this machine at a time.

        Args:
            about: What its records are made with, as JSON values.
            resume: Go on where it is begun already.

        Raises:
            OutputError: It cannot be written, is begun already, or with something else.
        """
        if self.format == "parquet":
            import_module("pyarrow")  # told before the first image is read
        with self._claimed():
            with self._told():
                try:
                    self._begin(about, resume)
                except FileExistsError as error:
                    raise OutputError(self.place, _BEGUN) from error
                parts = self._parts()
            yield parts

    def write(self, name: str, records: Iterable[Prediction]) -> None:
        """Write the part of a task; where `records` raise, none is left.

        Raises:
            OutputError: It cannot be written.
        """
        target = self.place / f"{_PART}{name}.{self.format}"
        with self._told(), _whole(target) as file:
            write_part(records, file, self.format, self.labels, self.audit)

    def done(self, parts: Iterable[Place]) -> Done:
        """Read which files some parts cover.

        Raises:
            OutputError: A part cannot be read, or is none.
        """
        hashes = [np.empty(0, np.uint64)]
        for part in parts:
            with self._told():
                data = _read(part)
            try:
                hashes.append(covered(data, self.format))
            except (ValueError, KeyError, TypeError, OSError) as error:  # as pyarrow has them
                raise OutputError(part, "it is no part of a dataset; take it away") from error
        return Done.of(np.concatenate(hashes))

    def _begin(self, about: dict[str, Any], resume: bool) -> None:
        file = self.place / ABOUT
        known = self._about(file)
        if known is None:
            if self._parts():
                raise FileExistsError
            if isinstance(self.place, Path) and _holds_other_files(self.place):
                raise OutputError(self.place, _OTHERS)
            text = (json_text(about, indent=2) + "\n").encode()
            if isinstance(file, Url):
                files.write(file, text, new=True)
            else:
                with _whole(file) as whole:
                    whole.write(text)
        elif not resume:
            raise FileExistsError
        elif changed := [name for name, value in about.items() if known.get(name) != value]:
            name = changed[0]
            raise OutputError(
                self.place,
                f"it was begun with {name} {shown(known.get(name))}, this run has "
                f"{shown(about[name])}; go on as it was begun, or write elsewhere",
            )
        elif isinstance(self.place, Path):
            for half in self.place.glob(f".{_PART}*"):  # of a process that was killed
                with suppress(OSError):
                    half.unlink()

    def _about(self, file: Place) -> dict[str, Any] | None:
        try:
            if isinstance(file, Url):
                if listing.kind(file) is None:
                    return None
                text = files.read(file, _MOST_ABOUT).decode()
            else:
                text = file.read_text(encoding="utf-8")
            values = parse(text, _MOST_ABOUT)
        except FileNotFoundError:
            return None
        except ValueError as error:
            raise OutputError(file, f"it does not say what the dataset is: {error}") from error
        return values if isinstance(values, dict) else {}

    def _parts(self) -> dict[str, Place]:
        """Return the committed parts by the names of their tasks."""
        suffix = f".{self.format}"
        found: Iterable[Place]
        if isinstance(self.place, Url):
            own = self.place.address.rstrip("/")  # below may lie other datasets
            below = listing.below(self.place) if listing.kind(self.place / "") else ()
            found = (one for one in below if one.parent.address.rstrip("/") == own)
        else:
            found = self.place.iterdir() if self.place.is_dir() else ()
        return {
            one.name.removeprefix(_PART).removesuffix(suffix): one
            for one in found
            if one.name.startswith(_PART) and one.name.endswith(suffix)
        }

    @contextmanager
    def _claimed(self) -> Iterator[None]:
        if isinstance(self.place, Url):  # the storage itself refuses a second beginning
            yield
        else:
            with claimed(self.place / ABOUT):
                yield

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except OutputError:
            raise
        except RemoteError as error:
            raise OutputError(self.place, error.reason) from error
        except OSError as error:
            raise OutputError.of(self.place, error) from error


_OTHERS = "it is a folder with other files in it; name one that is empty, or not there yet"
_BEGUN = (
    "there is a dataset already; --resume goes on with it, if it is of the same model and options"
)


@contextmanager
def _whole(target: Place) -> Iterator[IO[bytes]]:
    """Open a file that appears when this ends, and not where it raises."""
    if isinstance(target, Url):
        with tempfile.TemporaryFile() as file:
            yield file
            file.seek(0)
            files.write(target, file.read())
    else:
        with atomic_path(target) as temporary, temporary.open("wb") as file:
            yield file


def _read(part: Place) -> bytes:
    return files.read(part, _MOST_PART_BYTES) if isinstance(part, Url) else part.read_bytes()


def _holds_other_files(folder: Path) -> bool:
    try:
        return any(not one.name.startswith(".") for one in folder.iterdir())
    except FileNotFoundError:
        return False
