"""Transcription requests, from the wire to the domain."""

from __future__ import annotations

import re
from pathlib import Path

import attrs

from contracts.transcription import CreateTranscriptionRequest, CreateTranslationRequest
from providers.errors import InvalidRequest, UnsupportedParameter
from providers.transcription.types import Task, TranscriptionRequest
from server.api.refusals import check_parameters
from server.noted import note

__all__ = ["TranscriptAnswer", "spoken_language", "to_transcription_request", "transcript_answer"]

_DETECTED = ("", "auto", "detect", "null", "none")
"""Values with which front ends say that the language is unknown."""
_REGIONAL = re.compile(r"([a-z]{2,3})[-_][a-z0-9_-]+")
_STREAMED = ("json", "text")


@attrs.frozen(kw_only=True)
class TranscriptAnswer:
    """The format and the content of the answer."""

    task: Task
    format: str
    stream: bool
    words: bool
    segments: bool
    logprobs: bool
    progress: bool


def transcript_answer(request: CreateTranscriptionRequest | CreateTranslationRequest) -> TranscriptAnswer:
    """The format and the content that the request asks for.

    Raises:
        UnsupportedParameter: the server cannot honour a parameter.
        InvalidRequest: values contradict each other.
    """
    check_parameters(request)
    if request.response_format == "diarized_json":
        message = "response_format: speakers cannot be distinguished; use json, text, srt, verbose_json or vtt"
        raise UnsupportedParameter(message, param="response_format")
    form = request.response_format or "json"
    wanted, included = request.timestamp_granularities or [], request.include or []
    if request.stream and form not in _STREAMED:
        raise InvalidRequest(
            f"stream: response_format {form} cannot be streamed; use {' or '.join(_STREAMED)}", param="stream"
        )
    has = {"words": form == "verbose_json", "logprobs": form == "json", "progress": bool(request.stream)}
    if "word" in wanted and not has["words"]:
        note("timestamp_granularities.word")
    for name in included:
        if not has.get(name):
            note(f"include.{name}", known=name in has)
    return TranscriptAnswer(
        task="transcribe" if isinstance(request, CreateTranscriptionRequest) else "translate",
        format=form,
        stream=bool(request.stream),
        words="word" in wanted and has["words"],
        segments="segment" in wanted or not wanted,
        logprobs="logprobs" in included and has["logprobs"],
        progress="progress" in included and has["progress"],
    )


def to_transcription_request(
    request: CreateTranscriptionRequest | CreateTranslationRequest,
    answer: TranscriptAnswer,
    *,
    id: str,
    path: Path,
    max_seconds: float | None = None,
) -> TranscriptionRequest:
    """Translate a request. The contract has checked each of its values. Its file is at `path`."""
    return TranscriptionRequest(
        id=id,
        path=str(path),
        language=spoken_language(request.language) or _only_language(request),
        prompt=request.prompt,
        temperature=request.temperature or 0.0,
        task=answer.task,
        words=answer.words,
        logprobs=answer.logprobs,
        detect_speech=request.vad_filter is not False,
        timeout=request.timeout,
        max_seconds=max_seconds,
    )


def _only_language(request: CreateTranscriptionRequest | CreateTranslationRequest) -> str | None:
    """The language of `languages`, if it is the only one. Several are noted."""
    given = request.languages if isinstance(request, CreateTranscriptionRequest) else None
    if given is None or len(given) == 1:
        return spoken_language(given[0]) if given else None
    if given:
        note("languages")
    return None


def spoken_language(given: str | None) -> str | None:
    """The language without its region (`en-US` is `en`); None if the model is to detect it."""
    language = (given or "").strip().lower()
    if language in _DETECTED:
        return None
    found = _REGIONAL.fullmatch(language)
    return found[1] if found else language
