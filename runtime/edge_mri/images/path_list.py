"""A list of paths in a stream, such as stdin, which may still be being written."""

import codecs
import os
import sys
from collections import deque
from collections.abc import Iterable, Iterator
from io import BufferedReader, BytesIO
from select import select
from typing import BinaryIO

from edge_mri.errors import OptionError
from edge_mri.images.formats.headers import FIRST_BYTES, format_of
from edge_mri.remote.url import Place, located

_MAX_ENTRY_BYTES = 65_536
_CHUNK_BYTES = 65_536
# Byte-order marks, UTF-32's first: it begins as UTF-16's does.
_MARKS = {
    codecs.BOM_UTF32_LE: "utf-32-le",
    codecs.BOM_UTF32_BE: "utf-32-be",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
    codecs.BOM_UTF8: "",
}
_LOOKED_AT_BYTES = 4096  # for the null characters of UTF-16
_WIDE_SHARE = 0.6  # of every second byte; names of three characters reach 0.5
_TELLING_BYTES = 8
_EXPECTED = "expected paths separated by newlines or null characters"


class PathList:
    """A list of paths, separated by newlines or, where there is one, by null characters.

    Read piece by piece: a list may be endless. Names with newlines need null characters
    (`find -print0`). Names are bytes as the system has them; behind a byte-order mark the list is
    UTF-8, UTF-16 (as Windows PowerShell's `>` writes it) or UTF-32. An entry longer than any path
    is cut: reading it tells.

    Iterating raises `OptionError` where the stream is no such list: an image, UTF-16 without a
    mark, nothing that separates; and where it cannot be read.

    Args:
        stream: Where it is read from, once.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._found: deque[Place] = deque()

    def __iter__(self) -> Iterator[Place]:
        separator = b""
        rest = b""
        for piece in self._pieces():
            rest += piece
            if not separator and (b"\0" in rest or b"\n" in rest):
                separator = b"\0" if b"\0" in rest else b"\n"
            *entries, rest = rest.split(separator) if separator else [rest]
            if len(rest) > _MAX_ENTRY_BYTES:
                if not separator:
                    raise OptionError(
                        f"the list on stdin begins with more than {_MAX_ENTRY_BYTES:,} bytes that "
                        f"are no path; {_EXPECTED}"
                    )
                rest = rest[:_MAX_ENTRY_BYTES]
            yield from self._paths(entries)
        yield from self._paths([rest])

    def would_wait(self) -> bool:
        """Say whether nothing more is there yet; False where the system cannot tell."""
        if self._found:
            return False
        try:
            return not select([self._stream], [], [], 0)[0]
        except (OSError, ValueError):  # no file, or Windows, which asks sockets alone
            return False

    def _pieces(self) -> Iterator[bytes]:
        """Give the list in the bytes of file names, whatever it is written in."""
        start = b""
        while len(start) < _TELLING_BYTES and (piece := self._piece()):
            start += piece
            if len(start) > 1 and not (_may_be_marked(start) or _is_wide(start)):
                break
        _refuse_image(start)
        mark = next((mark for mark in _MARKS if start.startswith(mark)), b"")
        if not mark and len(start) >= _TELLING_BYTES and _is_wide(start):
            raise OptionError(
                "the list on stdin looks like UTF-16 or UTF-32 and does not begin with a "
                "byte-order mark; write it as UTF-8 (names of a single letter: as ./a)"
            )
        yield from self._in_file_names(start[len(mark) :], _MARKS.get(mark, ""))

    def _in_file_names(self, first: bytes, encoding: str) -> Iterator[bytes]:
        if not encoding:
            yield first
            yield from iter(self._piece, b"")
            return
        # What is no text becomes a name that is not there: its record tells.
        decoder = codecs.getincrementaldecoder(encoding)("replace")
        names = sys.getfilesystemencoding()
        yield decoder.decode(first).encode(names, "backslashreplace")
        while piece := self._piece():
            yield decoder.decode(piece).encode(names, "backslashreplace")
        yield decoder.decode(b"", final=True).encode(names, "backslashreplace")

    def _piece(self) -> bytes:
        try:
            if isinstance(self._stream, BufferedReader | BytesIO):
                return self._stream.read1(_CHUNK_BYTES)
            return self._stream.read(1)
        except OSError as error:
            reason = error.strerror or str(error)
            raise OptionError(f"cannot read the list on stdin: {reason}") from error

    def _paths(self, entries: Iterable[bytes]) -> Iterator[Place]:
        names = (os.fsdecode(entry.removesuffix(b"\r")) for entry in entries)
        self._found.extend(located(name) for name in names if name)
        while self._found:
            yield self._found.popleft()


def _may_be_marked(start: bytes) -> bool:
    return any(mark.startswith(start[: len(mark)]) for mark in _MARKS)


def _is_wide(start: bytes) -> bool:
    """Say whether nearly every second byte is null, as in letters of UTF-16 and UTF-32."""
    looked_at = start[:_LOOKED_AT_BYTES]
    halves = (looked_at[0::2], looked_at[1::2])
    return any(half.count(0) > _WIDE_SHARE * len(half) for half in halves)


def _refuse_image(start: bytes) -> None:
    kind = format_of(start[:FIRST_BYTES])
    if kind is None or (kind == "bmp" and any(start[6:10])):  # names may begin with BM
        return
    raise OptionError(
        f"stdin holds an image ({kind}) where `-` stands for a list of paths; name the file "
        "itself, and write what comes through a pipe to one first"
    )
