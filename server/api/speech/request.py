"""Speech requests, from the wire to the domain."""

from __future__ import annotations

import contextlib
import math
import re
import unicodedata
from collections.abc import Sequence

import attrs

from contracts.speech import AudioFormat, CreateSpeechRequest, SpeakerVoice, SpokenTurn, VisemeSet, VoiceId
from providers.errors import InvalidRequest
from providers.speech.languages import language_named
from providers.speech.turns import at_path
from providers.speech.types import SpeechRequest, SpeechTurn
from server.api.refusals import check_parameters

__all__ = [
    "MAX_CHARACTERS",
    "MAX_MIXED_VOICES",
    "MAX_STREAMED_CHARACTERS",
    "SpeechAnswer",
    "speech_answer",
    "to_speech_request",
    "to_voices",
]

MAX_MIXED_VOICES = 8
MAX_CHARACTERS = 16_384
"""Longest input of an answer that is sent whole: four times OpenAI's, about twenty minutes of speech."""
MAX_STREAMED_CHARACTERS = 262_144
"""Longest input of a stream, about five hours of speech: its audio is never in memory as a whole."""

_VOICE = re.compile(r"\s*(?P<name>[^:()\s][^:()]*?)\s*(?::(?P<colon>[^:()]+)|\((?P<brackets>[^:()]+)\))?\s*")
"""A voice and its weight."""
MAX_TURNS = 1000
MAX_LEXICON = 1000
"""Words of a request's lexicon."""
_MAX_ENTRY = 200
"""Characters of one of its words, and of the word's phonemes."""


@attrs.frozen(kw_only=True)
class SpeechAnswer:
    """The format of the answer."""

    audio_format: AudioFormat
    viseme_set: VisemeSet
    timings: bool
    headtts: bool
    events: bool
    """Whether the answer consists of server-sent events."""
    gesture_seed: int | None = None
    """None: gestures are not requested."""
    speakers: Sequence[str] = ()
    """By turn; empty if the request has no turns."""


def to_speech_request(
    data: CreateSpeechRequest, *, id: str, streamed: bool = False, max_characters: int | None = None
) -> SpeechRequest:
    """Translate a request. `max_characters` is the server's limit on the text: 0 for none, None for the default.

    Raises:
        InvalidRequest: the text cannot be spoken or is too long, or the mix of voices makes no sense.
        UnsupportedParameter: a parameter has no effect, and the server has `--strict-parameters`.
    """
    check_parameters(data)
    text, turns = (data.input, []) if isinstance(data.input, str) else ("", data.input)
    _check_length(sum(len(turn.text) for turn in turns) or len(text), max_characters, streamed=streamed)
    _check_turns(data, turns)
    if not turns:
        _check_text(text, "input")
    return SpeechRequest(
        id=id,
        text=text,
        turns=[_turn(data, turn) for turn in turns],
        voices=_named(data.voice),
        speed=1.0 if data.speed is None else data.speed,
        timeout=data.timeout,
        language=_language(data),
        input_format=data.input_format,
        lexicon=_lexicon(data.lexicon or {}),
        streamed=streamed,
    )


def speech_answer(data: CreateSpeechRequest) -> SpeechAnswer:
    """The format of the answer.

    Raises:
        InvalidRequest: parameters contradict each other.
    """
    if data.stream is False and data.stream_format is not None:
        raise InvalidRequest("stream: must not be false when stream_format is sent", param="stream")
    headtts = data.timing_format == "headtts"
    if headtts and data.include_visemes is False:
        raise InvalidRequest("timing_format: not allowed when include_visemes is false", param="timing_format")
    timings = bool(data.include_visemes) or headtts
    viseme_set = data.viseme_set or "oculus"
    if data.viseme_set is not None and not timings:
        raise InvalidRequest("viseme_set: only allowed when include_visemes is true", param="viseme_set")
    if headtts and viseme_set != "oculus":
        raise InvalidRequest("viseme_set: must be oculus with timing_format headtts", param="viseme_set")
    if data.include_gestures and (headtts or not timings):
        raise InvalidRequest(
            "include_gestures: only allowed when include_visemes is true, and not with timing_format headtts",
            param="include_gestures",
        )
    if data.gesture_seed is not None and not data.include_gestures:
        raise InvalidRequest("gesture_seed: only allowed when include_gestures is true", param="gesture_seed")
    return SpeechAnswer(
        audio_format=_audio_format(data),
        viseme_set=viseme_set,
        timings=timings,
        headtts=headtts,
        events=data.stream_format == "sse",
        gesture_seed=(data.gesture_seed or 0) if data.include_gestures else None,
        speakers=() if isinstance(data.input, str) else [turn.speaker for turn in data.input],
    )


