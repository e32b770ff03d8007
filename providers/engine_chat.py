"""The chat provider that answers from an engine process."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence

from providers._queued import QueuedChatProvider
from providers.errors import ServiceError
from providers.frames import Detokenize, Detokenized, Tokenize, Tokenized
from providers.generation import GenerationEvent, GenerationRequest, Prompt
from providers.host import EngineHost
from providers.protocols import ModelStatus
from providers.spec import ModelSpec

__all__ = ["EngineChatProvider"]


class EngineChatProvider(QueuedChatProvider):
    """A `ChatProvider` whose model lives in a process of its own."""

    def __init__(self, spec: ModelSpec, *, host: EngineHost | None = None) -> None:
        super().__init__(spec)
        self.host = host or EngineHost(spec)

    @property
    def _status(self) -> ModelStatus:
        return self.host.status

    @property
    def _context_length(self) -> int | None:
        info = self.host.info
        if info is None:
            return None
        limit = self._spec.context_length
        return limit if info.context_length is None else min(limit, info.context_length)

    @property
    def _detail(self) -> str | None:
        return self.host.detail

    async def start(self) -> None:
        self.host.start()

    async def wait_ready(self) -> None:
        await self.host.wait_ready()

    async def stop(self) -> None:
        self._queue.begin_drain()
        await self.host.stop()

    async def tokenize(self, prompt: Prompt, *, add_special_tokens: bool | None = None) -> list[int]:
        answer = await self.host.ask(Tokenize("", prompt, add_special_tokens))
        assert isinstance(answer, Tokenized)
        return answer.tokens

    async def detokenize(self, tokens: Sequence[int]) -> str:
        return "".join(await self._texts(tokens, separately=False))

    async def token_strings(self, tokens: Sequence[int]) -> list[str]:
        return await self._texts(tokens, separately=True)

    async def _texts(self, tokens: Sequence[int], *, separately: bool) -> list[str]:
        answer = await self.host.ask(Detokenize("", [*tokens], separately))
        assert isinstance(answer, Detokenized)
        return answer.texts

    def _refusal(self) -> ServiceError | None:
        return self.host.refusal()

    async def _events(self, request: GenerationRequest) -> AsyncGenerator[GenerationEvent, None]:
        stream = self.host.open(request)
        try:
            async for event in stream:
                yield event
        finally:
            # Frees the slot too: the next request's command follows the cancellation's on the socket.
            stream.close()
