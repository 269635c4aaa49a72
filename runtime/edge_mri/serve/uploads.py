"""A request's body as files, in memory: raw bytes are one, a multipart form holds many.

Nothing is spooled to a disk. Limits hold while the bytes come: a body is refused as soon as it is
too long, too slow, or more than all requests together may hold.
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.exceptions import HTTPException
from starlette.requests import Request

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

GRACE_S = 20
"""How long a body may take whatever its length; then it must have come at `SLOWEST_BYTES_S`."""

SLOWEST_BYTES_S = 2**15

_BUSY_S = 2  # when a client that found no room tries again


class UploadLimits(Protocol):
    """Which of `edge_mri.serve.config.ServeConfig`'s limits hold for a body."""

    @property
    def max_bytes(self) -> int: ...  # noqa: D102

    @property
    def max_files(self) -> int: ...  # noqa: D102

    @property
    def max_request_bytes(self) -> int: ...  # noqa: D102

    @property
    def queue_bytes(self) -> int: ...  # noqa: D102


@dataclass(eq=False, slots=True)
class Upload:
    """A file that came.

    Attributes:
        name: As the client calls it; the path of its records.
        data: Its bytes; empty once they are decoded.
    """

    name: str
    data: bytearray = field(default_factory=bytearray)


class Room:
    """How many bytes of bodies are held, of all requests; asked on one thread alone."""

    def __init__(self, most: int) -> None:
        self.held = 0
        self._most = most

    def take(self, count: int) -> None:
        """Take room for bytes that have come; 429 where there is none."""
        if self.held + count > self._most:
            raise busy(_BUSY_S)
        self.held += count

    def give_back(self, count: int) -> None:
        """Give room back."""
        self.held -= count


class Body:
    """The body of one request; a context manager, which gives its room back.

    Attributes:
        received: Bytes that came.
    """

    def __init__(self, request: Request, limits: UploadLimits, room: Room) -> None:
        self.received = 0
        self._request = request
        self._limits = limits
        self._room = room

    def __enter__(self) -> "Body":
        return self

    def __exit__(self, *_: object) -> None:
        self._room.give_back(self.received)

    async def uploads(self) -> list[Upload]:
        """Read it.

        Raises:
            HTTPException: 400, 408, 413, 415 or 429, with what to do.
            ClientDisconnect: The client has gone.
        """
        headers = self._request.headers
        if headers.get("content-encoding", "identity").lower() != "identity":
            raise HTTPException(415, "send the body as it is, without Content-Encoding")
        length = headers.get("content-length", "")
        if length.isdecimal() and int(length) > self._limits.max_request_bytes:
            raise self._too_long()
        kind, options = parse_options_header(headers.get("content-type"))
        if kind == b"multipart/form-data":
            files = await self._multipart(options.get(b"boundary", b""))
        else:
            files = [await self._raw()]
        if not files or (kind != b"multipart/form-data" and not files[0].data):
            raise HTTPException(
                400, "no file came: send an image as the body, or files as multipart/form-data"
            )
        return files

    async def _raw(self) -> Upload:
        upload = Upload(self._request.query_params.get("name", ""))
        async for chunk in self._chunks():
            upload.data += chunk
            self._check_file(upload)
        return upload

    async def _multipart(self, boundary: bytes) -> list[Upload]:
        if not boundary:
            raise HTTPException(400, "multipart/form-data without a boundary")
        form = _Form()
        try:
            parser = MultipartParser(boundary, form.callbacks())
            async for chunk in self._chunks():
                parser.write(chunk)
                if len(form.files) > self._limits.max_files:
                    raise HTTPException(
                        413, f"more than {self._limits.max_files:,} files: send fewer at a time"
                    )
                if form.files:
                    self._check_file(form.files[-1])
            parser.finalize()
        except MultipartParseError as error:
            raise HTTPException(400, "the multipart body is cut off or damaged") from error
        if not form.has_ended:
            raise HTTPException(400, "the multipart body is cut off or damaged")
        for upload in form.files:
            self._check_file(upload)
        return form.files

    async def _chunks(self) -> AsyncIterator[bytes]:
        clock = asyncio.get_running_loop().time
        started = clock()
        stream = self._request.stream()
        while True:
            until = started + GRACE_S + self.received / SLOWEST_BYTES_S
            try:
                async with asyncio.timeout_at(until):
                    chunk = await anext(stream, None)
            except TimeoutError:
                raise HTTPException(408, "the body came too slowly") from None
            if chunk is None:
                return
            if self.received + len(chunk) > self._limits.max_request_bytes:
                raise self._too_long()
            self._room.take(len(chunk))
            self.received += len(chunk)
            yield chunk

    def _check_file(self, upload: Upload) -> None:
        if len(upload.data) > self._limits.max_bytes:
            raise HTTPException(
                413, f"a file has more than {self._limits.max_bytes:,} bytes (--max-bytes)"
            )

    def _too_long(self) -> HTTPException:
        most = f"{self._limits.max_request_bytes:,} bytes (--max-request-bytes)"
        return HTTPException(413, f"the body has more than {most}: send fewer files at a time")


class _Form:
    """What a multipart parser finds: the parts with a file name are files, others are refused."""

    def __init__(self) -> None:
        self.files: list[Upload] = []
        self.has_ended = False
        self._name = b""
        self._value = b""
        self._disposition = b""

    def callbacks(self) -> "MultipartCallbacks":
        return {
            "on_part_begin": self._begin,
            "on_header_field": self._field,
            "on_header_value": self._more_value,
            "on_header_end": self._end_header,
            "on_headers_finished": self._open,
            "on_part_data": self._add,
            "on_end": self._end,
        }

    def _begin(self) -> None:
        self._name = self._value = self._disposition = b""

    def _field(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def _more_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _end_header(self) -> None:
        if self._name.lower() == b"content-disposition":
            self._disposition = self._value
        self._name = self._value = b""

    def _open(self) -> None:
        _, options = parse_options_header(self._disposition)
        if b"filename" not in options:
            raise HTTPException(400, "a part of the form is no file: each needs a filename")
        self.files.append(Upload(options[b"filename"].decode("utf-8", "surrogateescape")))

    def _add(self, data: bytes, start: int, end: int) -> None:
        self.files[-1].data += data[start:end]

    def _end(self) -> None:
        self.has_ended = True


def busy(seconds: float) -> HTTPException:
    """Return what a client hears for whom there is no room now."""
    wait = str(max(round(seconds), 1))
    return HTTPException(429, f"too much waits here: try again in {wait} s", {"Retry-After": wait})
