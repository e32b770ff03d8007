"""Speech requests, from the wire to the domain."""

from __future__ import annotations

import math
import unicodedata

import attrs

from contracts.speech import AudioFormat, CreateSpeechRequest, VisemeSet
from providers.errors import InvalidRequest
from providers.speech.types import SpeechRequest
from server.api.refusals import check_parameters

__all__ = ["MAX_MIXED_VOICES", "SpeechAnswer", "speech_answer", "to_speech_request"]

MAX_MIXED_VOICES = 8

_SPACES = "\t\n\r\v\f\x85"
"""The control characters that count as white space."""


@attrs.frozen(kw_only=True)
class SpeechAnswer:
    """The format of the answer."""

    audio_format: AudioFormat
    viseme_set: VisemeSet
    timings: bool
    headtts: bool
    events: bool
    """Whether the answer consists of server-sent events."""


def to_speech_request(data: CreateSpeechRequest, *, id: str) -> SpeechRequest:
    """Translate a request.

    Raises:
        InvalidRequest: the text cannot be spoken, or the mix of voices makes no sense.
        UnsupportedParameter: a parameter has no effect, and the server has `--strict-parameters`.
    """
    check_parameters(data)
    _check_text(data.input)
    named = data.voice.id if data.voice is not None and not isinstance(data.voice, str) else data.voice
    return SpeechRequest(
        id=id,
        text=data.input,
        voices=[] if named is None else _voices(named),
        speed=1.0 if data.speed is None else data.speed,
        timeout=data.timeout,
    )


def speech_answer(data: CreateSpeechRequest) -> SpeechAnswer:
    """The format of the answer.

    Raises:
        InvalidRequest: parameters contradict each other.
    """
    headtts = data.timing_format == "headtts"
    if headtts and data.include_visemes is False:
        raise InvalidRequest("timing_format: not allowed when include_visemes is false", param="timing_format")
    timings = bool(data.include_visemes) or headtts
    viseme_set = data.viseme_set or "oculus"
    if data.viseme_set is not None and not timings:
        raise InvalidRequest("viseme_set: only allowed when include_visemes is true", param="viseme_set")
    if headtts and viseme_set != "oculus":
        raise InvalidRequest("viseme_set: must be oculus with timing_format headtts", param="viseme_set")
    return SpeechAnswer(
        audio_format=data.response_format or "mp3",
        viseme_set=viseme_set,
        timings=timings,
        headtts=headtts,
        events=data.stream_format == "sse",
    )


def _check_text(text: str) -> None:
    if not text.strip():
        raise InvalidRequest("input: must not be empty; send the text to speak", param="input")
    for place, character in enumerate(text):
        if unicodedata.category(character) == "Cc" and character not in _SPACES:
            raise InvalidRequest(
                f"input: has the control character U+{ord(character):04X} at position {place}", param="input"
            )


def _voices(text: str) -> list[tuple[str, float]]:
    """The voices of `af_heart` or `af_heart:0.6,am_michael:0.4`. Without a weight, a voice has weight 1."""
    parts = text.split(",")
    if len(parts) > MAX_MIXED_VOICES:
        raise InvalidRequest(f"voice: mixes {len(parts)} voices; at most {MAX_MIXED_VOICES} are allowed", param="voice")
    return [_weighted(part) for part in parts]


def _weighted(part: str) -> tuple[str, float]:
    name, colon, written = part.strip().partition(":")
    weight = 1.0
    if colon:
        try:
            weight = float(written)
        except ValueError:
            weight = math.nan
    if not name.strip() or not (math.isfinite(weight) and 0 < weight <= 1000):
        raise InvalidRequest(
            "voice: expected a voice, or voices with weights over 0 like 'af_heart:0.6,am_michael:0.4'",
            param="voice",
        )
    return name.strip(), weight
