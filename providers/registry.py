"""Which model answers which name, and the models' common start and end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import cast

from providers.chat.provider import EngineChatProvider
from providers.embeddings.provider import EngineEmbeddingProvider
from providers.errors import ModelNotFound
from providers.protocols import ChatProvider, ModelCard, Provider
from providers.spec import Capability, ModelSpec, ModelType
from providers.speech.provider import EngineSpeechProvider
from providers.transcription.provider import EngineTranscriptionProvider

__all__ = ["PROVIDERS", "ModelRegistry", "ProviderFactory"]

ProviderFactory = Callable[[ModelSpec], Provider]


def _echo(spec: ModelSpec) -> Provider:
    """Imported where it is wanted alone: its voice needs numpy, for which no engine should wait."""
    from providers.echo.provider import EchoProvider

    return EchoProvider(spec)


PROVIDERS: Mapping[ModelType, ProviderFactory] = {
    "echo": _echo,
    "lm": EngineChatProvider,
    "embeddings": EngineEmbeddingProvider,
    "tts": EngineSpeechProvider,
    "whisper": EngineTranscriptionProvider,
}


class ModelRegistry:
    """The models of this server, in the order in which they were named.

    Raises:
        ValueError: two models have one name, a model type is not available in this version, or its settings are bad.
    """

    def __init__(
        self, specs: tuple[ModelSpec, ...], *, factories: Mapping[ModelType, ProviderFactory] = PROVIDERS
    ) -> None:
        self._providers: dict[str, Provider] = {}
        for spec in specs:
            if spec.name in self._providers:
                raise ValueError(f"two models are named {spec.name!r}")
            factory = factories.get(spec.model_type)
            if factory is None:
                known = ", ".join(sorted(factories))
                raise ValueError(
                    f"model type {spec.model_type!r} (of {spec.name!r}) is not available in this version; "
                    f"available: {known}"
                )
            self._providers[spec.name] = factory(spec)

    async def start(self) -> None:
        """Begin to load every model; return at once. Each `Provider.wait_ready` tells how it goes."""
        await asyncio.gather(*(provider.start() for provider in self._providers.values()))

    async def wait_ready(self) -> None:
        """Return when every model can answer; raise `ModelNotReady` as soon as one never will."""
        await asyncio.gather(*(provider.wait_ready() for provider in self._providers.values()))

    async def stop(self) -> None:
        """Release every model. Idempotent; one model's failure to stop keeps no other from it."""
        results = await asyncio.gather(
            *(provider.stop() for provider in self._providers.values()), return_exceptions=True
        )
        for result in results:
            if isinstance(result, BaseException):
                raise result

    def begin_drain(self) -> None:
        """Admit no more requests anywhere; those admitted go on. Idempotent."""
        for provider in self._providers.values():
            provider.begin_drain()

    def providers(self) -> tuple[Provider, ...]:
        return tuple(self._providers.values())

    def card(self, model_id: str) -> ModelCard:
        """The card of exactly this model.

        Raises:
            ModelNotFound: no model has this id.
        """
        provider = self._providers.get(model_id)
        if provider is None:
            raise _not_found(model_id, list(self._providers))
        return provider.card

    def chat(self, model_name: str) -> ChatProvider:
        """As `find`, for models that chat."""
        return cast(ChatProvider, self.find("chat", model_name))

    def find(self, capability: Capability, model_name: str) -> Provider:
        """The model of this capability and name; the only one of a capability answers to every name.

        Raises:
            ModelNotFound: none can do it, or several can and none is named so.
        """
        able = {name: p for name, p in self._providers.items() if capability in p.card.capabilities}
        if len(able) == 1:
            return next(iter(able.values()))
        if model_name not in able:
            raise _not_found(model_name, [*able], f"{_WHAT[capability]} ")
        return able[model_name]


_WHAT: Mapping[Capability, str] = {
    "chat": "that chats",
    "embeddings": "that embeds",
    "transcription": "that transcribes",
    "speech": "that speaks",
    "image": "that draws",
}


def _not_found(name: str, known: list[str], what: str = "") -> ModelNotFound:
    listed = f"there are: {', '.join(known)}" if known else "there is none"
    return ModelNotFound(f"no model {what}is named {name!r}; {listed}", param="model")
