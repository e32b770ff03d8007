"""Every engine satisfies the Protocol that the engine process runs."""

from __future__ import annotations

from collections.abc import Callable

from providers.engines.embeddings.engine import EmbeddingEngine
from providers.engines.language.engine import LanguageEngine
from providers.engines.process.engine import Engine
from providers.engines.process.platform import Platform
from providers.engines.speech.engine import SpeechEngine
from providers.engines.transcription.engine import WhisperEngine


def engines() -> tuple[Callable[[Platform], Engine], ...]:
    return (EmbeddingEngine, LanguageEngine, SpeechEngine, WhisperEngine)
