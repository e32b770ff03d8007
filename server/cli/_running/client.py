"""A small client of a running server, for the terminal commands: models, streamed answers, streamed speech."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import Any, overload
from urllib.parse import urlsplit

import attrs
import httpx

__all__ = ["Answered", "Client", "ClientError", "Passages", "Piece", "Sound", "Step", "is_remote"]

_STEP = re.compile(r": image (\d{1,9})/(\d{1,9}) step (\d{1,9})/(\d{1,9})")


class ClientError(Exception):
    """Raised when the server cannot be reached or refuses a request; the message is for the user."""


@attrs.frozen
class Piece:
    """Text to show; `reasoning` is True for the model's reasoning, False for its answer."""

    text: str
    reasoning: bool = False


@attrs.frozen
class Sound:
    """A spoken part of the answer: 16-bit mono PCM at 24 kHz, and its words as the server sends them."""

    pcm: bytes
    words: list[dict[str, Any]]


@attrs.frozen
class Passages:
    """What the prompt holds of files, as the server sends it."""

    passages: list[dict[str, Any]]


@attrs.frozen
class Answered:
    """The end of an answer."""

    finish_reason: str | None
    completion_tokens: int | None = None


@attrs.frozen
class Step:
    """A step of an image is done. All numbers count from 1."""

    image: int
    images: int
    step: int
    steps: int


class Client:
    """Client of one server. The caller closes it."""

    def __init__(self, url: str, api_key: str | None = None) -> None:
        self.url = _root(url)
        headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        # No read timeout: an answer may take long, and the server's heartbeats show that it is alive.
        self._http = httpx.Client(
            base_url=self.url, headers=headers, timeout=httpx.Timeout(None, connect=5.0), trust_env=is_remote(self.url)
        )

    def close(self) -> None:
        self._http.close()

    def models(self, capability: str = "chat") -> list[str]:
        """Ids of the models with `capability`, or of all models if the server does not list capabilities.

        Raises:
            ClientError: the server cannot be reached or refused the request.
        """
        try:
            response = self._http.get("/v1/models", timeout=10.0)
            _raise_for_error(response)
            items = [item for item in response.json()["data"] if isinstance(item, dict)]
        except httpx.HTTPError as error:
            raise self._unreachable(error) from None
        except (ValueError, KeyError, TypeError):
            raise ClientError(f"{self.url} is not an OpenAI-compatible server") from None
        return [str(item["id"]) for item in items if capability in item.get("capabilities", [capability])]

    def call(self, method: str, path: str, **request: Any) -> Any:
        """The JSON of a response.

        Raises:
            ClientError: the server cannot be reached or refused the request.
        """
        try:
            response = self._http.request(method, path, **request)
            _raise_for_error(response)
            return response.json()
        except httpx.HTTPError as error:
            raise self._unreachable(error) from None
        except ValueError:
            raise ClientError(f"{self.url} is not an OpenAI-compatible server") from None

    def upload(self, path: Path) -> str:
        """Upload a file. Returns its id.

        Raises:
            ClientError: the file cannot be read, or as `call`.
        """
        try:
            data = path.read_bytes()
        except OSError as error:
            raise ClientError(f"cannot read {path}: {error.strerror}") from None
        fields = {"data": {"purpose": "assistants"}, "files": {"file": (path.name, data)}}
        return str(self.call("POST", "/v1/files", **fields)["id"])

    def answer(self, body: dict[str, Any]) -> Generator[Passages | Piece | Sound | Answered]:
        """Stream one answer; the last item is `Answered`. `Sound` comes if the body asks for audio, in `pcm16`.
        `Passages` comes first if the body has a `context`.

        Closing the iterator closes the connection.

        Raises:
            ClientError: the request was refused, the stream broke, or the server cannot be reached. The iterator has
                already returned the items before the failure.
        """
        yield from _pieces(self._events("/v1/chat/completions", {**body, "stream": True}))

    def speech(self, body: dict[str, Any]) -> Generator[dict[str, Any]]:
        """Stream synthesized speech as the server's events; the last is `speech.audio.done`. Closing the iterator
        closes the connection.

        Raises:
            ClientError: the request was refused, the stream broke, or the server cannot be reached.
        """
        last = None
        for event in self._events("/v1/audio/speech", {**body, "stream_format": "sse"}):
            last = event.get("type")
            yield event
        if last != "speech.audio.done":
            raise ClientError("the server does not stream speech with timings")

    def images(self, body: dict[str, Any], files: Sequence[tuple[str, Path]] = ()) -> Generator[dict[str, Any] | Step]:
        """Stream images as the server's events, with each `Step` between them. `files` are edited: fields and paths.
        Closing the iterator closes the connection.

        Raises:
            ClientError: a file cannot be read, the request was refused, the stream broke, or the server cannot be
                reached.
        """
        body = {**body, "stream": True}
        if not files:
            yield from self._events("/v1/images/generations", body, comments=True)
            return
        try:
            contents = [(name, (path.name, path.read_bytes())) for name, path in files]
        except OSError as error:
            raise ClientError(f"cannot read {error.filename}: {error.strerror}") from None
        form = {name: str(value) for name, value in body.items()}
        yield from self._events("/v1/images/edits", comments=True, data=form, files=contents)

    @overload
    def _events(self, path: str, body: dict[str, Any]) -> Generator[dict[str, Any]]: ...

    @overload
    def _events(
        self, path: str, body: dict[str, Any] | None = None, *, comments: bool, **form: Any
    ) -> Generator[dict[str, Any] | Step]: ...

    def _events(
        self, path: str, body: dict[str, Any] | None = None, *, comments: bool = False, **form: Any
    ) -> Generator[Any]:
        """The server's events before `[DONE]`, and, of its comments, those that name a step."""
        try:
            with self._http.stream("POST", path, json=body, **form) as response:
                if response.status_code != httpx.codes.OK:
                    response.read()
                _raise_for_error(response)
                yield from _decoded(response.iter_lines(), comments=comments)
        except httpx.HTTPError as error:
            raise self._unreachable(error) from None

    def _unreachable(self, error: httpx.HTTPError) -> ClientError:
        if isinstance(error, (httpx.ConnectError, httpx.ConnectTimeout)):
            return ClientError(f"no server responds at {self.url}; start one with `mlx-openai-server launch`")
        return ClientError(f"the connection to {self.url} broke: {error or type(error).__name__}")


