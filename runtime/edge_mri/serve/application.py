"""What answers which request: records for files, whether all is well, and the page for people."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from edge_mri.answers.prediction import Prediction
from edge_mri.classifier import Classifier
from edge_mri.finishing import Finish
from edge_mri.pictures.heatmaps import SCALES
from edge_mri.pictures.report_rows import pictures_of
from edge_mri.serve.batching import Batcher
from edge_mri.serve.config import ServeConfig
from edge_mri.serve.drawing import Drawing
from edge_mri.serve.guard import ASSETS, Guard, TokenCheck
from edge_mri.serve.jobs import Job
from edge_mri.serve.logbook import Logbook, Metrics
from edge_mri.serve.openapi import PREDICT, document
from edge_mri.serve.page import Page
from edge_mri.serve.problems import problem, refused
from edge_mri.serve.tokens import Tokens
from edge_mri.serve.uploads import Body, Room, Upload, busy
from edge_mri.storage.json_text import json_array

_GONE = 499  # as servers log a client that left; nobody hears it


class Service:
    """The endpoints.

    Attributes:
        is_stopping: Whether it takes no more requests.
    """

    def __init__(
        self, config: ServeConfig, classifier: Classifier, batcher: Batcher, metrics: Metrics
    ) -> None:
        self.is_stopping = False
        self._config = config
        self._classifier = classifier
        self._batcher = batcher
        self._metrics = metrics
        self._room = Room(config.queue_bytes)
        source = classifier.map_output
        self._scale = None if source is None else SCALES[source]
        self._page = Page(classifier, config, self._scale)
        self._openapi = document(config, classifier.contract.labels)

    def application(self) -> ASGIApp:
        """Return it as an application, guarded as the configuration says."""
        routes = [
            Route(PREDICT, self._predict, methods=["POST"]),
            Route("/healthz", self._healthz),
            Route("/readyz", self._readyz),
            Route("/metrics", self._measured),
            Route("/openapi.json", self._described),
            Route("/", self._shown),
            *(Route(ASSETS + name, self._asset) for name in self._page.assets),
        ]
        inner: list[Middleware] = []
        if self._config.allow_origin:
            inner.append(
                Middleware(
                    CORSMiddleware,
                    allow_origins=list(self._config.allow_origin),
                    allow_methods=["GET", "POST"],
                    allow_headers=["Authorization"],
                )
            )
        if self._config.token_file is not None:
            inner.append(Middleware(TokenCheck, tokens=Tokens(self._config.token_file)))
        starlette = Starlette(
            routes=routes, middleware=inner, exception_handlers={HTTPException: refused}
        )
        starlette.router.redirect_slashes = False  # to where the Host says, and no answer
        guarded = Guard(starlette, self._config.allow_host, self._config.allow_origin)
        return Logbook(guarded, self._metrics, frozenset(route.path for route in routes))

    async def _predict(self, request: Request) -> Response:
        finish = self._finish(request.query_params)
        if self._batcher.waiting >= self._config.queue_files:
            raise busy(self._batcher.wait_s)
        counts = request.scope["state"]["counts"]
        try:
            with Body(request, self._config, self._room) as body:
                uploads = await body.uploads()
                counts["files"] = len(uploads)
                waiting = self._batcher.waiting
                if waiting and waiting + len(uploads) > self._config.queue_files:
                    raise busy(self._batcher.wait_s)
                records = await self._answered(request, uploads, finish)
                counts |= {"records": len(records), "bytes": body.received}
        except ClientDisconnect:
            return Response(status_code=_GONE)
        self._metrics.files.inc(len(uploads))
        for record in records:
            self._metrics.records.labels(record.status).inc()
        text = "".join(json_array(_values(record, finish) for record in records))
        return Response(text, media_type="application/json")

    async def _answered(
        self, request: Request, uploads: list[Upload], finish: Finish | None
    ) -> list[Prediction]:
        """Wait for the records of files, as long as the client does."""
        loop, done = asyncio.get_running_loop(), asyncio.Event()

        def tell() -> None:
            with suppress(RuntimeError):  # the loop has ended: nobody waits any more
                loop.call_soon_threadsafe(done.set)

        job = Job(uploads, finish, tell)
        self._batcher.add(job)
        gone = asyncio.create_task(_disconnected(request))
        answered = asyncio.create_task(done.wait())
        try:
            await asyncio.wait((answered, gone), return_when=asyncio.FIRST_COMPLETED)
            if not done.is_set():
                raise ClientDisconnect
            return job.records()
        finally:
            answered.cancel()
            gone.cancel()
            if not done.is_set():
                self._batcher.drop(job)

    def _finish(self, asked: Mapping[str, str]) -> Finish | None:
        """Return what draws what a query asks for; 400 for what nobody knows."""
        for name, value in asked.items():
            if name not in ("heatmap", "pictures", "name"):
                raise HTTPException(400, "unknown parameter: expected heatmap, pictures or name")
            if name != "name" and value not in ("0", "1"):
                raise HTTPException(400, f"{name} is 0 or 1")
        heatmap, pictures = (asked.get(name) == "1" for name in ("heatmap", "pictures"))
        if heatmap and self._scale is None:
            raise HTTPException(400, "this model has no map: ask without heatmap")
        if not heatmap and not pictures:
            return None
        return Drawing(self._classifier.contract.preprocess, self._scale, heatmap, pictures)

    async def _healthz(self, request: Request) -> Response:
        if not self._batcher.is_alive:
            return problem(503, "a worker has ended: start the service again")
        return JSONResponse({"status": "ok"})

    async def _readyz(self, request: Request) -> Response:
        if self.is_stopping or self._batcher.waiting >= self._config.queue_files:
            return problem(503, "it takes no files at the moment")
        return JSONResponse({"status": "ready"})

    async def _measured(self, request: Request) -> Response:
        self._metrics.waiting.set(self._batcher.waiting)
        self._metrics.held.set(self._room.held)
        kind = "text/plain; version=0.0.4; charset=utf-8"
        return Response(self._metrics.text(), headers={"Content-Type": kind})

    async def _described(self, request: Request) -> Response:
        return JSONResponse(self._openapi)

    async def _shown(self, request: Request) -> Response:
        return Response(self._page.html, media_type="text/html")

    async def _asset(self, request: Request) -> Response:
        text, kind = self._page.assets[request.url.path.removeprefix(ASSETS)]
        return Response(text, media_type=kind)


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _values(record: Prediction, finish: Finish | None) -> dict[str, Any]:
    values = record.to_dict()
    if isinstance(finish, Drawing) and finish.pictures:
        values["pictures"] = pictures_of(record)
    return values