def _turn(data: CreateSpeechRequest, turn: SpokenTurn) -> SpeechTurn:
    speaker = (data.speakers or {}).get(turn.speaker) or SpeakerVoice()
    path = "voice" if speaker.voice is None else f"speakers.{turn.speaker}.voice"
    try:
        voices = _named(data.voice if speaker.voice is None else speaker.voice)
    except InvalidRequest as error:
        raise at_path(error, "voice", path) from None
    speed = data.speed if speaker.speed is None else speaker.speed
    return SpeechTurn(text=turn.text, voices=voices, speed=1.0 if speed is None else speed, voice_path=path)


def _named(voice: str | VoiceId | None) -> list[tuple[str, float]]:
    if voice is None:
        return []
    return to_voices(voice if isinstance(voice, str) else voice.id)


def _check_turns(data: CreateSpeechRequest, turns: Sequence[SpokenTurn]) -> None:
    if isinstance(data.input, str):
        if data.speakers:
            raise InvalidRequest("speakers: only allowed when input is a list of turns", param="speakers")
        return
    if not 1 <= len(turns) <= MAX_TURNS:
        raise InvalidRequest(f"input: must have 1 to {MAX_TURNS} turns, not {len(turns)}", param="input")
    for at, turn in enumerate(turns):
        if not turn.speaker.strip():
            raise InvalidRequest(f"input[{at}].speaker: must not be empty", param=f"input[{at}].speaker")
        _check_text(turn.text, f"input[{at}].text")


def _audio_format(data: CreateSpeechRequest) -> AudioFormat:
    if data.format is not None and data.response_format not in (None, data.format):
        raise InvalidRequest(
            f"format is {data.format} and response_format is {data.response_format}; they mean the same: send one of "
            "them",
            param="format",
        )
    return data.response_format or data.format or "mp3"


def _language(data: CreateSpeechRequest) -> str | None:
    named = {language_named(name) for name in (data.language, data.lang_code) if name is not None}
    if len(named) > 1:
        raise InvalidRequest(
            f"lang_code is {data.lang_code} and language is {data.language}; they mean the same: send one of them",
            param="lang_code",
        )
    return next(iter(named), None)


def _check_length(length: int, limit: int | None, *, streamed: bool) -> None:
    if limit is None:
        limit = MAX_STREAMED_CHARACTERS if streamed else MAX_CHARACTERS
    if limit and length > limit:
        hint = "" if streamed else "stream the answer, or "
        raise InvalidRequest(
            f"input: has {length} characters; at most {limit} are allowed. Split it, {hint}start the server with a "
            "larger --max-speech-characters",
            param="input",
        )


def _check_text(text: str, path: str) -> None:
    if not any(unicodedata.category(character) != "Cc" and not character.isspace() for character in text):
        raise InvalidRequest(f"{path}: must not be empty; send the text to speak", param=path)


def _lexicon(words: dict[str, str]) -> dict[str, str]:
    if len(words) > MAX_LEXICON:
        raise InvalidRequest(f"lexicon: has {len(words)} words; at most {MAX_LEXICON} are allowed", param="lexicon")
    for word, phonemes in words.items():
        for text, name in ((word, "a word"), (phonemes, f"the phonemes of {word[:40]!r}")):
            if not text.strip() or len(text) > _MAX_ENTRY:
                raise InvalidRequest(
                    f"lexicon: {name} must have 1 to {_MAX_ENTRY} characters, not {len(text)}", param="lexicon"
                )
    return words


def to_voices(text: str) -> list[tuple[str, float]]:
    """The voices of `af_heart`, `af_heart:0.6,am_michael:0.4` or `af_heart(2)+am_michael(1)`; none for `default`.

    Without a weight, a voice has weight 1.

    Raises:
        InvalidRequest: the mix makes no sense.
    """
    if text.strip().lower() in ("", "default"):
        return []
    parts = re.split("[,+]", text)
    if len(parts) > MAX_MIXED_VOICES:
        raise InvalidRequest(f"voice: mixes {len(parts)} voices; at most {MAX_MIXED_VOICES} are allowed", param="voice")
    return [_weighted(part) for part in parts]


def _weighted(part: str) -> tuple[str, float]:
    found = _VOICE.fullmatch(part)
    weight = math.nan
    if found is not None:
        with contextlib.suppress(ValueError):
            weight = float(found["colon"] or found["brackets"] or 1)
    if found is None or not (math.isfinite(weight) and 0 < weight <= 1000):
        raise InvalidRequest(
            "voice: expected a voice, or voices with weights over 0 like 'af_heart:0.6,am_michael:0.4' or "
            "'af_heart(2)+am_michael(1)'",
            param="voice",
        )
    return found["name"], weight