def _decoded(lines: Iterator[str], *, comments: bool) -> Iterator[dict[str, Any] | Step]:
    for line in lines:
        if comments and (found := _STEP.fullmatch(line)):
            yield Step(*map(int, found.groups()))
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


def _pieces(events: Iterator[dict[str, Any]]) -> Iterator[Passages | Piece | Sound | Answered]:
    finish_reason, tokens = None, None
    for event in events:
        try:
            tokens = (event.get("usage") or {}).get("completion_tokens", tokens)
            if event.get("context"):
                yield Passages(list(event["context"]["passages"]))
            for choice in event.get("choices", [])[:1]:
                delta = choice.get("delta") or {}
                if delta.get("reasoning_content"):
                    yield Piece(delta["reasoning_content"], reasoning=True)
                if delta.get("content"):
                    yield Piece(delta["content"])
                if delta.get("audio"):
                    yield from _spoken(delta["audio"])
                finish_reason = choice.get("finish_reason") or finish_reason
        except (AttributeError, KeyError, TypeError, ValueError):
            raise _nonsense(json.dumps(event)) from None
    yield Answered(finish_reason, tokens)


def _spoken(audio: dict[str, Any]) -> Iterator[Piece | Sound]:
    if audio.get("transcript"):
        yield Piece(audio["transcript"])
    if audio.get("data"):
        yield Sound(base64.b64decode(audio["data"]), audio.get("words", []))


def _nonsense(data: str) -> ClientError:
    return ClientError(f"the server sent data that is not part of an answer: {data[:200]}")


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
    """The server's URL without a path: `127.0.0.1:8000`, `http://…:8000/` and `http://…:8000/v1` are equivalent."""
    url = url if "://" in url else f"http://{url}"
    return url.rstrip("/").removesuffix("/v1")


def is_remote(url: str) -> bool:
    """False for a server on this machine, for which the environment's proxies must not be used."""
    return urlsplit(url).hostname not in {"127.0.0.1", "localhost", "::1"}
