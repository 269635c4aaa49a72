"""Files behind URLs: read within a limit, fetched ahead, written whole.

All errors are `RemoteError`, but for `FileExistsError` where a file is to be a new one.
"""

from concurrent.futures import Future
from typing import Any

from edge_mri.remote.filesystems import filesystem, path_in
from edge_mri.remote.reasons import code_of, told
from edge_mri.remote.url import Url

OBJECT_STORES = ("s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "memory")
"""Where a file appears whole or not at all, and so where results may be written."""

_PIECE_BYTES = 2**18


def read(url: Url, most_bytes: int) -> bytes:
    """Return what a file holds, at most one byte more than `most_bytes`."""
    if isinstance(url, Awaited) and (data := url.data(most_bytes)) is not None:
        return data
    with told(url):
        return bytes(_waited(*_reading(url, most_bytes + 1)))


def start(url: Url, count: int) -> bytes:
    """Return the first bytes of a file, at most `count`."""
    with told(url):
        return bytes(_waited(*_reading(url, count)))[:count]


class Awaited(Url):
    """A URL whose first bytes are on their way."""

    __slots__ = ("_bytes", "_future")

    def __init__(self, url: Url, count: int, future: "Future[bytes]") -> None:
        super().__init__(url.address, url.size_bytes)
        self._bytes = count
        self._future: Future[bytes] | None = future

    def data(self, most_bytes: int) -> bytes | None:
        """Return the file, once; None where what came may not be all that is asked for."""
        future, self._future = self._future, None
        if future is None:
            return None
        with told(self):
            data = future.result()
        return data if len(data) < self._bytes or len(data) > most_bytes else None


def ahead(url: Url, count: int) -> Url:
    """Begin to fetch the first `count` bytes of a file, where its storage can without waiting."""
    try:
        fs, coroutine = _reading(url, count)
    except Exception:  # told where it is read
        return url
    if not hasattr(coroutine, "send"):
        return url
    from asyncio import run_coroutine_threadsafe

    return Awaited(url, count, run_coroutine_threadsafe(coroutine, fs.loop))


def write(url: Url, data: bytes, *, new: bool = False) -> None:
    """Write a file, whole or not at all.

    Args:
        url: In one of `OBJECT_STORES`.
        data: What it is to hold.
        new: Refuse where it is there already; raises FileExistsError.
    """
    with told(url):
        fs = filesystem(url)
        try:
            fs.pipe_file(path_in(fs, url), data, **({"mode": "create"} if new else {}))
        except OSError as error:
            if code_of(error) in ("412", "PreconditionFailed"):
                raise FileExistsError from error
            raise


def _reading(url: Url, count: int) -> tuple[Any, Any]:
    """Return a file system and what gives the first bytes of a file: a coroutine, or bytes."""
    fs = filesystem(url)
    if url.is_web:
        return fs, _web(fs, url.address, count)
    if fs.async_impl:
        return fs, _first(fs, path_in(fs, url), count)
    return fs, fs.cat_file(path_in(fs, url), start=0, end=count)


def _waited(fs: Any, data: Any) -> bytes:
    """Run a coroutine on fsspec's thread; bytes are given back."""
    if not hasattr(data, "send"):
        return bytes(data)
    from fsspec.asyn import sync

    return bytes(sync(fs.loop, lambda: data))


async def _first(fs: Any, path: str, count: int) -> bytes:
    try:
        return bytes(await fs._cat_file(path, start=0, end=count))
    except Exception as error:
        if code_of(error) in ("416", "InvalidRange"):  # an empty file has no first byte
            return b""
        raise


async def _web(fs: Any, address: str, count: int) -> bytes:
    """Read until there is enough: a server need not know ranges, nor an end."""
    from yarl import URL

    session, data = await fs.set_session(), bytearray()
    async with session.get(URL(address, encoded="%" in address), **fs.kwargs) as answer:
        answer.raise_for_status()
        async for piece in answer.content.iter_chunked(_PIECE_BYTES):
            data += piece
            if len(data) >= count:
                break
    return bytes(data[:count])
