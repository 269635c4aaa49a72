"""Refusals as documents that programs read: RFC 9457, `application/problem+json`."""

from collections.abc import Mapping
from http import HTTPStatus

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from edge_mri.storage.json_text import json_text

MEDIA_TYPE = "application/problem+json"

_ROUTING = {  # Starlette repeats the title
    404: "nothing is here: /openapi.json says what is where",
    405: "another method is expected here: see the header Allow, or /openapi.json",
}


def problem(status: int, detail: str, headers: Mapping[str, str] | None = None) -> Response:
    """Return a refusal; `detail` says what was expected and what to do, and names no file."""
    body = {"title": HTTPStatus(status).phrase, "status": status, "detail": detail}
    return Response(json_text(body), status, dict(headers or {}), MEDIA_TYPE)


def refused(request: Request, error: Exception) -> Response:
    """Return what an `HTTPException` says, as Starlette's handlers do."""
    assert isinstance(error, HTTPException)
    detail = _ROUTING.get(error.status_code, error.detail)
    return problem(error.status_code, detail, error.headers)
