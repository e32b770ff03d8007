"""A small client of a running server, for the terminal: models, a streamed answer, a streamed speech."""

from __future__ import annotations

import json
from collections.abc import Generator, Iterator
from typing import Any
from urllib.parse import urlsplit

import attrs
import httpx

__all__ = ["Answered", "Client", "ClientError", "Piece"]


class ClientError(Exception):
    """The server cannot be reached or refused; the message is for the user."""


@attrs.frozen
class Piece:
    """Text to show; `reasoning` is thought aloud, not answered."""

    text: str
    reasoning: bool = False


@attrs.frozen
class Answered:
    """How the answer ended."""

    finish_reason: str | None
    completion_tokens: int | None = None


class Client:
    """Talks to one server. Close it."""

    def __init__(self, url: str, api_key: str | None = None) -> None:
        self.url = _root(url)
        headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        # Answers take as long as they take: the server's heartbeats, not a timeout, tell that it lives.
        self._http = httpx.Client(
            base_url=self.url, headers=headers, timeout=httpx.Timeout(None, connect=5.0), trust_env=_is_remote(self.url)
        )

    def close(self) -> None:
        self._http.close()

    def models(self, capability: str = "chat") -> list[str]:
        """Ids of the models that can do this, or of all where the server does not tell capabilities.

        Raises:
            ClientError: no server there, or it refused.
        """
        try:
            response = self._http.get("/v1/models", timeout=10.0)
            _raise_for_error(response)
            items = [item for item in response.json()["data"] if isinstance(item, dict)]
        except httpx.HTTPError as error:
            raise self._unreachable(error) from None
        except (ValueError, KeyError, TypeError):
            raise ClientError(f"{self.url} does not answer like an OpenAI server") from None
        return [str(item["id"]) for item in items if capability in item.get("capabilities", [capability])]

    def answer(self, body: dict[str, Any]) -> Generator[Piece | Answered]:
        """Stream one answer; the last item is `Answered`. Closing the iterator closes the connection.

        Raises:
            ClientError: refused, broken off, or unreachable. What came before it was shown already.
        """
        yield from _pieces(self._events("/v1/chat/completions", {**body, "stream": True}))

    def speech(self, body: dict[str, Any]) -> Generator[dict[str, Any]]:
        """Stream one speech as the server's events, of which `speech.audio.done` is the last. Closing the iterator
        closes the connection.

        Raises:
            ClientError: refused, broken off, or unreachable.
        """
        last = None
        for event in self._events("/v1/audio/speech", {**body, "stream_format": "sse"}):
            last = event.get("type")
            yield event
        if last != "speech.audio.done":
            raise ClientError("the server does not stream speech with its times")

    def _events(self, path: str, body: dict[str, Any]) -> Generator[dict[str, Any]]:
        """What the server sends before its `[DONE]`."""
        try:
            with self._http.stream("POST", path, json=body) as response:
                if response.status_code != httpx.codes.OK:
                    response.read()
                _raise_for_error(response)
                yield from _decoded(response.iter_lines())
        except httpx.HTTPError as error:
            raise self._unreachable(error) from None

    def _unreachable(self, error: httpx.HTTPError) -> ClientError:
        if isinstance(error, (httpx.ConnectError, httpx.ConnectTimeout)):
            return ClientError(f"nothing answers at {self.url}; start a server with `mlx-openai-server launch`")
        return ClientError(f"the connection to {self.url} broke: {error or type(error).__name__}")


def _decoded(lines: Iterator[str]) -> Iterator[dict[str, Any]]:
    for line in lines:
        if not line.startswith("data:"):
            continue  # a heartbeat, or the blank line between events
        data = line.removeprefix("data:").strip()
        if data == "[DONE]":
            return
        try:
            event = json.loads(data)
            failed = "error" in event
        except (ValueError, TypeError):
            raise _nonsense(data) from None
        if not isinstance(event, dict):
            raise _nonsense(data)
        if failed:
            raise ClientError(_message(event))
        yield event
    raise ClientError("the connection closed before the answer was complete")


def _pieces(events: Iterator[dict[str, Any]]) -> Iterator[Piece | Answered]:
    finish_reason, tokens = None, None
    for event in events:
        try:
            tokens = (event.get("usage") or {}).get("completion_tokens", tokens)
            for choice in event.get("choices", [])[:1]:
                delta = choice.get("delta") or {}
                if delta.get("reasoning_content"):
                    yield Piece(delta["reasoning_content"], reasoning=True)
                if delta.get("content"):
                    yield Piece(delta["content"])
                finish_reason = choice.get("finish_reason") or finish_reason
        except (AttributeError, TypeError):
            raise _nonsense(json.dumps(event)) from None
    yield Answered(finish_reason, tokens)


def _nonsense(data: str) -> ClientError:
    return ClientError(f"the server sent something that is no part of an answer: {data[:200]}")


def _raise_for_error(response: httpx.Response) -> None:
    if response.is_success:
        return
    try:
        message = _message(response.json())
    except (ValueError, AttributeError, TypeError):
        message = response.reason_phrase
    hint = "; pass it with --api-key or API_KEY" if response.status_code == httpx.codes.UNAUTHORIZED else ""
    raise ClientError(f"{message} (HTTP {response.status_code}){hint}")


def _message(body: dict[str, Any]) -> str:
    error = body.get("error")
    return str(error.get("message") or error) if isinstance(error, dict) else str(error)


def _root(url: str) -> str:
    """`127.0.0.1:8000`, `http://…:8000/` and `http://…:8000/v1` all mean the same server."""
    url = url if "://" in url else f"http://{url}"
    return url.rstrip("/").removesuffix("/v1")


def _is_remote(url: str) -> bool:
    """Proxies of the environment are not meant for this machine."""
    return urlsplit(url).hostname not in {"127.0.0.1", "localhost", "::1"}
