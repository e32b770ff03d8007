"""Providers with a script per test, and the registry that serves them."""

from __future__ import annotations

import asyncio
import re
import struct
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import NoReturn, TypeVar, cast

import attrs
from msgspec import structs

from providers.chat.types import (
    Accepted,
    ChatPrompt,
    Finished,
    GenerationEvent,
    GenerationRequest,
    Prompt,
    SamplingParams,
    TextDelta,
    TextPrompt,
    Usage,
    content_text,
)
from providers.embeddings.types import (
    Embedded,
    EmbeddingEvent,
    EmbeddingRequest,
    Ranked,
    RerankRequest,
    TokenPlaces,
    Vectors,
)
from providers.errors import InvalidRequest, ModelNotFound, QueueFull
from providers.protocols import Capability, Medium, ModelCard, ModelStatus, Provider, QueueStats, ResidentState
from providers.spec import ModelSpec

P = TypeVar("P", bound=Provider)

Script = Callable[[GenerationRequest], AsyncGenerator[GenerationEvent, None]]

FINISHED = Finished("stop", Usage(5, 2, 3), prefill_seconds=0.1, decode_seconds=0.2)


async def hello(request: GenerationRequest) -> AsyncGenerator[GenerationEvent, None]:
    yield Accepted(5, 3)
    for index in range(request.n):
        yield TextDelta("Hel", index=index)
        yield TextDelta("lo", index=index)
        yield structs.replace(FINISHED, index=index)


def prompt_text(prompt: Prompt) -> str:
    """Every character is a token of this fake, by its ASCII code."""
    if isinstance(prompt, ChatPrompt):
        return "\n".join(
            content_text(message.content, picture="[image {width}x{height}]") for message in prompt.messages
        )
    return prompt.text if isinstance(prompt, TextPrompt) else "".join(map(chr, prompt.tokens))


@attrs.define(kw_only=True)
class FakeChat:
    """Answers by its script; remembers its requests, and whether its generators were closed."""

    name: str = "org/fake"
    script: Script = hello
    status: ModelStatus = "ready"
    queue_stats: QueueStats = attrs.field(factory=QueueStats)
    full: bool = False
    requests: list[GenerationRequest] = attrs.field(factory=list)
    started: asyncio.Event = attrs.field(factory=asyncio.Event)
    closed: asyncio.Event = attrs.field(factory=asyncio.Event)
    draining: bool = False
    max_concurrency: int = 8
    lazy: bool = False
    sampling: SamplingParams = attrs.field(factory=SamplingParams)
    max_tokens: int | None = None
    context_length: int = 4096
    reads: tuple[Medium, ...] = ()
    tokenized: list[tuple[Prompt, bool | None]] = attrs.field(factory=list)

    @property
    def spec(self) -> ModelSpec:
        return ModelSpec(
            name=self.name,
            path="",
            model_type="echo",
            max_concurrency=self.max_concurrency,
            lazy=self.lazy,
            max_tokens=self.max_tokens,
        )

    @property
    def card(self) -> ModelCard:
        return ModelCard(
            id=self.name,
            created=1_700_000_000,
            capabilities=("chat",),
            status=self.status,
            context_length=self.context_length,
            sampling=self.sampling,
            on_demand=self.lazy,
            reads=self.reads,
        )

    @property
    def memory(self) -> ResidentState:
        return ResidentState(memory=7, uses=1)

    async def start(self) -> None: ...

    async def wait_ready(self) -> None: ...

    def begin_load(self) -> None: ...

    async def load(self) -> None: ...

    async def unload(self) -> None: ...

    def pin(self, pinned: bool) -> None: ...

    async def stop(self) -> None: ...

    def refuse_full(self) -> NoReturn:
        raise QueueFull("as many as may")

    def begin_drain(self) -> None:
        self.draining = True

    async def tokenize(self, prompt: Prompt, *, add_special_tokens: bool | None = None) -> list[int]:
        self.tokenized.append((prompt, add_special_tokens))
        return [*prompt_text(prompt).encode()]

    async def detokenize(self, tokens: Sequence[int]) -> str:
        return "".join(await self.token_strings(tokens))

    async def token_strings(self, tokens: Sequence[int]) -> list[str]:
        if max(tokens, default=0) > 127:
            raise InvalidRequest(f"token id {max(tokens)} is not in the vocabulary", param="tokens")
        return [chr(token) for token in tokens]

    async def generate(self, request: GenerationRequest) -> AsyncGenerator[GenerationEvent, None]:
        self.requests.append(request)
        self.started.set()
        try:
            async for event in self.script(request):
                yield event
        finally:
            self.closed.set()


