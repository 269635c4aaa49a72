"""A line a request on stderr, and counts for Prometheus: no name, no address, no image.

A line has the time, the method, the path as this service knows it (`-` for any other), the status,
files, records, bytes of the body and milliseconds.
"""

import sys
import time
import traceback
from datetime import UTC, datetime
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, generate_latest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from edge_mri import __version__
from edge_mri.serve.problems import problem

_METHODS = frozenset({"GET", "HEAD", "POST", "OPTIONS", "PUT", "DELETE", "PATCH", "TRACE"})
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class Metrics:
    """What is counted."""

    def __init__(self, model_sha256: str, provider: str) -> None:
        registry = self._registry = CollectorRegistry()
        self.requests = Counter(
            "edge_mri_requests", "Requests answered.", ["path", "status"], registry=registry
        )
        self.files = Counter("edge_mri_files", "Files that were classified.", registry=registry)
        self.records = Counter("edge_mri_records", "Records given.", ["status"], registry=registry)
        self.seconds = Histogram(
            "edge_mri_request_seconds",
            "From headers to answer.",
            ["path"],
            buckets=_SECONDS,
            registry=registry,
        )
        self.together = Histogram(
            "edge_mri_batch_images",
            "Images answered together.",
            buckets=(1, 2, 4, 8, 16, 32, 64),
            registry=registry,
        )
        self.part_seconds = Histogram(
            "edge_mri_batch_seconds",
            "From network input to records.",
            buckets=_SECONDS,
            registry=registry,
        )
        self.waiting = Gauge(
            "edge_mri_queue_files", "Files that wait for an answer.", registry=registry
        )
        self.held = Gauge(
            "edge_mri_queue_bytes", "Bytes of bodies that are held.", registry=registry
        )
        about = {"version": __version__, "model_sha256": model_sha256, "provider": provider}
        Info("edge_mri_build", "What answers.", registry=registry).info(about)

    def observe(self, images: int, seconds: float) -> None:
        """Note a part that was answered."""
        self.together.observe(images)
        self.part_seconds.observe(seconds)

    def text(self) -> bytes:
        """Return all in Prometheus' text format."""
        return generate_latest(self._registry)


class Logbook:
    """Notes each request; one that fails by a fault of ours is answered with 500.

    What went wrong is told by the kind of the error and the line of the program alone: its message
    may quote a file.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics, paths: frozenset[str]) -> None:
        self._app = app
        self._metrics = metrics
        self._paths = paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request and note it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status = time.perf_counter(), 0
        counts: dict[str, int] = {}
        scope.setdefault("state", {})["counts"] = counts

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, noting)
        except Exception as error:
            last = traceback.extract_tb(error.__traceback__)[-1]
            place = f"{Path(last.filename).name}:{last.lineno}"
            _say(f"fault of edge-mri itself, please report it: {type(error).__name__} at {place}")
            if not status:
                await problem(500, "the service failed on this request")(scope, receive, noting)
        spent = time.perf_counter() - started
        path = scope["path"] if scope["path"] in self._paths else "-"
        method = scope["method"] if scope["method"] in _METHODS else "-"
        self._metrics.requests.labels(path, str(status or 499)).inc()
        self._metrics.seconds.labels(path).observe(spent)
        told = "".join(f" {count} {name}" for name, count in counts.items())
        _say(f"{method} {path} {status or 499}{told} {1000 * spent:.0f} ms")


def _say(line: str) -> None:
    sys.stderr.write(f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ} {line}\n")
