"""Refusals as documents that programs read: RFC 9457, `application/problem+json`."""

from collections.abc import Mapping
from http import HTTPStatus

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from edge_mri.storage.json_text import json_text

MEDIA_TYPE = "application/problem+json"


def problem(status: int, detail: str, headers: Mapping[str, str] | None = None) -> Response:
    """Return a refusal; `detail` says what was expected and what to do, and names no file."""
    body = {"title": HTTPStatus(status).phrase, "status": status, "detail": detail}
    return Response(json_text(body), status, dict(headers or {}), MEDIA_TYPE)


def refused(request: Request, error: Exception) -> Response:
    """Return what an `HTTPException` says, as Starlette's handlers do."""
    assert isinstance(error, HTTPException)
    return problem(error.status_code, error.detail, error.headers)
