"""One streamed chat request against any OpenAI-compatible server, timed chunk by chunk."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import attrs
import httpx
import msgspec

__all__ = ["Sample", "Workload", "stream_chat"]


@attrs.frozen(kw_only=True)
class Workload:
    """What every request of a run asks for."""

    model: str
    prompts: tuple[str, ...]
    """Request number `i` of a run sends `prompts[i % len(prompts)]`."""
    max_tokens: int = 64
    temperature: float = 0.0
    parameters: Mapping[str, Any] = attrs.field(factory=dict)
    """Further parameters of the body."""

    def body(self, index: int) -> dict[str, Any]:
        return {
            "model": self.model,
            "messages": [{"role": "user", "content": self.prompts[index % len(self.prompts)]}],
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
    """When each chunk with text arrived."""
    completion_tokens: int
    """From `usage`; where a server sends none, the number of chunks with text."""
    prompt_tokens: int = 0
    """From `usage`; 0 where a server sends none."""
    cached_tokens: int = 0
    """Of the prompt's, those that the server had kept; 0 where it does not tell."""
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


async def stream_chat(client: httpx.AsyncClient, url: str, body: dict[str, Any], epoch: float) -> Sample:
    """Send `body` to `url`/chat/completions and time the answer; failures become `Sample.error`, never exceptions."""
    started = time.perf_counter() - epoch
    chunks: list[float] = []
    text = ""
    usage: dict[str, Any] = {}
    finish, error = None, None
    try:
        async with client.stream("POST", f"{url}/chat/completions", json=body) as response:
            if response.status_code != 200:
                error = f"{response.status_code}: {(await response.aread())[:200].decode(errors='replace')}"
            async for line in response.aiter_lines() if error is None else _nothing():
                if not line.startswith("data: ") or line == "data: [DONE]":
                    continue
                now = time.perf_counter() - epoch
                chunk = msgspec.json.decode(line[6:])
                if "error" in chunk:
                    error = str(chunk["error"].get("message"))
                    break
                usage = chunk.get("usage") or usage
                for choice in chunk.get("choices", ()):
                    if piece := choice.get("delta", {}).get("content"):
                        chunks.append(now)
                        text += piece
                    finish = choice.get("finish_reason") or finish
    except (httpx.HTTPError, msgspec.DecodeError) as exc:
        error = f"{type(exc).__name__}: {exc}"
    return Sample(
        started=started,
        ended=time.perf_counter() - epoch,
        chunks=tuple(chunks),
        completion_tokens=usage.get("completion_tokens") or len(chunks),
        prompt_tokens=usage.get("prompt_tokens", 0),
        cached_tokens=(usage.get("prompt_tokens_details") or {}).get("cached_tokens") or 0,
        text=text,
        finish_reason=finish,
        error=error,
    )


async def _nothing() -> Any:
    return
    yield
