"""Who may ask, and what a browser may do with an answer.

A page somewhere else must not use a reader's browser to ask here: requests with a foreign Origin
are refused, and so is a Host that is neither an address nor known by name, for a foreign name may
be made to point here (DNS rebinding). Tokens are asked for behind that.
"""

import ipaddress
from collections.abc import Iterable, MutableMapping
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from edge_mri.serve.problems import problem
from edge_mri.serve.tokens import Tokens

OPEN_PATHS = frozenset({"/", "/healthz", "/readyz", "/openapi.json"})
"""What needs no token, beside the page's own files below `ASSETS`: nothing of an image."""

ASSETS = "/assets/"

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "connect-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cache-Control": "no-store",
}


class Guard:
    """Refuses requests by Host and Origin, and gives every answer `HEADERS`."""

    def __init__(self, app: ASGIApp, hosts: Iterable[str], origins: Iterable[str]) -> None:
        self._app = app
        self._hosts = frozenset(["localhost", *(name.lower() for name in hosts)])
        self._origins = frozenset(origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it: 421 for its Host, 403 for its Origin."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        refused = self._refused(scope)
        await (refused or self._app)(scope, receive, send_with_headers)

    def _refused(self, scope: MutableMapping[str, Any]) -> ASGIApp | None:
        headers = Headers(scope=scope)
        if len(headers.getlist("host")) != 1 or not self._is_known(host := headers["host"]):
            detail = "this service does not go by that Host; --allow-host NAME lets it"
            return problem(421, detail)
        for origin in headers.getlist("origin"):
            own = origin.lower().partition("://")[2] == host.lower()
            if not own and origin not in self._origins:
                detail = "a page of another origin may not ask; --allow-origin ORIGIN lets it"
                return problem(403, detail)
        return None

    def _is_known(self, host: str) -> bool:
        """Say whether a Host is a plain address or a known name, whatever the port."""
        name = host.lower()
        if name.startswith("["):
            name = name[1:].partition("]")[0]
        elif name.count(":") == 1:
            name = name.partition(":")[0]
        if name in self._hosts:
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True


class TokenCheck:
    """Refuses requests that show no token, where one is needed: 401."""

    def __init__(self, app: ASGIApp, tokens: Tokens) -> None:
        self._app = app
        self._tokens = tokens

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it."""
        path = scope.get("path", "")
        is_open = path in OPEN_PATHS or path.startswith(ASSETS)
        if scope["type"] == "http" and not is_open:
            shown = Headers(scope=scope).get("authorization", "").encode("latin-1")
            if not self._tokens.include(shown):
                refused = problem(
                    401,
                    "show a token of --token-file, as in Authorization: Bearer TOKEN",
                    {"WWW-Authenticate": "Bearer"},
                )
                await refused(scope, receive, send)
                return
        await self._app(scope, receive, send)
