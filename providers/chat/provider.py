"""The chat provider that answers from an engine process."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from providers.chat.queued import QueuedChatProvider
from providers.chat.types import GenerationEvent, GenerationRequest, Prompt
from providers.engine_host.event_stream import Mailbox, TextMailbox
from providers.engine_host.frames import Detokenize, Detokenized, Tokenize, Tokenized
from providers.engine_host.provider import EngineProvider

__all__ = ["EngineChatProvider"]


class EngineChatProvider(EngineProvider[GenerationRequest, GenerationEvent], QueuedChatProvider):
    """A `ChatProvider` whose model lives in a process of its own."""

    async def tokenize(self, prompt: Prompt, *, add_special_tokens: bool | None = None) -> list[int]:
        answer = await self._ask(Tokenize("", prompt, add_special_tokens))
        assert isinstance(answer, Tokenized)
        return answer.tokens

    async def detokenize(self, tokens: Sequence[int]) -> str:
        return "".join(await self._texts(tokens, separately=False))

    async def token_strings(self, tokens: Sequence[int]) -> list[str]:
        return await self._texts(tokens, separately=True)

    async def _texts(self, tokens: Sequence[int], *, separately: bool) -> list[str]:
        answer = await self._ask(Detokenize("", [*tokens], separately))
        assert isinstance(answer, Detokenized)
        return answer.texts

    def _mailbox(self, request: GenerationRequest) -> Callable[[Callable[[bool], None]], Mailbox[GenerationEvent]]:
        return partial(TextMailbox, answers=request.n)
