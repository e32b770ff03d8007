"""One streamed chat request against any OpenAI-compatible server, timed chunk by chunk."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import attrs
import httpx
import msgspec

__all__ = ["Sample", "Workload", "stream_chat"]


@attrs.frozen(kw_only=True)
class Workload:
    """The content of every request in a run."""

    model: str
    prompts: tuple[str, ...]
    """Request number `i` of a run sends `prompts[i % len(prompts)]`."""
    system: str = ""
    """System message of every request; empty for none."""
    max_tokens: int = 64
    temperature: float = 0.0
    parameters: Mapping[str, Any] = attrs.field(factory=dict)
    """More parameters of the request body."""

    def messages(self, index: int) -> list[dict[str, str]]:
        shared = [{"role": "system", "content": self.system}] if self.system else []
        return [*shared, {"role": "user", "content": self.prompts[index % len(self.prompts)]}]

    def body(self, index: int) -> dict[str, Any]:
        return {
            "model": self.model,
            "messages": self.messages(index),
            "max_tokens": self.max_tokens,
            "temperature": self.temperature,
            "stream": True,
            "stream_options": {"include_usage": True},
            **self.parameters,
        }


@attrs.frozen(kw_only=True)
class Sample:
    """One request. Times are seconds since the run began (`started`, `chunks`, `ended`) on the client's clock."""

    started: float
    ended: float
    chunks: tuple[float, ...]
    """Arrival time of each chunk with text."""
    completion_tokens: int
    """From `usage`; if the server sends none, the number of chunks with text."""
    prompt_tokens: int = 0
    """From `usage`; 0 if the server sends none."""
    cached_tokens: int = 0
    """Prompt tokens that the server reports as cached."""
    has_usage: bool = True
    """False if `completion_tokens` counts chunks."""
    text: str = ""
    finish_reason: str | None = None
    error: str | None = None

    @property
    def first_token_seconds(self) -> float:
        return self.chunks[0] - self.started if self.chunks else float("nan")

    @property
    def gaps(self) -> list[float]:
        """Seconds between neighbouring chunks."""
        return [after - before for before, after in zip(self.chunks, self.chunks[1:], strict=False)]


async def stream_chat(
    client: httpx.AsyncClient,
    url: str,
    body: dict[str, Any],
    epoch: float,
    on_chunk: Callable[[int], None] = lambda count: None,
) -> Sample:
    """Send `body` to `url`/chat/completions and time the answer. A failure becomes `Sample.error`, not an exception.
    `on_chunk` is called with the number of chunks with text so far."""
    started = time.perf_counter() - epoch
    answer = _Answer(on_chunk)
    error: str | None = None
    try:
        async with client.stream("POST", f"{url}/chat/completions", json=body) as response:
            if response.status_code != httpx.codes.OK:
                content = (await response.aread())[:200].decode(errors="replace")
                error = f"{response.status_code}: {content}"
            else:
                error = await answer.read(response.aiter_lines(), epoch)
    except httpx.HTTPError as exc:
        error = f"{type(exc).__name__}: {exc}"
    except (msgspec.DecodeError, AttributeError, TypeError) as exc:
        error = f"not an answer of an OpenAI-compatible server: {exc}"
    return answer.sample(started, time.perf_counter() - epoch, error)


@attrs.define
class _Answer:
    """The part of one answer that has arrived."""

    on_chunk: Callable[[int], None]
    chunks: list[float] = attrs.field(factory=list)
    text: list[str] = attrs.field(factory=list)
    usage: dict[str, Any] = attrs.field(factory=dict)
    finish: str | None = None

    async def read(self, lines: AsyncIterator[str], epoch: float) -> str | None:
        """Read an event stream. Returns the error that the server sent in it, None if there was none."""
        async for line in lines:
            data = line.removeprefix("data:").strip()
            if not line.startswith("data:") or data == "[DONE]":
                continue
            now = time.perf_counter() - epoch
            chunk = msgspec.json.decode(data)
            if "error" in chunk:
                failure = chunk["error"]
                return str(failure.get("message") if isinstance(failure, dict) else failure)
            self._take(chunk, now)
        return None if self.finish or self.chunks else "the stream ended without an answer"

    def _take(self, chunk: dict[str, Any], now: float) -> None:
        self.usage = chunk.get("usage") or self.usage
        for choice in chunk.get("choices") or ():
            delta = choice.get("delta") or {}
            # Reasoning tokens count too; servers use two names for them.
            piece = delta.get("content") or delta.get("reasoning_content") or delta.get("reasoning")
            if piece:
                self.chunks.append(now)
                self.text.append(piece)
                self.on_chunk(len(self.chunks))
            self.finish = choice.get("finish_reason") or self.finish

    def sample(self, started: float, ended: float, error: str | None) -> Sample:
        counted = self.usage.get("completion_tokens")
        details = self.usage.get("prompt_tokens_details") or {}
        return Sample(
            started=started,
            ended=ended,
            chunks=tuple(self.chunks),
            completion_tokens=len(self.chunks) if counted is None else counted,
            prompt_tokens=self.usage.get("prompt_tokens") or 0,
            cached_tokens=details.get("cached_tokens") or 0,
            has_usage=counted is not None,
            text="".join(self.text),
            finish_reason=self.finish,
            error=error,
        )
