"""`GET /v1/audio/voices` and `GET /v1/audio/models`: what can speak."""

from __future__ import annotations

from typing import Literal

import attrs

from contracts._fields import EXPLICIT_NULL

__all__ = ["NamedId", "SpeechModelList", "Voice", "VoiceList"]


@attrs.frozen(kw_only=True)
class Voice:
    """A voice that a request can name."""

    id: str
    object: Literal["voice"] = "voice"
    name: str
    """Name for display."""
    language: str
    """BCP 47, e.g. `en-GB`."""
    gender: Literal["female", "male"] | None = attrs.field(default=None, metadata=EXPLICIT_NULL)
    model: str
    """Id of the model that has the voice."""
    aliases: list[str]
    """OpenAI's names for the voice."""


@attrs.frozen(kw_only=True)
class NamedId:
    """An id and a name for display, as voice UIs read them."""

    id: str
    name: str


@attrs.frozen(kw_only=True)
class VoiceList:
    """The voices of all speech models."""

    object: Literal["list"] = "list"
    data: list[Voice]
    voices: list[NamedId]
    """The same in the shape that Open WebUI and other clients of Kokoro-FastAPI read."""


@attrs.frozen(kw_only=True)
class SpeechModelList:
    """The models that speak, in the shape that Open WebUI reads."""

    object: Literal["list"] = "list"
    models: list[NamedId]
