"""The Protocol of models that chat."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import Protocol, runtime_checkable

from providers.chat.types import GenerationEvent, GenerationRequest, Prompt
from providers.protocols import Capability, Provider

__all__ = ["CHAT", "ChatProvider"]


@runtime_checkable
class ChatProvider(Provider, Protocol):
    """Generates text."""

    def generate(self, request: GenerationRequest) -> AsyncGenerator[GenerationEvent, None]:
        """Queue, then generate: `Accepted`, then deltas, then `Finished`.

        Closing or cancelling the generator at any point frees its place within one decode step; consume it
        under `contextlib.aclosing`. A generator that ends without `Finished` has raised.

        Raises:
            QueueFull, QueueTimeout, ModelNotReady: before admission.
            InvalidRequest, ContextLengthExceeded, UnsupportedParameter: instead of `Accepted`.
            GenerationTimeout, EngineCrashed, InternalError: at any point.
        """
        ...

    async def tokenize(self, prompt: Prompt, *, add_special_tokens: bool | None = None) -> list[int]:
        """The prompt's token ids, chat template applied; takes no place in the queue.

        `add_special_tokens` None: as `generate` would.

        Raises:
            ModelNotReady, EngineCrashed: the model cannot answer.
            InvalidRequest: the prompt cannot be rendered or tokenised.
        """
        ...

    async def detokenize(self, tokens: Sequence[int]) -> str:
        """The text of these token ids, special tokens included.

        Raises:
            ModelNotReady, EngineCrashed: the model cannot answer.
            InvalidRequest: an id is not in the vocabulary.
        """
        ...

    async def token_strings(self, tokens: Sequence[int]) -> list[str]:
        """Each token as the vocabulary writes it. Raises as `detokenize`."""
        ...


CHAT: Capability[ChatProvider] = Capability("chat", "chats")
