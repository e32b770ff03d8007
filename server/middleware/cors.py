"""Cross-origin requests: which pages in a browser may read responses. Pure ASGI.

Litestar's middleware knows neither private networks nor paths that no page may read, and its headers are missing on
responses that are made outside routing. Source: https://fetch.spec.whatwg.org/#http-cors-protocol.
"""

from __future__ import annotations

from collections.abc import Sequence

from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPScope, Message, Receive, Scope, Send

__all__ = ["CorsMiddleware"]

EXPOSED = b"X-Request-ID, X-Process-Time, X-Ignored-Parameters, X-Unspoken, X-Transcription-Model, Retry-After"
METHODS = b"GET, HEAD, POST, DELETE, OPTIONS"
MAX_AGE = b"600"
"""Seconds that a browser may keep a preflight's response."""
_PRIVATE = ("/internal", "/traces", "/metrics")
"""Paths that tell about the server and its users: no page of another origin reads them."""
_NETWORKS = (b"private-network", b"local-network")

Header = tuple[bytes, bytes]


class CorsMiddleware:
    """Answers preflights and adds headers to every other response.

    `origins` may hold `*`. An origin that is listed by name may send credentials, and reach the server from a public
    page while the server is on a private network; with `*` only, it may not.
    """

    def __init__(self, app: ASGIApp, *, origins: Sequence[str]) -> None:
        self._app = app
        self._any = "*" in origins
        self._named = frozenset(origin.rstrip("/").lower().encode() for origin in origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        origin = _header(scope, b"origin")
        if scope["type"] != ScopeType.HTTP or origin is None or scope["path"].startswith(_PRIVATE):
            await self._app(scope, receive, send)
            return
        allowed = self._allowed(origin)
        if scope["method"] == "OPTIONS" and _header(scope, b"access-control-request-method") is not None:
            await _preflight(send, [*allowed, *self._preflight_headers(scope, origin)] if allowed else [])
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *allowed]
            await send(message)

        await self._app(scope, receive, send_with_headers)

    def _allowed(self, origin: bytes) -> list[Header]:
        """The headers of a response to this origin; none where it may not read it."""
        exposed = (b"access-control-expose-headers", EXPOSED)
        if origin.lower() in self._named:
            return [
                (b"access-control-allow-origin", origin),
                (b"access-control-allow-credentials", b"true"),
                (b"vary", b"Origin"),
                exposed,
            ]
        return [(b"access-control-allow-origin", b"*"), exposed] if self._any else [(b"vary", b"Origin")]

    def _preflight_headers(self, scope: HTTPScope, origin: bytes) -> list[Header]:
        asked = _header(scope, b"access-control-request-headers")
        headers = [
            (b"access-control-allow-methods", METHODS),
            (b"access-control-allow-headers", asked if asked else b"*"),
            (b"access-control-max-age", MAX_AGE),
        ]
        if origin.lower() in self._named:
            headers.extend(
                (b"access-control-allow-" + network, b"true")
                for network in _NETWORKS
                if _header(scope, b"access-control-request-" + network) == b"true"
            )
        return headers


async def _preflight(send: Send, headers: list[Header]) -> None:
    """204, with or without permission: without it the browser refuses the request itself."""
    await send({"type": "http.response.start", "status": 204, "headers": headers})
    await send({"type": "http.response.body", "body": b"", "more_body": False})


def _header(scope: Scope, name: bytes) -> bytes | None:
    return next((value for key, value in scope["headers"] if key == name), None)
