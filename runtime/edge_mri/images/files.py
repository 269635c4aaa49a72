"""Which image files there are among some paths: files, folders, patterns, a list on stdin.

Nothing is opened here but folders, and files without a suffix to see whether they are DICOM. What
such a list looks like is `path_list`.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import BinaryIO, TypeVar

from edge_mri.errors import EdgeMriError, FolderNotFoundError, ImageReadError
from edge_mri.images.headers import FIRST_BYTES, format_of
from edge_mri.images.opening import open_regular
from edge_mri.images.path_list import PathList

SUFFIXES = (".bmp", ".jfif", ".jpe", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
VOLUME_SUFFIXES = (".dcm", ".dicom", ".ima", ".nii", ".nii.gz")
STDIN = Path("-")

_DICOMDIR = "dicomdir"
_MAGIC = frozenset("*?[")
_T = TypeVar("_T")


class ImageFiles:
    """The image files among some paths, in a fixed order: as given, folders sorted by name.

    A file that is named itself counts whatever its suffix; below a folder, at any depth, those
    with a suffix of `suffixes` count and the others are skipped, as are hidden ones. Links to
    folders are followed, but not back to a folder they lie in, and several links to one folder
    are followed once. A folder that cannot be listed comes itself: reading it tells why.

    A path that is not there but is a pattern (`**`, `*`, `?`, `[…]`) stands for what it matches,
    sorted by name.

    Iterating walks the file system; `skipped` then holds how many files were passed over.

    Args:
        paths: Files, folders and patterns; `-` for a list of paths in `stdin`.
        volumes: Whether DICOM and NIfTI files count too: those with a suffix of
            `VOLUME_SUFFIXES`, files with no suffix or one of digits that are DICOM by their
            first bytes, and what a DICOMDIR that is named itself refers to.
        sort_up_to: Folders with more entries than this come in the file system's own order, so
            that memory stays flat; None sorts every folder.
        stdin: Where a list is read from. It is read as the files are asked for, and only once.
        on_skipped: Told each file that is passed over.

    Attributes:
        suffixes: What counts below a folder.
        once: Whether iterating a second time would find less, because of a list on stdin.

    Raises:
        FolderNotFoundError: A path that is neither there nor a pattern that matches.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        *,
        volumes: bool = False,
        sort_up_to: int | None = None,
        stdin: BinaryIO | None = None,
        on_skipped: Callable[[Path], None] | None = None,
    ) -> None:
        self.suffixes = SUFFIXES + VOLUME_SUFFIXES if volumes else SUFFIXES
        self.once = stdin is not None and STDIN in paths
        self.skipped = 0
        self._volumes = volumes
        self._sort_up_to = sort_up_to
        self._stdin = stdin
        self._on_skipped = on_skipped
        self._linked: set[tuple[int, int]] = set()
        self._list: PathList | None = None
        self._has_next = False
        for path in paths:
            listed = stdin is not None and path == STDIN
            if not listed and not _exists(path) and next(_glob(path), None) is None:
                raise FolderNotFoundError(path)
        self._paths = tuple(paths)

    def __iter__(self) -> Iterator[Path]:
        self.skipped = 0
        self._linked = set()
        for path in self._paths:
            if self._stdin is not None and path == STDIN:
                self._list = PathList(self._stdin)
                for listed in self._list:
                    yield from self._one_ahead(self._below(listed))
                self._list = None
            elif _exists(path):
                yield from self._below(path)
            else:
                for match in self._in_order(_glob(path), str):
                    yield from self._below(match)

    def would_wait(self) -> bool:
        """Say whether the next file is not there yet, because its line on stdin is to come."""
        return self._list is not None and not self._has_next and self._list.would_wait()

    def names(self, file: Path) -> bool:
        """Say whether a file is named among the paths, or matches a pattern; below a folder: no."""
        if not _exists(file) or not file.is_file():
            return False
        known = file.stat()
        for path in self._paths:
            found = (path,) if _exists(path) else _glob(path)
            if any(_exists(one) and os.path.samestat(one.stat(), known) for one in found):
                return True
        return False

    def takes_from(self, folder: Path) -> bool:
        """Say whether images that are put into a folder would be among the files.

        So where it is a folder among the paths or lies below one, or where a pattern matches
        something in it; a list on stdin is not asked.
        """
        target = Path(os.path.realpath(folder))
        for path in self._paths:
            if self._stdin is not None and path == STDIN:
                continue
            is_pattern = not _exists(path)
            for found in _glob(path) if is_pattern else (path,):
                if _exists(found) and found.is_dir():
                    takes = target.is_relative_to(os.path.realpath(found))
                else:
                    takes = is_pattern and Path(os.path.realpath(found.parent)) == target
                if takes:
                    return True
        return False

    def _one_ahead(self, files: Iterator[Path]) -> Iterator[Path]:
        file = next(files, None)
        while file is not None:
            following = next(files, None)
            self._has_next = following is not None
            yield file
            file = following

    def _below(self, path: Path) -> Iterator[Path]:
        if path.is_dir():
            yield from self._walk(path, frozenset())
        elif self._volumes and path.name.lower() == _DICOMDIR:
            yield from _referenced(path)
        else:
            yield path

    def _walk(self, folder: Path, above: frozenset[tuple[int, int]]) -> Iterator[Path]:
        try:
            status = folder.stat()
            identity = (status.st_dev, status.st_ino)
            if identity in above or (folder.is_symlink() and self._is_known_link(identity)):
                return
            entries = os.scandir(folder)
        except OSError:
            yield folder
            return
        with entries:
            for entry in self._in_order(entries, lambda entry: entry.name):
                if entry.name.startswith("."):
                    continue
                if _is_folder(entry):
                    yield from self._walk(folder / entry.name, above | {identity})
                elif self._counts(entry):
                    yield folder / entry.name
                else:
                    self.skipped += 1
                    if self._on_skipped is not None:
                        self._on_skipped(folder / entry.name)

    def _is_known_link(self, target: tuple[int, int]) -> bool:
        known = target in self._linked
        self._linked.add(target)
        return known

    def _in_order(self, found: Iterator[_T], key: Callable[[_T], str]) -> Iterable[_T]:
        if self._sort_up_to is None:
            return sorted(found, key=key)
        first = list(islice(found, self._sort_up_to + 1))
        if len(first) <= self._sort_up_to:
            return sorted(first, key=key)
        return chain(first, found)

    def _counts(self, entry: os.DirEntry[str]) -> bool:
        name = entry.name.lower()
        if name.endswith(self.suffixes):
            return True
        if not self._volumes or name == _DICOMDIR:
            return False
        suffix = name.rpartition(".")[2] if "." in name else ""
        return (not suffix or suffix.isdigit()) and _is_dicom(entry)


