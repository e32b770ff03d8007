"""Events folded into one whole answer, for every endpoint that does not stream."""

from __future__ import annotations

from collections.abc import AsyncIterator

import attrs

from providers.errors import InternalError
from providers.generation import Finished, FinishReason, GenerationEvent, TextDelta, Usage

__all__ = ["Answer", "collect"]


@attrs.frozen(kw_only=True)
class Answer:
    """What a model said, why it stopped, and what it cost."""

    text: str
    finish_reason: FinishReason
    usage: Usage


async def collect(events: AsyncIterator[GenerationEvent]) -> Answer:
    """Read an answer to its end.

    Raises:
        InternalError: the events ended without `Finished`.
        ServiceError: whatever the provider raises.
    """
    pieces: list[str] = []
    async for event in events:
        if isinstance(event, TextDelta):
            pieces.append(event.text)
        elif isinstance(event, Finished):
            return Answer(text="".join(pieces), finish_reason=event.finish_reason, usage=event.usage)
    raise InternalError("the answer ended without a last event")
