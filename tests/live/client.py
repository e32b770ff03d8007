"""Requests of the live tests, and helpers that read the responses."""

from __future__ import annotations

import json
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import attrs
import httpx
import pytest

PATIENCE = 60.0
"""Seconds that a test waits for something that takes an idle machine one or two."""
PLAIN = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""`verify` of requests over plain HTTP. httpx otherwise reads all certificates of the machine for each of them, which
takes 20 ms of processor time."""


def chat(text: str, **parameters: Any) -> dict[str, Any]:
    """Request body with one user message."""
    return {"model": "any", "messages": [{"role": "user", "content": text}], **parameters}


def ask(url: str, body: Any = None, *, method: str = "POST", path: str = "/v1/chat/completions", **options: Any) -> Any:
    """Send one request on its own connection."""
    options = {"timeout": PATIENCE, "verify": PLAIN, **({} if body is None else {"json": body}), **options}
    return httpx.request(method, url + path, **options)


def assert_error(
    response: httpx.Response,
    status: int,
    code: str,
    *,
    type: str = "invalid_request_error",
    param: str | None = None,
) -> str:
    """Assert that the response follows the error contract. Returns its message."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"].startswith("application/json")
    body = response.json()
    assert set(body) == {"error"}
    assert set(body["error"]) == {"message", "type", "param", "code"}
    assert (body["error"]["code"], body["error"]["type"]) == (code, type)
    assert body["error"]["param"] == param
    assert response.headers["x-request-id"]
    assert response.headers["x-process-time"]
    if status in (429, 503):
        assert int(response.headers["retry-after"]) >= 1
    message: str = body["error"]["message"]
    assert message
    return message


@attrs.define
class Stream:
    """A streamed answer. Iterating yields each decoded event as it arrives, except `[DONE]`, which sets `done`."""

    response: httpx.Response
    done: bool = False
    events: list[Any] = attrs.field(factory=list)
    _lines: Iterator[str] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._lines = self.response.iter_lines()

    def __iter__(self) -> Iterator[Any]:
        for line in self._lines:
            if line == "data: [DONE]":
                self.done = True
            elif line.startswith("data: "):
                assert not self.done, f"after the end: {line}"
                self.events.append(json.loads(line.removeprefix("data: ")))
                yield self.events[-1]
            else:
                assert line in ("", ": keep-alive"), line

    def pieces(self) -> Iterator[str]:
        """Yield the text of each delta that contains any."""
        for event in self:
            for choice in event.get("choices", ()):
                if text := choice["delta"].get("content"):
                    yield text

    def first_piece(self) -> str:
        """Wait for the first text of the answer."""
        return next(self.pieces())

    @property
    def text(self) -> str:
        """The text received so far."""
        return "".join(
            choice["delta"].get("content") or "" for event in self.events for choice in event.get("choices", ())
        )

    @property
    def finish_reasons(self) -> list[str]:
        """Every `finish_reason` in the events received so far."""
        choices = [choice for event in self.events for choice in event.get("choices", ())]
        return [choice["finish_reason"] for choice in choices if choice["finish_reason"] is not None]

    @property
    def failure(self) -> dict[str, Any]:
        """The error that ended the answer. Fails if the answer ended without one."""
        *_, last = self.events
        assert set(last) == {"error"}
        assert self.done
        assert self.finish_reasons == []
        error: dict[str, Any] = last["error"]
        assert set(error) == {"message", "type", "param", "code"}
        return error


@contextmanager
def stream(url: str, body: dict[str, Any], **options: Any) -> Iterator[Stream]:
    """Request a stream. Leaving the block early closes the connection."""
    options = {"timeout": PATIENCE, "verify": PLAIN, **options}
    with httpx.stream("POST", url + "/v1/chat/completions", json={**body, "stream": True}, **options) as response:
        if response.status_code == 200:
            assert response.headers["content-type"].startswith("text/event-stream")
        else:
            response.read()
        yield Stream(response)


@contextmanager
def sent(url: str, body: dict[str, Any], path: str = "/v1/chat/completions") -> Iterator[socket.socket]:
    """Send a request without reading the answer. Leaving the block closes the connection."""
    content = json.dumps(body).encode()
    host, _, port = url.removeprefix("http://").rpartition(":")
    head = f"POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
    with socket.create_connection((host, int(port)), PATIENCE) as connection:
        connection.sendall(f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content)
        yield connection


def queue_stats(url: str, model: str | None = None) -> dict[str, Any]:
    """Counters of one model, or of all models together."""
    stats = httpx.get(f"{url}/v1/queue/stats", timeout=PATIENCE, verify=PLAIN).raise_for_status().json()
    counters: dict[str, Any] = stats["total"] if model is None else stats["models"][model]
    return counters


def eventually(holds: Callable[[], bool], within: float = PATIENCE, every: float = 0.01) -> float:
    """Poll until the condition is true. Returns the seconds that it took; fails after `within` seconds.

    Polls of a long wait come less often: they take processor time from the server and the browser.
    """
    begun = time.monotonic()
    while not holds():
        waited = time.monotonic() - begun
        if waited > within:
            pytest.fail(f"the condition is still false after {within} s")
        time.sleep(max(every, min(waited / 20, 0.05)))
    return time.monotonic() - begun