def _referenced(dicomdir: Path) -> Iterator[Path]:
    """Give the files that a DICOMDIR lists; itself where it cannot be read, to tell why."""
    try:
        from edge_mri.images.dicomdir import referenced_files

        found = referenced_files(dicomdir)
    except (EdgeMriError, ModuleNotFoundError):
        found = [dicomdir]
    yield from found


def _exists(path: Path) -> bool:
    try:
        path.stat()
    except (OSError, ValueError):
        return False
    return True


def _glob(pattern: Path) -> Iterator[Path]:
    """Give what a pattern matches, as a shell does: hidden files only where it says so."""
    if not _MAGIC.intersection(str(pattern)):
        return
    try:
        for match in Path(pattern.anchor).glob(str(pattern.relative_to(pattern.anchor))):
            if _hidden_parts(match) <= _hidden_parts(pattern):
                yield match
    except (NotImplementedError, ValueError):  # no pattern that pathlib knows, such as **.png
        return


def _hidden_parts(path: Path) -> int:
    return sum(part.startswith(".") and part != ".." for part in path.parts)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads round in a circle, a folder that may not be searched
        return False


def _is_dicom(entry: os.DirEntry[str]) -> bool:
    try:
        if not entry.is_file():
            return False
        with open_regular(Path(entry.path)) as (file, _):
            return format_of(file.read(FIRST_BYTES)) == "dicom"
    except (ImageReadError, OSError):
        return False
