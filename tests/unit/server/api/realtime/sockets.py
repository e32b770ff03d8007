"""A WebSocket client of the application, whose events have to be those of OpenAI's own library."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, get_args

import msgspec
from litestar import Litestar
from openai.types.beta.realtime import RealtimeServerEvent as BetaServerEvent
from openai.types.realtime import RealtimeServerEvent
from pydantic import BaseModel

from tests.unit.server.harness import WAIT

__all__ = ["BETA_TRANSCRIPTION", "EXTENSIONS", "Socket", "check_beta", "connected"]

EXTENSIONS = ("response.output_audio.words", "response.output_audio.visemes", "response.output_audio.gestures")


def _classes(events: Any) -> dict[str, type[BaseModel]]:
    union = get_args(events)[0]
    return {get_args(event.model_fields["type"].annotation)[0]: event for event in get_args(union)}


_CLASSES, _BETA_CLASSES = _classes(RealtimeServerEvent), _classes(BetaServerEvent)


class Socket:
    """One connection. `events` are all that came, parsed as JSON."""

    def __init__(
        self,
        app: Litestar,
        path: str,
        headers: Mapping[str, str],
        subprotocols: Sequence[str],
        judge: Callable[[dict[str, Any]], None] | None = None,
    ) -> None:
        """`judge` fails if the library does not know an event."""
        given = {"host": "localhost", **headers}
        path, _, query = path.partition("?")
        scope = {
            "type": "websocket",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "scheme": "ws",
            "path": path,
            "raw_path": path.encode(),
            "root_path": "",
            "query_string": query.encode(),
            "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in given.items()],
            "subprotocols": [*subprotocols],
            "client": ("127.0.0.1", 50000),
            "server": ("127.0.0.1", 8000),
        }
        self._judge = judge or check
        self.events: list[dict[str, Any]] = []
        self.accepted: dict[str, Any] | None = None
        self.closed: dict[str, Any] | None = None
        self.reads = asyncio.Event()
        self.reads.set()
        """Unset: the client takes nothing."""
        self._incoming: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._incoming.put_nowait({"type": "websocket.connect"})
        self._changed = asyncio.Condition()
        self._seen = 0
        self.task = asyncio.create_task(app(scope, self._incoming.get, self._send))  # type: ignore[arg-type]

    async def _send(self, message: Any) -> None:
        await self.reads.wait()
        async with self._changed:
            if message["type"] == "websocket.accept":
                self.accepted = message
            elif message["type"] == "websocket.close":
                self.closed = message
            else:
                event = msgspec.json.decode(message["text"])
                self._judge(event)
                self.events.append(event)
            self._changed.notify_all()

    def __repr__(self) -> str:
        return f"events: {self.types()}, closed: {self.closed}"

    def send(self, type: str, **fields: Any) -> None:
        self.send_text(msgspec.json.encode({"type": type, **fields}).decode())

    def send_text(self, text: str) -> None:
        self._incoming.put_nowait({"type": "websocket.receive", "text": text})

    def send_bytes(self, data: bytes) -> None:
        self._incoming.put_nowait({"type": "websocket.receive", "bytes": data})

    def disconnect(self) -> None:
        self._incoming.put_nowait({"type": "websocket.disconnect", "code": 1005})

    async def until(self, type: str) -> dict[str, Any]:
        """The next event of this type. Events before it are passed over."""

        def found() -> bool:
            while self._seen < len(self.events):
                self._seen += 1
                if self.events[self._seen - 1]["type"] == type:
                    return True
            assert self.closed is None, self
            return False

        async with asyncio.timeout(WAIT), self._changed:
            await self._changed.wait_for(found)
        return self.events[self._seen - 1]

    async def settled(self) -> None:
        """Wait until the server has handled what was sent, and what follows from it has ended."""
        self.send("session.update", session={})
        await self.until("session.updated")

    async def finished(self) -> Socket:
        async with asyncio.timeout(WAIT):
            await self.task
        return self

    def types(self, *, since: str | None = None) -> list[str]:
        """The types of all events, repeated ones once."""
        made: list[str] = []
        for event in self.events:
            if event["type"] == since:
                made = []
            if not made or made[-1] != event["type"]:
                made.append(event["type"])
        return made


def check(event: dict[str, Any]) -> None:
    """Fail if OpenAI's library does not know the event, or a field of it has another type."""
    assert event["event_id"].startswith("event_")
    if event["type"] not in EXTENSIONS:
        _CLASSES[event["type"]].model_validate(event, strict=True)


BETA_TRANSCRIPTION = ("transcription_session.created", "transcription_session.updated")
"""OpenAI's library does not know the first, and requires a key in the second, which OpenAI does not send."""


def check_beta(event: dict[str, Any]) -> None:
    """As `check`, of the beta. Its sessions may only have OpenAI's models."""
    assert event["event_id"].startswith("event_")
    if event["type"] in BETA_TRANSCRIPTION:
        return
    if "session" in event:
        event = {**event, "session": {name: value for name, value in event["session"].items() if name != "model"}}
    _BETA_CLASSES[event["type"]].model_validate(event, strict=True)


@asynccontextmanager
async def connected(
    app: Litestar,
    path: str = "/v1/realtime?model=org/fake",
    headers: Mapping[str, str] | None = None,
    subprotocols: Sequence[str] = (),
    judge: Callable[[dict[str, Any]], None] | None = None,
) -> AsyncIterator[Socket]:
    """A connection, which the client ends with the block."""
    socket = Socket(app, path, headers or {}, subprotocols, judge)
    try:
        yield socket
    finally:
        socket.reads.set()
        socket.disconnect()
        await socket.finished()
