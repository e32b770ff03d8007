"""An answer whose prompt may need a search first."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing

from msgspec import structs

from providers.chat.protocol import ChatProvider
from providers.chat.types import GenerationEvent, GenerationRequest
from server.api.grounding.grounding import Grounding

__all__ = ["GroundedAnswer"]


class GroundedAnswer:
    """The events of an answer. `grounding` is known before the first event; None: nothing was searched."""

    def __init__(
        self, chat: ChatProvider, request: GenerationRequest, find: Callable[[], Awaitable[Grounding]] | None
    ) -> None:
        self._chat, self._request, self._find = chat, request, find
        self.grounding: Grounding | None = None

    def events(self) -> AsyncGenerator[GenerationEvent, None]:
        """The search, then the answer. Raises as both."""
        return self._chat.generate(self._request) if self._find is None else self._found(self._find)

    async def _found(self, find: Callable[[], Awaitable[Grounding]]) -> AsyncGenerator[GenerationEvent, None]:
        self.grounding = await find()
        request = structs.replace(self._request, prompt=self.grounding.prompt)
        async with aclosing(self._chat.generate(request)) as events:
            async for event in events:
                yield event
