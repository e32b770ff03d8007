"""Every provider satisfies the Protocols of its capabilities, and a registry's answer has the key's Protocol."""

from __future__ import annotations

from typing import assert_type

from providers.chat.protocol import CHAT, ChatProvider
from providers.chat.provider import EngineChatProvider
from providers.echo.provider import EchoProvider
from providers.embeddings.protocol import EMBEDDINGS, EmbeddingProvider
from providers.embeddings.provider import EngineEmbeddingProvider
from providers.protocols import Capability, Provider
from providers.registry import ModelRegistry, ProviderFactory
from providers.spec import ModelSpec
from providers.speech.protocol import SPEECH, SpeechProvider
from providers.speech.provider import EngineSpeechProvider
from providers.transcription.protocol import TRANSCRIPTION, TranscriptionProvider
from providers.transcription.provider import EngineTranscriptionProvider
from providers.unavailable import UnavailableProvider
from server.dependencies import Registry


def providers(spec: ModelSpec, unavailable: UnavailableProvider) -> None:
    chat: tuple[ChatProvider, ...] = (EngineChatProvider(spec), EchoProvider(spec))
    speech: tuple[SpeechProvider, ...] = (EngineSpeechProvider(spec), EchoProvider(spec))
    embeddings: EmbeddingProvider = EngineEmbeddingProvider(spec)
    transcription: TranscriptionProvider = EngineTranscriptionProvider(spec)
    placeholder: Provider = unavailable
    del chat, speech, embeddings, transcription, placeholder

    not_chat: ChatProvider = EngineSpeechProvider(spec)  # type: ignore[assignment]
    not_speech: SpeechProvider = EngineChatProvider(spec)  # type: ignore[assignment]
    del not_chat, not_speech


def factories() -> tuple[ProviderFactory, ...]:
    return (
        EchoProvider,
        EngineChatProvider,
        EngineEmbeddingProvider,
        EngineSpeechProvider,
        EngineTranscriptionProvider,
    )


def found(registry: ModelRegistry) -> None:
    assert_type(registry.find(CHAT, "name"), ChatProvider)
    assert_type(registry.find(EMBEDDINGS, "name"), EmbeddingProvider)
    assert_type(registry.find(SPEECH, "name"), SpeechProvider)
    assert_type(registry.find(TRANSCRIPTION, "name"), TranscriptionProvider)
    assert_type(registry.available(SPEECH), list[SpeechProvider])

    wrong: SpeechProvider = registry.find(CHAT, "name")  # type: ignore[assignment]
    registry.find("chat", "name")  # type: ignore[arg-type]
    del wrong


def registry_of_the_server(registry: ModelRegistry) -> Registry:
    return registry


def keys(no_provider: Capability[int]) -> Capability[Provider]:  # type: ignore[type-var]
    return CHAT
