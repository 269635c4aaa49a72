"""Image files among some paths: files as they are named, folders at any depth."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from edge_mri.errors import FolderNotFoundError

SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")


class ImageFiles:
    """The image files among some paths, in a fixed order: as given, folders sorted by name.

    A file that is named itself counts whatever its suffix; below a folder, at any depth, those
    with a suffix of `SUFFIXES` count and the others are skipped, as are hidden ones. Links to
    folders are followed, except back to a folder they lie in. A folder that cannot be listed
    comes itself: reading it tells why.

    Iterating walks the file system; `skipped` then holds how many files were passed over.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        for path in paths:
            try:
                path.stat()
            except OSError as error:
                raise FolderNotFoundError(path) from error
        self._paths = tuple(paths)
        self.skipped = 0

    def __iter__(self) -> Iterator[Path]:
        self.skipped = 0
        for path in self._paths:
            if path.is_dir():
                yield from self._walk(path, frozenset())
            else:
                yield path

    def _walk(self, folder: Path, above: frozenset[tuple[int, int]]) -> Iterator[Path]:
        try:
            status = folder.stat()
            identity = (status.st_dev, status.st_ino)
            if identity in above:
                return
            with os.scandir(folder) as entries:
                found = sorted(entries, key=lambda entry: entry.name)
        except OSError:
            yield folder
            return
        for entry in found:
            if entry.name.startswith("."):
                continue
            if _is_folder(entry):
                yield from self._walk(folder / entry.name, above | {identity})
            elif entry.name.lower().endswith(SUFFIXES):
                yield folder / entry.name
            else:
                self.skipped += 1


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads round in a circle, a folder that may not be searched
        return False
