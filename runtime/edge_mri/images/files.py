"""Which image files there are among some paths: files, folders, patterns, a list on stdin.

Nothing is opened here but folders, and files without a suffix to see whether they are DICOM. What
such a list looks like is `path_list`, what a URL stands for `remote_files`.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import BinaryIO, Generic, TypeVar, cast

from edge_mri.errors import ImageReadError
from edge_mri.images import remote_files
from edge_mri.images.formats.headers import format_of
from edge_mri.images.formats.nifti_pair import HEADERS, VALUES, is_pair_header, partners
from edge_mri.images.opening import HEADER_BYTES, first_bytes, is_file, pair_header
from edge_mri.images.path_list import PathList
from edge_mri.images.patterns import exists, is_dir, is_pattern, matches, require
from edge_mri.remote.url import Place, Url

SUFFIXES = (".bmp", ".jfif", ".jpe", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
VOLUME_SUFFIXES = (".dcm", ".dicom", *HEADERS, ".ima", ".nii", ".nii.gz")
STDIN = Path("-")

_DICOMDIR = "dicomdir"
_T = TypeVar("_T")
_P = TypeVar("_P", bound=Place)


class ImageFiles(Generic[_P]):
    """The image files among some paths, in a fixed order: as given, folders sorted by name.

    A file that is named itself counts whatever its suffix; below a folder, at any depth, those
    with a suffix of `suffixes` count and the others are skipped, as are hidden ones. Links to
    folders are followed, but not back to a folder they lie in, and several links to one folder
    are followed once. A folder that cannot be listed to its end comes itself, behind what it gave:
    reading it tells why. Of URLs see `edge_mri.images.remote_files`; the same files count.

    A path that is not there but is a pattern (`**`, `*`, `?`, `[…]`) stands for what it matches,
    sorted by name. A list in `stdin` names files alone: a folder in it comes itself, as one that
    cannot be listed does, for most lists that name one were not meant to. A volume in two files
    comes once, whichever of them are named.

    Iterating walks it all; `skipped` then holds how many files were passed over.

    Args:
        paths: Files, folders and patterns; `-` for a list of paths in `stdin`.
        volumes: Whether DICOM and NIfTI files count too: those with a suffix of
            `VOLUME_SUFFIXES` (of `.hdr` files those that are a volume's: the `.img` beside comes
            with it), files with no suffix or one of digits that are DICOM by their
            first bytes, and what a DICOMDIR that is named itself refers to.
        sort_up_to: Folders with more entries than this come in the file system's own order, so
            that memory stays flat; None sorts every folder.
        stdin: Where a list is read from. It is read as the files are asked for, and only once.
        on_skipped: Told each file that is passed over.

    Attributes:
        suffixes: What counts below a folder.
        once: Whether iterating a second time would find less, because of a list on stdin.

    Raises:
        FolderNotFoundError: A path that cannot be reached, or is neither there nor a pattern that
            matches.
        RemoteError: A URL that cannot be, then or while it is listed.
    """

    def __init__(
        self,
        paths: Sequence[_P],
        *,
        volumes: bool = False,
        sort_up_to: int | None = None,
        stdin: BinaryIO | None = None,
        on_skipped: Callable[[_P], None] | None = None,
    ) -> None:
        self.suffixes = SUFFIXES + VOLUME_SUFFIXES if volumes else SUFFIXES
        self.once = stdin is not None and STDIN in paths
        self.skipped = 0
        self._volumes = volumes
        self._sort_up_to = sort_up_to
        self._stdin = stdin
        self._on_skipped = on_skipped
        self._linked: set[tuple[int, int]] = set()
        self._pairs: set[Place] = set()
        self._list: PathList | None = None
        self._has_next = False
        for path in paths:
            if isinstance(path, Url):
                remote_files.require(path)
            elif stdin is None or path != STDIN:
                require(path)
        self._paths: tuple[Place, ...] = tuple(paths)

    def __iter__(self) -> Iterator[_P]:
        return cast(Iterator[_P], self._found())

    def _found(self) -> Iterator[Place]:
        self.skipped = 0
        self._linked, self._pairs = set(), set()
        for path in self._paths:
            if self._stdin is not None and path == STDIN:
                self._list = PathList(self._stdin)
                for listed in self._list:
                    yield from self._one_ahead(self._of_file(listed))
                self._list = None
            elif isinstance(path, Url):
                yield from self._remote(path)
            elif exists(path) or not is_pattern(path):
                yield from self._below(path)
            else:
                for match in self._in_order(matches(path), str):
                    yield from self._below(match)

    def would_wait(self) -> bool:
        """Say whether the next file's line on stdin is not there yet."""
        return self._list is not None and not self._has_next and self._list.would_wait()

    def names(self, file: Path) -> bool:
        """Say whether a file is named among the paths, or matches a pattern; below a folder: no."""
        if not exists(file) or not file.is_file():
            return False
        known = file.stat()
        for path in self._here:
            found = (path,) if exists(path) else matches(path)
            if any(exists(one) and os.path.samestat(one.stat(), known) for one in found):
                return True
        return False

    def takes_from(self, folder: Path) -> bool:
        """Say whether images that are put into a folder would be among the files.

        So where it is a folder among the paths or lies below one, or where a pattern matches
        something in it; a list on stdin is not asked.
        """
        target = Path(os.path.realpath(folder))
        for path in self._here:
            is_pattern = not exists(path)
            for found in matches(path) if is_pattern else (path,):
                if exists(found) and found.is_dir():
                    takes = target.is_relative_to(os.path.realpath(found))
                else:
                    takes = is_pattern and Path(os.path.realpath(found.parent)) == target
                if takes:
                    return True
        return False

    @property
    def _here(self) -> Iterator[Path]:
        listed = STDIN if self._stdin is not None else None
        return (path for path in self._paths if isinstance(path, Path) and path != listed)

    def _one_ahead(self, files: Iterator[Place]) -> Iterator[Place]:
        file = next(files, None)
        while file is not None:
            following = next(files, None)
            self._has_next = following is not None
            yield file
            file = following

    def _remote(self, url: Url) -> Iterator[Place]:
        for file, named in remote_files.files(url):
            if named:
                yield from self._of_file(file)
            elif self._counts(file.name, partial(_begins, file)):
                yield file
            else:
                self._pass_over(file)

    def _below(self, path: Path) -> Iterator[Place]:
        return self._walk(path) if is_dir(path) else self._of_file(path)

    def _of_file(self, path: Place) -> Iterator[Place]:
        is_index = self._volumes and path.name.lower() == _DICOMDIR
        if is_index and (isinstance(path, Url) or not is_dir(path)):
            yield from _referenced(path)
        elif (header := pair_header(path) if self._volumes else None) is None:
            yield path
        elif header not in self._pairs:  # else its other half has been named
            self._pairs.add(header)
            yield path

    def _walk(self, top: Path) -> Iterator[Path]:
        """Go down without recursion: folders may lie in one another by the thousand."""
        above: list[_Folder] = []
        entered: Path | None = top
        while entered is not None or above:
            try:
                if entered is not None:
                    folder = _Folder(entered, self._entries(entered))
                    if folder.identity not in (one.identity for one in above) and not (
                        entered.is_symlink() and self._is_known_link(folder.identity)
                    ):
                        above.append(folder)
                    entered = None
                    continue
                folder = above[-1]
                entry = next(folder.entries, None)
            except OSError:
                yield above.pop().path if entered is None else entered
                entered = None
                continue
            if entry is None:
                above.pop()
            elif entry.name.startswith("."):
                continue
            elif _is_folder(entry):
                entered = folder.path / entry.name
            elif self._counts(entry.name, partial(_begins, entry)):
                yield folder.path / entry.name
            else:
                self._pass_over(folder.path / entry.name)

    def _pass_over(self, file: Place) -> None:
        is_values = self._volumes and file.name.lower().endswith(VALUES)
        if is_values and any(is_file(one) for one in partners(file)):
            return  # it comes with its header
        self.skipped += 1
        if self._on_skipped is not None:
            self._on_skipped(cast(_P, file))

    def _entries(self, folder: Path) -> Iterator[os.DirEntry[str]]:
        """List a folder in order; an error that ends its listing comes behind what it gave."""
        failed: list[OSError] = []

        def given(entries: Iterator[os.DirEntry[str]]) -> Iterator[os.DirEntry[str]]:
            try:
                yield from entries
            except OSError as error:
                failed.append(error)

        with os.scandir(folder) as entries:
            yield from self._in_order(given(entries), lambda entry: entry.name)
        for error in failed:
            raise error

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

    def _counts(self, name: str, begins: Callable[[Callable[[bytes], bool]], bool]) -> bool:
        name = name.lower()
        if name.endswith(HEADERS):
            return self._volumes and begins(is_pair_header)
        if name.endswith(self.suffixes):
            return True
        if not self._volumes or name == _DICOMDIR:
            return False
        suffix = name.rpartition(".")[2] if "." in name else ""
        return (not suffix or suffix.isdigit()) and begins(
            lambda start: format_of(start) == "dicom"
        )


class _Folder:
    """A folder that is being listed; raises OSError where it cannot be reached."""

    def __init__(self, path: Path, entries: Iterator[os.DirEntry[str]]) -> None:
        status = path.stat()
        self.path = path
        self.entries = entries
        self.identity = (status.st_dev, status.st_ino)


def _referenced(dicomdir: Place) -> Iterator[Place]:
    """Give the files that a DICOMDIR lists; itself where it cannot be read, to tell why."""
    try:
        from edge_mri.images.dicomdir import referenced_files

        listed = referenced_files(dicomdir)
    except Exception:  # whatever it holds, or a package says that is missing or broken
        listed = [dicomdir]
    yield from listed


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads round in a circle, a folder that may not be searched
        return False


def _begins(entry: os.DirEntry[str] | Url, right: Callable[[bytes], bool]) -> bool:
    """Ask about the first bytes of a file; no, where it cannot be read."""
    try:
        if isinstance(entry, Url):
            return right(first_bytes(entry, HEADER_BYTES))
        return entry.is_file() and right(first_bytes(Path(entry.path), HEADER_BYTES))
    except (ImageReadError, OSError):
        return False
