"""An ASGI client that a test controls: when it reads, waits and disconnects."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from litestar import Litestar

from server.app import create_app
from server.settings.settings import Settings
from tests.unit.server.fakes import FakeChat, FakeEmbedder, FakeRegistry

WAIT = 30.0
"""Seconds after which a waiting test fails."""

MESSAGES = [{"role": "user", "content": "Hi"}]
BODY: dict[str, Any] = {"model": "any", "messages": MESSAGES}


def make_app(*chats: FakeChat | FakeEmbedder, **settings: Any) -> Litestar:
    providers = chats or (FakeChat(),)
    values: dict[str, Any] = {"models": tuple(chat.spec for chat in providers), "grace_period": 0.05, **settings}
    return create_app(Settings(**values), FakeRegistry(providers))


class Exchange:
    """One request in flight. Messages are kept in `sent`; `reads` unset makes the client stop reading.

    `offered` is set when the server sends a message, whether the client reads or not.
    """

    def __init__(self, app: Litestar, scope: dict[str, Any], body: bytes) -> None:
        self.sent: list[dict[str, Any]] = []
        self.reads = asyncio.Event()
        self.reads.set()
        self.offered = asyncio.Event()
        self._body: bytes | None = body
        self._gone = asyncio.Event()
        self._changed = asyncio.Condition()
        self.task = asyncio.create_task(app(scope, self._receive, self._send))  # type: ignore[arg-type]

    async def _receive(self) -> Any:
        if self._body is not None:
            body, self._body = self._body, None
            return {"type": "http.request", "body": body, "more_body": False}
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Any) -> None:
        self.offered.set()
        await self.reads.wait()
        async with self._changed:
            self.sent.append(message)
            self._changed.notify_all()

    def disconnect(self) -> None:
        self._gone.set()

    async def finished(self) -> Exchange:
        async with asyncio.timeout(WAIT):
            await self.task
        return self

    async def until(self, fragment: bytes) -> None:
        """Wait until the body contains this."""
        async with asyncio.timeout(WAIT), self._changed:
            await self._changed.wait_for(lambda: fragment in self.body)

    @property
    def status(self) -> int:
        return int(self.sent[0]["status"])

    @property
    def headers(self) -> dict[str, str]:
        return {name.decode().lower(): value.decode() for name, value in self.sent[0]["headers"]}

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.sent)

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.body)

    @property
    def error(self) -> dict[str, Any]:
        assert set(self.json) == {"error"}
        error: dict[str, Any] = self.json["error"]
        assert set(error) == {"message", "type", "param", "code"}
        return error

    @property
    def data(self) -> list[str]:
        """The payload of every `data:` line."""
        return [line.removeprefix("data: ") for line in self.body.decode().split("\n") if line.startswith("data: ")]

    @property
    def chunks(self) -> list[Any]:
        """Every decoded payload but the final `[DONE]`, which must be there."""
        assert self.data[-1] == "[DONE]"
        return [msgspec.json.decode(data) for data in self.data[:-1]]

    @property
    def complete(self) -> bool:
        """Whether the response is complete."""
        return bool(self.sent) and not self.sent[-1].get("more_body", False)


def start(
    app: Litestar,
    method: str = "POST",
    path: str = "/v1/chat/completions",
    *,
    json: Any = None,
    content: bytes | None = None,
    headers: Mapping[str, str] | None = None,
) -> Exchange:
    """Send a request and return immediately. `path` may have a query."""
    body = content if content is not None else b"" if json is None else msgspec.json.encode(json)
    given = {"host": "localhost", "content-type": "application/json", **(headers or {})}
    path, _, query = path.partition("?")
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": query.encode(),
        "headers": [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in given.items()],
        "client": ("127.0.0.1", 50000),
        "server": ("127.0.0.1", 8000),
    }
    return Exchange(app, scope, body)


async def ask(app: Litestar, method: str = "POST", path: str = "/v1/chat/completions", **request: Any) -> Exchange:
    """Send a request and wait for the end of its answer."""
    return await start(app, method, path, **request).finished()


@asynccontextmanager
async def serving(app: Litestar) -> AsyncIterator[Litestar]:
    """Run the application's lifespan."""
    async with app.lifespan():
        yield app
