"""The voices of a Kokoro folder, and which of them a request means: names of the model, OpenAI's names, and mixes."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from pathlib import Path

from providers.errors import InvalidRequest
from providers.speech.types import Gender, VoiceInfo

__all__ = [
    "DEFAULT_VOICE",
    "LANGUAGES",
    "OPENAI_VOICES",
    "READ_LANGUAGES",
    "resolve_voices",
    "voice_files",
    "voices_in",
]

LANGUAGES: Mapping[str, str] = {
    "a": "en-US",
    "b": "en-GB",
    "e": "es-ES",
    "f": "fr-FR",
    "h": "hi-IN",
    "i": "it-IT",
    "j": "ja-JP",
    "p": "pt-BR",
    "z": "zh-CN",
}
"""What the first letter of a voice's name says."""
READ_LANGUAGES = ("en-US", "en-GB")
"""Those whose texts can be turned into sounds."""
_GENDERS: Mapping[str, Gender] = {"f": "female", "m": "male"}

DEFAULT_VOICE = "af_heart"
"""The voice of requests that name none; the model's first voice if it has none of this name."""

OPENAI_VOICES: Mapping[str, str] = {
    "alloy": "af_alloy",
    "ash": "am_fenrir",
    "ballad": "bm_george",
    "cedar": "am_michael",
    "coral": "af_bella",
    "echo": "am_echo",
    "fable": "bm_fable",
    "marin": "af_heart",
    "nova": "af_nova",
    "onyx": "am_onyx",
    "sage": "af_sarah",
    "shimmer": "af_sky",
    "verse": "am_puck",
}
"""OpenAI's voices as Kokoro's: the five that Kokoro named after them, and for the others a voice of the same sex."""


def voice_files(folder: Path) -> dict[str, Path]:
    """The files of a model folder's voices by their names, in the order of these."""
    files = sorted((folder / "voices").glob("*.safetensors"))
    return {file.stem: file for file in files if file.stem[:1] in LANGUAGES}


def voices_in(folder: Path, *, spoken: Container[str] = READ_LANGUAGES) -> list[VoiceInfo]:
    """The voices of a model folder, for clients. `spoken`: languages that can be read."""
    return [
        VoiceInfo(
            id=voice,
            language=LANGUAGES[voice[0]],
            gender=_GENDERS.get(voice[1:2]),
            name=voice.partition("_")[2].replace("_", " ").title() or voice,
            spoken=LANGUAGES[voice[0]] in spoken,
        )
        for voice in voice_files(folder)
    ]


def resolve_voices(asked: Sequence[tuple[str, float]], known: Sequence[VoiceInfo]) -> list[tuple[str, float]]:
    """The model's own ids for what was asked, each once, with weights that sum to 1.

    Raises:
        InvalidRequest: the model has no such voice (the message lists those it has), or cannot speak its language.
    """
    voices = {voice.id: voice for voice in known}
    if not voices:
        raise InvalidRequest("voice: the model has no voices", param="voice")
    if not asked:
        asked = [(DEFAULT_VOICE if DEFAULT_VOICE in voices else known[0].id, 1.0)]
    weights: dict[str, float] = {}
    for name, weight in asked:
        id = name if name in voices else OPENAI_VOICES.get(name.lower(), name)
        if id not in voices:
            raise InvalidRequest(f"voice: there is no voice {_shown(name)}; there are: {_listed(known)}", param="voice")
        if not voices[id].spoken:
            raise InvalidRequest(
                f"voice: {id} speaks {voices[id].language}, whose texts this server cannot turn into sounds; "
                f"there are: {_listed(known)}",
                param="voice",
            )
        weights[id] = weights.get(id, 0.0) + weight
    total = sum(weights.values())
    return [(id, weight / total) for id, weight in weights.items()]


def _shown(name: str) -> str:
    return repr(name if len(name) <= 64 else name[:64] + "…")


def _listed(known: Sequence[VoiceInfo]) -> str:
    """Those that can be asked for, and OpenAI's names for some of them."""
    spoken = {voice.id for voice in known if voice.spoken}
    aliases = sorted(alias for alias, id in OPENAI_VOICES.items() if id in spoken)
    own = ", ".join(sorted(spoken))
    return f"{own}; also by OpenAI's names: {', '.join(aliases)}" if aliases else own
