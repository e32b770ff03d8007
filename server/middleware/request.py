"""The outermost layer: the ID, span, log line and special headers of every request. Pure ASGI.

It lies outside routing, so that responses which no handler makes (404, 405, a preflight) have all of these too.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
import time
from collections import deque
from collections.abc import Awaitable, Iterable, Iterator

from litestar.enums import ScopeType
from litestar.types import (
    ASGIApp,
    HTTPResponseStartEvent,
    HTTPScope,
    Message,
    Receive,
    ReceiveMessage,
    Scope,
    Send,
    WebSocketScope,
)

import otel
from contracts.service.diagnostics import RecentError
from providers.errors import ServiceError
from server.cache_scope import shared_scope
from server.errors import CLIENT_CLOSED_REQUEST, DISCONNECTED, FAILURE, as_service_error, status_of, to_wire
from server.middleware.body_logging import Body
from server.middleware.sockets import run_socket
from server.noted import Noted, noting
from server.serialization import encode_contract

__all__ = ["TRANSCRIBED_BY", "RequestMiddleware", "is_work"]

TRANSCRIBED_BY = "transcribed_by"
"""Key of `scope["state"]`: the name of the model that transcribed recordings of the request."""

_SANE_ID = re.compile(rb"[\x21-\x7e](?:[\x20-\x7e]{0,126}[\x21-\x7e])?")
_POLLED = ("/health", "/v1/health", "/metrics", "/traces")
_log = otel.get_logger("server.access")


def is_work(path: str) -> bool:
    """Whether a request to this path is work for the server, and not a look at its state."""
    return path.startswith("/v1/") and not path.startswith(("/v1/health", "/v1/queue"))


class RequestMiddleware:
    """Wraps the whole application.

    A client's `X-Request-ID` of 1 to 128 printable ASCII characters is kept; otherwise a new one is generated.
    `X-Process-Time` is the time until the headers are sent, in seconds.
    """

    def __init__(
        self, app: ASGIApp, *, errors: deque[RecentError], log_bodies: bool = False, strict: bool = False
    ) -> None:
        """`errors` receives the failures of the server. `strict` refuses parameters without effect."""
        self._app = app
        self._errors = errors
        self._log_bodies = log_bodies
        self._strict = strict

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in (ScopeType.HTTP, ScopeType.WEBSOCKET):
            await self._app(scope, receive, send)
            return
        identifier = request_id_of(scope)
        token = otel.request_id.set(identifier)
        try:
            if scope["type"] == ScopeType.WEBSOCKET:
                with shared_scope():
                    await run_socket(self._app, scope, receive, send, identifier)
                return
            with shared_scope(), noting(strict=self._strict) as noted:
                exchange = _Exchange(self._app, scope, receive, send, identifier, noted, bodies=self._log_bodies)
                try:
                    await exchange.run()
                finally:
                    if exchange.error is not None:
                        self._errors.append(exchange.error)
        finally:
            otel.request_id.reset(token)


def request_id_of(scope: HTTPScope | WebSocketScope) -> str:
    """The client's request ID where it is printable and short enough, else a new one."""
    for name, value in scope["headers"]:
        if name == b"x-request-id" and _SANE_ID.fullmatch(value):
            return value.decode("ascii")
    return f"req_{os.urandom(16).hex()}"


