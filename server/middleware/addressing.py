"""The request line and `Host`, before routing: spellings of paths, `HEAD`, and DNS rebinding. Pure ASGI."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection
from urllib.parse import quote

from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPScope, Message, Receive, Scope, Send, WebSocketScope

from providers.errors import HostNotAllowed
from server.run.loopback import is_loopback

__all__ = ["AddressMiddleware", "normal_path", "one_segment"]

_SLASHES = re.compile(r"/{2,}")
_REPEATED = re.compile(r"\A(?:/v1)+(?=/v1/)")
_UNVERSIONED = re.compile(
    "/(?:audio|chat/completions|completions|detokenize|embeddings|messages|models|realtime|rerank|responses|tokenize)(?=/|$)"
)
"""Paths that clients with a base URL without `/v1` ask for."""
_MODEL = re.compile("/v1/models/(.+?)(/(?:load|unload|pin))?", re.DOTALL)
_ALIASES = {"/v2/rerank": "/v1/rerank", "/v1/health": "/health", "/api/hello": "/v1/health/live"}
"""Cohere's second version of the same endpoint, a spelling that probes use, and Claude Code's probe."""


class AddressMiddleware:
    """Brings a request to the address of the route that it means.

    `hosts` are the names that `Host` may hold beside loopback names and IP addresses; None: any. A page on the
    internet whose name is made to resolve to 127.0.0.1 sends its own name, and is refused by it.
    """

    def __init__(self, app: ASGIApp, *, hosts: Collection[str] | None = None) -> None:
        self._app = app
        self._hosts = None if hosts is None else frozenset(host.lower() for host in hosts)
        self._last_host: bytes | None = None
        """The last one that was allowed: nearly every request has the same."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Raises: HostNotAllowed."""
        if scope["type"] == ScopeType.WEBSOCKET:
            self._check_host(scope)
            path = normal_path(scope["path"])
            scope["path"], scope["raw_path"] = path, path.encode()
        if scope["type"] != ScopeType.HTTP:
            await self._app(scope, receive, send)
            return
        self._check_host(scope)
        path = one_segment(normal_path(scope["path"]), scope["method"])
        if path != scope["path"]:
            scope["path"], scope["raw_path"] = path, path.encode()
        if scope["method"] == "HEAD":
            scope["method"] = "GET"
            send = _without_body(send)
        await self._app(scope, receive, send)

    def _check_host(self, scope: HTTPScope | WebSocketScope) -> None:
        if self._hosts is None:
            return
        given = next((value for name, value in scope["headers"] if name == b"host"), b"")
        if given == self._last_host:
            return
        text = given.decode("latin-1").lower()
        host = text.rpartition(":")[0] if re.search(r":\d*$", text) else text
        if host and host not in self._hosts and not is_loopback(host) and not _is_address(host):
            raise HostNotAllowed(
                f"the server listens on this machine only and does not answer for the host {host[:128]!r}; "
                "to allow it, start the server with --allowed-hosts"
            )
        self._last_host = given


def normal_path(path: str) -> str:
    """The path of the route that a client means: without doubled and trailing slashes, and with one `/v1`."""
    path = _SLASHES.sub("/", path)
    if len(path) > 1:
        path = path.removesuffix("/")
    path = _REPEATED.sub("", path)
    if _UNVERSIONED.match(path):
        path = f"/v1{path}"
    return _ALIASES.get(path, path)


def one_segment(path: str, method: str) -> str:
    """The path of a model with its id as one segment: the router takes no segments after one of several."""
    if (found := _MODEL.fullmatch(path)) is None:
        return path
    id, action = found.groups()
    if action is not None and method in ("GET", "HEAD"):  # then the id ends in the name of an action
        id, action = id + action, None
    return f"/v1/models/{quote(id, safe='', errors='replace')}{action or ''}"


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False
    return True


def _without_body(send: Send) -> Send:
    async def send_head(message: Message) -> None:
        if message["type"] == "http.response.body":
            message["body"] = b""
        await send(message)

    return send_head
