"""Opening files that may be anything: only regular ones, and nobody waits for a pipe.

A volume in two files is read as the one that it equals. A URL is read by `edge_mri.remote`.
"""

import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from edge_mri.errors import (
    ImageError,
    ImageMemoryError,
    ImageReadError,
    ImageSizeError,
    RemoteError,
)
from edge_mri.images.formats.headers import FIRST_BYTES, format_of
from edge_mri.images.formats.nifti_pair import HEADERS, VALUES, is_pair_header, one_file, partners
from edge_mri.images.pixels.limits import Limits
from edge_mri.process.workers import available_threads
from edge_mri.remote import files, listing
from edge_mri.remote.url import Place, Url, is_url

_Given = str | os.PathLike[str] | Url
_AHEAD_BYTES = 2**22
_FETCHERS = 16
_HALVES = HEADERS + VALUES
HEADER_BYTES = max(FIRST_BYTES, 1024)
"""Enough to know a format, and a gzipped NIfTI-2 header, too."""

_NO_WAITING = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)  # POSIX; Windows


def read_file(path: _Given, limits: Limits | None = None) -> bytes:
    """Read an image file's bytes; of a half of a `.hdr`/`.img` pair those of both, as one file.

    Raises:
        ImageReadError: It cannot be read, is no regular file (pipes, sockets and devices are not
            waited for), its length changes while it is read, or its other half is not there.
        ImageSizeError: It has more bytes than `limits` allow.
        ImageMemoryError: Memory runs out.
    """
    allowed = limits or Limits.from_environment()
    if isinstance(path, str) and is_url(path):
        path = Url(path)
    # A name once: each call of the system would ask a Path again.
    place = path if isinstance(path, Url) else os.fspath(path)
    data = _read(place, allowed)
    name = place.name if isinstance(place, Url) else place
    if not name.lower().endswith(_HALVES):
        return data
    return _joined(place if isinstance(place, Url) else Path(place), data, allowed)


def first_bytes(path: Place, count: int) -> bytes:
    """Read the first bytes of a file, at most `count`; raises `ImageReadError` or OSError."""
    if isinstance(path, Url):
        with _as_image():
            return files.start(path, count)
    with open_regular(path) as (file, _):
        return file.read(count)


def pair_header(path: Place) -> Place | None:
    """Return the header of the volume in two files that a file is a half of; None where of none."""
    try:
        other = next((one for one in partners(path) if is_file(one)), None)
        header = path if path.name.lower().endswith(HEADERS) else other
        if other is None or header is None or not is_pair_header(first_bytes(header, HEADER_BYTES)):
            return None
    except (ImageReadError, OSError, ValueError):  # reading it tells why
        return None
    return header


def is_file(path: Place) -> bool:
    """Say whether there is a file; raises `ImageReadError` where a URL cannot be asked."""
    if not isinstance(path, Url):
        return path.is_file()
    with _as_image():
        return listing.kind(path) == "file"


def _joined(path: Place, data: bytes, allowed: Limits) -> bytes:
    """Return a pair as one file; what is no half of one as it is."""
    others = partners(path)
    is_values = path.name.lower().endswith(VALUES)
    if not is_values and not is_pair_header(data):
        return data
    other = next((one for one in others if is_file(one)), None)
    names = " or ".join(one.name for one in others)
    if other is None and is_values:
        if data and format_of(data[:FIRST_BYTES]) is None:
            raise ImageReadError(
                f"it is no image in a known format, and there is no {names} beside it that would "
                "tell of a volume in two files"
            )
        return data
    if other is None:
        raise ImageReadError(f"its values are in a second file, and there is no {names} beside it")
    second = _read(other, allowed)
    header, values = (second, data) if is_values else (data, second)
    if not is_pair_header(header):
        return data
    whole = one_file(header, values)
    allowed.check_bytes(len(whole))
    return whole


def _read(path: _Given, allowed: Limits) -> bytes:
    if isinstance(path, Url):
        return _fetched(path, allowed)
    descriptor = None
    try:
        descriptor, size = _open(path)
        allowed.check_bytes(size)
        data = os.read(descriptor, size + 1)
        while len(data) < size and (more := os.read(descriptor, size + 1 - len(data))):
            data += more
    except ImageError:
        raise
    except MemoryError as error:
        raise ImageMemoryError("read") from error
    except (OSError, ValueError) as error:  # ValueError: a name with a null character
        raise ImageReadError(getattr(error, "strerror", None) or str(error)) from error
    finally:
        if descriptor is not None:
            os.close(descriptor)
    if len(data) != size:
        raise ImageReadError("it changed while it was read")
    return data


def _fetched(url: Url, allowed: Limits) -> bytes:
    if url.size_bytes is not None:
        allowed.check_bytes(url.size_bytes)
    with _as_image():
        data = files.read(url, allowed.max_bytes)
    if len(data) > allowed.max_bytes:  # how many more nobody knows
        limit = f"{allowed.max_bytes:,} bytes"
        raise ImageSizeError(f"more than {limit}", f"{limit} (--max-bytes)")
    return data


def fetched_ahead(paths: Iterable[_Given]) -> Iterator[_Given]:
    """Pass paths on; of those that are URLs the bytes are on their way from then on.

    Not those of files that are large: they would fill the memory before they are asked for.
    """
    for path in paths:
        if isinstance(path, str) and is_url(path):
            path = Url(path)
        if isinstance(path, Url):
            size = _AHEAD_BYTES if path.size_bytes is None else path.size_bytes + 1
            path = files.ahead(path, size) if size <= _AHEAD_BYTES else path
        yield path


def reading_threads(paths: Sequence[Place]) -> int:
    """Return how many threads keep the cores busy that read some files: URLs keep one waiting."""
    return _FETCHERS if any(isinstance(path, Url) for path in paths[:1]) else available_threads()


@contextmanager
def _as_image() -> Iterator[None]:
    """Let what befalls a URL be the error of an image."""
    try:
        yield
    except RemoteError as error:
        raise ImageReadError(error.reason) from error
    except MemoryError as error:
        raise ImageMemoryError("read") from error


@contextmanager
def open_regular(path: Path) -> Iterator[tuple[BinaryIO, int]]:
    """Open a regular file; gives it and its size in bytes. Raises `ImageReadError`."""
    try:
        descriptor, size = _open(path)
        with os.fdopen(descriptor, "rb") as file:
            yield file, size
    except ImageError:
        raise
    except (OSError, ValueError) as error:  # ValueError: a name with a null character
        raise ImageReadError(getattr(error, "strerror", None) or str(error)) from error


def _open(path: str | os.PathLike[str]) -> tuple[int, int]:
    """Open a regular file; gives its descriptor and size: a file object asks the system more."""
    status = os.stat(path)  # noqa: PTH116  # making a Path takes as long as reading it
    _refuse_special(path, status)  # some devices act when they are opened
    descriptor = os.open(path, os.O_RDONLY | _NO_WAITING)
    try:
        status = os.fstat(descriptor)
        _refuse_special(path, status)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor, status.st_size


def _refuse_special(path: str | os.PathLike[str], status: os.stat_result) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise ImageReadError(_why_not_a_file(path))
    if not stat.S_ISREG(status.st_mode):
        raise ImageReadError("it is not a regular file")


def _why_not_a_file(folder: str | os.PathLike[str]) -> str:
    """Say that a folder is none, or what befalls those who list it: then it came instead."""
    try:
        with os.scandir(folder) as entries:
            for _ in entries:
                pass
    except OSError as error:
        return f"it is a folder that cannot be listed: {error.strerror or error}"
    return "it is a folder; expected a file (`find DIR -type f` lists files)"
