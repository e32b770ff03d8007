"""Several speakers in one request: what each of them says, in turns on one clock."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from providers.errors import InvalidRequest
from providers.speech.types import SpeechRequest, VoiceInfo
from providers.speech.voices import resolve_voices

__all__ = ["TURN_REST", "at_path", "requests_of", "resolved"]

TURN_REST = 0.5
"""Seconds of silence between two turns."""


def requests_of(request: SpeechRequest) -> list[SpeechRequest]:
    """One request per turn; the request itself if it has no turns."""
    return [
        msgspec.structs.replace(request, text=turn.text, voices=turn.voices, speed=turn.speed, turns=[])
        for turn in request.turns
    ] or [request]


def resolved(request: SpeechRequest, known: Sequence[VoiceInfo]) -> SpeechRequest:
    """The request with the model's own ids in place of the voices that it names.

    Raises:
        InvalidRequest: as `resolve_voices`; the path is that of the speaker.
    """
    if not request.turns:
        voices = resolve_voices(request.voices, known, language=request.language)
        return msgspec.structs.replace(request, voices=voices)
    turns = []
    for turn in request.turns:
        try:
            voices = resolve_voices(turn.voices, known, language=request.language)
        except InvalidRequest as error:
            raise at_path(error, "voice", turn.voice_path) from None
        turns.append(msgspec.structs.replace(turn, voices=voices))
    return msgspec.structs.replace(request, turns=turns)


def at_path(error: InvalidRequest, param: str, path: str) -> InvalidRequest:
    """The error of `param`, as the error of what is at `path`. An error of another parameter stays as it is."""
    if error.param != param:
        return error
    return InvalidRequest(path + error.message.removeprefix(param), param=path)