@attrs.define(kw_only=True)
class FakeEmbedder:
    """Every vector is the length of its input, its place, and a tenth; a score is the length of its document.

    Vectors come in pieces of two, the last first.
    """

    name: str = "org/vectors"
    blocks: bool = False
    requests: list[EmbeddingRequest | RerankRequest] = attrs.field(factory=list)
    started: asyncio.Event = attrs.field(factory=asyncio.Event)
    closed: asyncio.Event = attrs.field(factory=asyncio.Event)
    queue_stats: QueueStats = attrs.field(factory=QueueStats)
    full: bool = False

    @property
    def spec(self) -> ModelSpec:
        return ModelSpec(name=self.name, path="", model_type="embeddings")

    @property
    def card(self) -> ModelCard:
        return ModelCard(id=self.name, created=1_700_000_000, capabilities=("embeddings",), status="ready")

    @property
    def memory(self) -> ResidentState:
        return ResidentState(memory=7, uses=1)

    async def start(self) -> None: ...

    async def wait_ready(self) -> None: ...

    def begin_load(self) -> None: ...

    async def load(self) -> None: ...

    async def unload(self) -> None: ...

    def pin(self, pinned: bool) -> None: ...

    async def stop(self) -> None: ...

    def refuse_full(self) -> NoReturn:
        raise QueueFull("as many as may")

    def begin_drain(self) -> None: ...

    async def embed(self, request: EmbeddingRequest) -> AsyncGenerator[EmbeddingEvent, None]:
        self.requests.append(request)
        self.started.set()
        try:
            if self.blocks:
                await asyncio.Event().wait()
            rows = [[len(given), index, 0.1] for index, given in enumerate(request.inputs)]
            for start in range(0, len(rows), 2)[::-1]:
                indexes = [*range(start, min(start + 2, len(rows)))]
                yield Vectors(indexes, b"".join(struct.pack("<3f", *rows[index]) for index in indexes))
            yield Embedded(3, sum(map(len, request.inputs)), 0.01)
        finally:
            self.closed.set()

    async def rerank(self, request: RerankRequest) -> AsyncGenerator[EmbeddingEvent, None]:
        self.requests.append(request)
        scores = struct.pack(f"<{len(request.documents)}f", *map(len, request.documents))
        yield Ranked(scores, self.name == "cross", 7, 0.01)

    async def locate(self, text: str) -> TokenPlaces:
        """Every word is a token."""
        return TokenPlaces([word.start() for word in re.finditer(r"\S+", text)], 60)


@attrs.define
class FakeRegistry:
    """Serves these providers, by the same naming rules as the real registry."""

    chats: Sequence[FakeChat | FakeEmbedder]
    stopped: bool = False
    memory_limit: int | None = None

    async def start(self) -> None: ...

    async def stop(self) -> None:
        self.stopped = True

    def begin_drain(self) -> None:
        for chat in self.chats:
            chat.begin_drain()

    def providers(self) -> Sequence[Provider]:
        return self.chats

    def card(self, model_id: str) -> ModelCard:
        return self._find(model_id).card

    def provider(self, model_id: str) -> Provider:
        return self._find(model_id)

    def find(self, capability: Capability[P], model_name: str) -> P:
        able = self.available(capability)
        if len(able) == 1:
            return able[0]
        return cast(P, self._find(model_name if able else f"{model_name} for {capability.name}"))

    def available(self, capability: Capability[P]) -> list[P]:
        return [cast(P, provider) for provider in self.chats if capability.name in provider.card.capabilities]

    def _find(self, name: str) -> FakeChat | FakeEmbedder:
        for chat in self.chats:
            if chat.name == name:
                return chat
        raise ModelNotFound(f"no model is named {name!r}", param="model")
