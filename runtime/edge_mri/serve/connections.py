"""How long a client may take: for its headers, between requests, and to read an answer.

uvicorn waits for ever for a header that has begun and for an answer that nobody reads. How fast a
body must come is `edge_mri.serve.uploads`.
"""

import asyncio
import socket
from collections.abc import Callable
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

HEADER_S = 10
"""From the first byte of a connection or request to the end of its headers."""

READ_S = 30
"""How long an answer may lie unread whatever its length, and how fast it must be read then."""

SLOWEST_READ_BYTES_S = 2**15


class _Deadline:
    """Something that is done unless it is called off in time."""

    def __init__(self) -> None:
        self._handle: asyncio.TimerHandle | None = None

    @property
    def is_set(self) -> bool:
        return self._handle is not None

    def set(self, seconds: float, act: Callable[[], None]) -> None:
        self.call_off()
        self._handle = asyncio.get_running_loop().call_later(seconds, act)

    def call_off(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None


class TimedProtocol(H11Protocol):
    """HTTP/1.1 with deadlines."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._headers = _Deadline()
        self._reading = _Deadline()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a request; what is sent is sent at once."""
        super().connection_made(transport)
        connection = transport.get_extra_info("socket")
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._await_headers()

    def data_received(self, data: bytes) -> None:
        """Take bytes; whether they end the headers is asked afterwards."""
        super().data_received(data)
        self._await_headers()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing any more."""
        self._headers.call_off()
        self._reading.call_off()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        """Let the next headers have their own time."""
        self._headers.call_off()
        super().on_response_complete()

    def pause_writing(self) -> None:
        """Begin to wait for a client that reads slowly."""
        super().pause_writing()
        unread = self.transport.get_write_buffer_size()
        self._reading.set(READ_S + unread / SLOWEST_READ_BYTES_S, self.transport.abort)

    def resume_writing(self) -> None:
        """Note that the client reads."""
        self._reading.call_off()
        super().resume_writing()

    def _await_headers(self) -> None:
        """Have a deadline while no request is being answered, also for the rest of a body."""
        cycle: Any = self.cycle
        if cycle is not None and not cycle.response_complete:
            self._headers.call_off()
        elif not self._headers.is_set:
            self._headers.set(HEADER_S, self.transport.close)
