"""A list of paths in a stream, such as stdin, which may still be being written."""

import os
from collections import deque
from collections.abc import Iterable, Iterator
from io import BufferedReader, BytesIO
from pathlib import Path
from select import select
from typing import BinaryIO

from edge_mri.errors import OptionError

_MAX_ENTRY_BYTES = 65_536
_CHUNK_BYTES = 65_536


class PathList:
    """A list of paths, separated by newlines or, where there is one, by null characters.

    Read piece by piece: a list may be endless. Names with newlines need null characters
    (`find -print0`). Iterating raises `OptionError` where an entry is longer than any path.

    Args:
        stream: Where it is read from, once.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._found: deque[Path] = deque()

    def __iter__(self) -> Iterator[Path]:
        separator = b""
        rest = b""
        while piece := self._piece():
            rest += piece
            if not separator and (b"\0" in rest or b"\n" in rest):
                separator = b"\0" if b"\0" in rest else b"\n"
            *entries, rest = rest.split(separator) if separator else [rest]
            if len(rest) > _MAX_ENTRY_BYTES:
                raise OptionError(
                    f"the list on stdin has an entry of more than {_MAX_ENTRY_BYTES:,} bytes; "
                    "expected paths separated by newlines or null characters"
                )
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

    def _piece(self) -> bytes:
        if isinstance(self._stream, BufferedReader | BytesIO):
            return self._stream.read1(_CHUNK_BYTES)
        return self._stream.read(1)

    def _paths(self, entries: Iterable[bytes]) -> Iterator[Path]:
        names = (os.fsdecode(entry.removesuffix(b"\r")) for entry in entries)
        self._found.extend(Path(name) for name in names if name)
        while self._found:
            yield self._found.popleft()