def _header(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> str:
    return next((value.decode("latin-1") for key, value in headers if key.lower() == name), "")


class _Exchange:
    """One request and its response."""

    def __init__(
        self,
        app: ASGIApp,
        scope: HTTPScope,
        receive: Receive,
        send: Send,
        identifier: str,
        noted: Noted,
        *,
        bodies: bool,
    ) -> None:
        self._app = app
        self._scope = scope
        self._receive_next = receive
        self._send_next = send
        self._id = identifier
        self._noted = noted
        self._start = time.perf_counter()
        self._method, self._path = scope["method"], scope["path"]
        self._status: int | None = None
        self._complete = False
        self._received = self._sent = 0
        self._bodies = (Body(), Body()) if bodies else None
        self._answer_type = ""
        self.error: RecentError | None = None
        """The failure of the server, once `run` has returned or raised."""
        client = scope.get("client")
        self._span = otel.start_server_span(
            self._method, self._path, scope["headers"], scheme=scope["scheme"], client=client[0] if client else None
        )

    async def run(self) -> None:
        self._scope["state"] = {**self._scope.get("state", {})}  # not shared with another request
        with self._span.use():
            try:
                await self._app(self._scope, self._receive, self._send)
            except Exception as error:
                self._span.fail(error)
                if self._status is not None:
                    _log.error("request failed after its response had begun", exc_info=error)
                    raise
                await self._apologise(error)
            except BaseException as error:
                self._span.fail(error)
                raise
            finally:
                self._finish()

    async def _apologise(self, error: Exception) -> None:
        """Respond where the error handlers failed themselves: granian's own 500 has no envelope and no ID."""
        known = as_service_error(error)
        body = encode_contract(to_wire(known))
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await self._send({"type": "http.response.start", "status": status_of(known), "headers": headers})
        await self._send({"type": "http.response.body", "body": body, "more_body": False})

    async def _receive(self) -> ReceiveMessage:
        message = await self._receive_next()
        if message["type"] == "http.disconnect":
            self._scope["state"][DISCONNECTED] = True
        elif message["type"] == "http.request":
            self._received += len(message["body"])
            if self._bodies is not None:
                self._bodies[0].add(message["body"])
        return message

    def _send(self, message: Message) -> Awaitable[None]:
        if message["type"] == "http.response.start":
            self._begin_response(message)
        elif message["type"] == "http.response.body":
            self._sent += len(message["body"])
            if self._bodies is not None:
                self._bodies[1].add(message["body"])
            if not message.get("more_body"):
                return self._send_last(message)
        return self._send_next(message)

    async def _send_last(self, message: Message) -> None:
        await self._send_next(message)
        self._complete = True

    def _begin_response(self, message: HTTPResponseStartEvent) -> None:
        self._status = message["status"]
        if self._bodies is not None:
            self._answer_type = _header(message.get("headers", ()), b"content-type")
        elapsed = time.perf_counter() - self._start
        message["headers"] = [
            *message.get("headers", ()),
            (b"x-request-id", self._id.encode()),
            (b"x-process-time", f"{elapsed:.6f}".encode()),
            *self._special_headers(),
        ]

    def _special_headers(self) -> Iterator[tuple[bytes, bytes]]:
        if self._noted.names:
            yield b"x-ignored-parameters", self._noted.header()
        if (model := self._scope["state"].get(TRANSCRIBED_BY)) is not None:
            yield b"x-transcription-model", model.encode("ascii", "replace")
        if self._path.startswith("/v1/messages"):
            yield b"request-id", self._id.encode()  # where Anthropic's SDKs read it

    def _finish(self) -> None:
        if template := self._scope.get("path_template"):
            self._span.route(template)
        if self._status is not None:
            self._span.status(self._status)
        self._span.size(self._received, self._sent)
        state = self._scope["state"]
        outcome: dict[str, object] = {}
        if isinstance(failure := state.get(FAILURE), ServiceError):
            self._span.fail(failure)
            outcome["error"] = failure.code
        if self._status == CLIENT_CLOSED_REQUEST or (state.get(DISCONNECTED) and not self._complete):
            self._span.fail(asyncio.CancelledError())
            outcome["disconnected"] = True
        if self._noted.names:
            outcome["ignored"] = [*self._noted.names]
        self._note_error(outcome.get("error"))
        if self._bodies is not None and not self._path.startswith(_POLLED):
            asked, answered = self._bodies
            _log.info(
                "bodies",
                request=asked.text(_header(self._scope["headers"], b"content-type")),
                response=answered.text(self._answer_type),
                request_id=self._id,
            )
        _log.log(
            logging.DEBUG if self._path.startswith(_POLLED) else logging.INFO,
            "request",
            method=self._method,
            path=self._path,
            status=self._status,
            **self._span.summary.fields(),
            duration=round(time.perf_counter() - self._start, 6),
            request_bytes=self._received,
            response_bytes=self._sent,
            request_id=self._id,
            **outcome,
        )
        self._span.end()

    def _note_error(self, code: object) -> None:
        """Keep a failure of the server; errors of its clients are not kept."""
        if self._status is not None and (400 <= self._status < 500 or (code is None and self._status < 500)):
            return
        if self._status is None and code is None:
            return
        self.error = RecentError(
            time=time.time(),
            request_id=self._id,
            method=self._method,
            path=self._scope.get("path_template") or "",
            status=self._status,
            code=str(code or "internal_error"),
            model=self._span.summary.model,
        )
