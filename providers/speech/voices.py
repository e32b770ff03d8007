"""The voices of a Kokoro folder, and which of them a request means: names of the model, OpenAI's names, and mixes."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from pathlib import Path

from providers.errors import InvalidRequest
from providers.speech.languages import LANGUAGES, readable_languages, variant
from providers.speech.types import Gender, VoiceInfo

__all__ = [
    "DEFAULT_VOICE",
    "OPENAI_VOICES",
    "VOICE_LANGUAGES",
    "resolve_voices",
    "voice_files",
    "voices_in",
]

VOICE_LANGUAGES: Mapping[str, str] = {
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
    return {file.stem: file for file in files if file.stem[:1] in VOICE_LANGUAGES}


def voices_in(folder: Path, *, spoken: Container[str] | None = None) -> list[VoiceInfo]:
    """The voices of a model folder, for clients. `spoken`: languages that can be read; None: those of this machine."""
    spoken = list(readable_languages()) if spoken is None else spoken
    return [
        VoiceInfo(
            id=voice,
            language=VOICE_LANGUAGES[voice[0]],
            gender=_GENDERS.get(voice[1:2]),
            name=voice.partition("_")[2].replace("_", " ").title() or voice,
            spoken=VOICE_LANGUAGES[voice[0]] in spoken,
        )
        for voice in voice_files(folder)
    ]


def resolve_voices(
    asked: Sequence[tuple[str, float]], known: Sequence[VoiceInfo], *, language: str | None = None
) -> list[tuple[str, float]]:
    """The model's own ids for what was asked, each once, with weights that sum to 1.

    Args:
        language: what `language_named` returned: it is spoken instead of the first voice's own language.

    Raises:
        InvalidRequest: the model has no such voice (the message lists those it has), or the language cannot be spoken.
    """
    voices = {voice.id: voice for voice in known}
    if not voices:
        raise InvalidRequest("voice: the model has no voices", param="voice")
    if not asked:
        asked = [(_default(known, language).id, 1.0)]
    weights: dict[str, float] = {}
    for name, weight in asked:
        id = name if name in voices else OPENAI_VOICES.get(name.lower(), name)
        if id not in voices:
            raise InvalidRequest(f"voice: there is no voice {_shown(name)}; there are: {_listed(known)}", param="voice")
        weights[id] = weights.get(id, 0.0) + weight
    _check_language(voices[next(iter(weights))], language, known)
    total = sum(weights.values())
    return [(id, weight / total) for id, weight in weights.items()]


def _default(known: Sequence[VoiceInfo], language: str | None) -> VoiceInfo:
    """The voice of a request that names none: the first of the language that it names."""
    default = next((voice for voice in known if voice.id == DEFAULT_VOICE), known[0])
    if language is None or variant(language, default.language).startswith(default.language[:2]):
        return default
    return next((voice for voice in known if voice.language[:2] == language[:2]), default)


def _check_language(first: VoiceInfo, language: str | None, known: Sequence[VoiceInfo]) -> None:
    reading = LANGUAGES.get(variant(language, first.language))
    missing = "" if reading is None else reading.missing
    if language is not None:
        if missing:
            raise InvalidRequest(f"language: {missing}", param="language")
    elif not first.spoken:
        reason = missing or "which this server cannot read"
        raise InvalidRequest(
            f"voice: {first.id} speaks {first.language}: {reason}; there are: {_listed(known)}", param="voice"
        )


def _shown(name: str) -> str:
    return repr(name if len(name) <= 64 else name[:64] + "…")


def _listed(known: Sequence[VoiceInfo]) -> str:
    """Those that can be asked for, and OpenAI's names for some of them."""
    spoken = {voice.id for voice in known if voice.spoken}
    aliases = sorted(alias for alias, id in OPENAI_VOICES.items() if id in spoken)
    own = ", ".join(sorted(spoken))
    return f"{own}; also by OpenAI's names: {', '.join(aliases)}" if aliases else own
