"""The outermost layer of WebSockets: what `RequestMiddleware` is for requests. Pure ASGI."""

from __future__ import annotations

import time

from litestar.types import ASGIApp, Message, Receive, ReceiveMessage, Send, WebSocketScope

import otel
from server.errors import as_service_error
from server.run.open_sockets import OPEN_SOCKETS

__all__ = ["run_socket"]

_log = otel.get_logger("server.access")
_NOT_ACCEPTED = 403
"""The status of a handshake that is refused, whatever the reason: ASGI servers have no other."""
_SWITCHING_PROTOCOLS = 101


async def run_socket(app: ASGIApp, scope: WebSocketScope, receive: Receive, send: Send, identifier: str) -> None:
    """Serve one connection: one span, and one line in the log.

    The response to the handshake has the ID where the server sends headers of it; granian 2.8 does not.
    An unforeseen error closes the socket with 1011, or refuses the handshake.
    """
    client = scope.get("client")
    span = otel.start_server_span(
        "GET", scope["path"], scope["headers"], scheme=scope["scheme"], client=client[0] if client else None
    )
    span.summary.deferred = False
    begun = time.perf_counter()
    status: int | None = None
    code: int | None = None
    received = sent = 0

    async def receive_and_count() -> ReceiveMessage:
        nonlocal received, code
        message = await receive()
        if message["type"] == "websocket.receive":
            received += len(message.get("text") or message.get("bytes") or "")
        elif message["type"] == "websocket.disconnect":
            code = code or message.get("code")
        return message

    async def send_and_count(message: Message) -> None:
        nonlocal sent, status, code
        if message["type"] == "websocket.accept":
            status = _SWITCHING_PROTOCOLS
            message["headers"] = [*message.get("headers", ()), (b"x-request-id", identifier.encode())]
        elif message["type"] == "websocket.send":
            sent += len(message.get("text") or message.get("bytes") or "")
        elif message["type"] == "websocket.close":
            status, code = status or _NOT_ACCEPTED, message["code"]
        await send(message)

    scope["state"] = {**scope.get("state", {})}  # not shared with another connection
    with span.use(), OPEN_SOCKETS.one():
        try:
            await app(scope, receive_and_count, send_and_count)
        except Exception as error:
            span.fail(error)
            known = as_service_error(error)
            await send_and_count({"type": "websocket.close", "code": 1011, "reason": known.code})
        except BaseException as error:
            span.fail(error)
            raise
        finally:
            if template := scope.get("path_template"):
                span.route(template)
            if status is not None:
                span.status(status)
            span.size(received, sent)
            _log.info(
                "socket",
                path=scope["path"],
                status=status,
                close_code=code,
                **span.summary.fields(),
                duration=round(time.perf_counter() - begun, 6),
                received=received,
                sent=sent,
                request_id=identifier,
            )
            span.end()
