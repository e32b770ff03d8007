"""The real application over a scripted model, for `granian --factory tests.compat.scripted_service:create_app`."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Iterator

from litestar import Litestar

from providers.chat.types import (
    Accepted,
    Finished,
    FinishReason,
    GenerationEvent,
    GenerationRequest,
    TextDelta,
    ToolCallDelta,
    Usage,
)
from providers.echo.provider import EchoProvider
from providers.registry import ModelRegistry
from providers.spec import ModelSpec
from server import app
from server.run.parent_watch import Lifecycle
from server.settings.settings import Settings
from tests.compat.scripted_model import Call, reply
from tests.unit.server.fakes import FakeEmbedder

__all__ = ["MODEL", "create_app"]

MODEL = "scripted"
EMBEDDER = "scripted-embeddings"

_TOKEN = re.compile(r"\S+\s*|\s+")
_PART = 5
"""Characters of a call's arguments per event."""
PACE = 0.002
"""Seconds before each event: some judges require that an answer takes a measurable time."""


class ScriptedProvider(EchoProvider):
    """Answers by `scripted_model`; queue, spans, token counts and the context length are the echo's."""

    async def _chat_events(self, request: GenerationRequest) -> AsyncGenerator[GenerationEvent, None]:
        prompt_tokens = self._checked_prompt_tokens(request)
        answer = reply(request.prompt, request.grammar)
        yield Accepted(prompt_tokens, 0)
        for index in range(request.n):
            tokens = 0
            if answer.calls:
                reason: FinishReason = "tool_calls"
                stop = None
                for event in _call_events(answer.calls, request.id, index):
                    await asyncio.sleep(PACE)
                    tokens += event.tokens
                    yield event
            else:
                text, stop = _until_stop(answer.text, request.stop)
                words = _TOKEN.findall(text)
                bound = len(words) if request.max_tokens in (None, -1) else request.max_tokens
                reason = "length" if len(words) > bound else "stop"
                for word in words[:bound]:
                    await asyncio.sleep(PACE)
                    tokens += 1
                    yield TextDelta(word, index=index)
            usage = Usage(prompt_tokens, tokens)
            yield Finished(reason, usage, prefill_seconds=0.0, decode_seconds=0.0, index=index, stop=stop)


def _call_events(calls: tuple[Call, ...], id: str, index: int) -> Iterator[ToolCallDelta]:
    for number, call in enumerate(calls):
        yield ToolCallDelta(number, id=f"call_{id[-8:]}_{number}", name=call.name, index=index)
        for start in range(0, len(call.arguments), _PART):
            yield ToolCallDelta(number, call.arguments[start : start + _PART], index=index)


def _until_stop(text: str, stops: list[str]) -> tuple[str, str | None]:
    """The text up to the first stop string, and that string."""
    found = ((place, stop) for stop in stops if (place := text.find(stop)) >= 0)
    end, stopped = min(found, default=(len(text), None))
    return text[:end], stopped


def create_app() -> Litestar:
    specs = (
        ModelSpec(name=MODEL, path="", model_type="echo"),
        ModelSpec(name=EMBEDDER, path="", model_type="embeddings"),
    )
    factories = {"echo": ScriptedProvider, "embeddings": lambda spec: FakeEmbedder(name=spec.name)}
    return app.create_app(
        Settings(models=specs),
        ModelRegistry(specs, factories=factories),  # type: ignore[arg-type]
        lifecycle=Lifecycle(),
    )
