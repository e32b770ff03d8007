"""Transcriptions, from the domain to each of their formats on the wire."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence

import attrs

from contracts.transcription import (
    DurationUsage,
    Transcription,
    TranscriptionLogprob,
    TranscriptionProgress,
    TranscriptionSegment,
    TranscriptionStreamEvent,
    TranscriptionVerbose,
    TranscriptionWord,
    TranscriptTextDelta,
    TranscriptTextDone,
)
from providers.errors import InternalError
from providers.transcription.types import Segment, TokenProbability, TranscriptionEvent, TranscriptionFinished
from providers.transcription.types import TranscriptionProgress as ProgressEvent
from server.api.transcription.request import TranscriptAnswer
from server.streaming.sse import data_message

__all__ = ["TranscriptEncoder", "WholeTranscript", "collect_transcript", "transcription", "transcription_verbose"]

ENGLISH = "english"
"""OpenAI's name of the language of a recording without speech, and of every translation."""
_SEEK_UNITS = 100


@attrs.frozen(kw_only=True)
class WholeTranscript:
    """The segments and the last event of one recording."""

    segments: Sequence[Segment]
    finished: TranscriptionFinished

    @property
    def text(self) -> str:
        return "".join(segment.text for segment in self.segments).strip()


async def collect_transcript(events: AsyncIterator[TranscriptionEvent]) -> WholeTranscript:
    """Read a transcription to its end.

    Raises:
        ServiceError: any error of the provider.
    """
    segments: list[Segment] = []
    async for event in events:
        if isinstance(event, Segment):
            segments.append(event)
        elif isinstance(event, TranscriptionFinished):
            return WholeTranscript(segments=segments, finished=event)
    raise InternalError.truncated("transcription")


def transcription(whole: WholeTranscript, answer: TranscriptAnswer) -> Transcription:
    """The transcription as `json`."""
    return Transcription(
        text=whole.text,
        logprobs=_logprobs(whole.segments) if answer.logprobs else None,
        usage=_usage(whole.finished),
    )


def transcription_verbose(whole: WholeTranscript, answer: TranscriptAnswer) -> TranscriptionVerbose:
    """The transcription as `verbose_json`."""
    spoken = whole.finished.language or ENGLISH
    return TranscriptionVerbose(
        task=answer.task,
        language=spoken if answer.task == "transcribe" else ENGLISH,
        duration=_seconds(whole.finished.duration),
        text=whole.text,
        words=_words(whole.segments) if answer.words else None,
        segments=_segments(whole.segments) if answer.segments else None,
        usage=_usage(whole.finished),
    )


class TranscriptEncoder:
    """Writes events as the messages of a stream. The joined deltas are the text of the last message."""

    def __init__(self, answer: TranscriptAnswer) -> None:
        self._answer = answer
        self._segments: list[Segment] = []
        self._text = ""
        self._space = ""
        """White space at the end of the text so far. It becomes part of the text only when more text follows."""

    def encode(self, events: Sequence[TranscriptionEvent]) -> bytes:
        return b"".join(data_message(message) for event in events for message in self._messages(event))

    def _messages(self, event: TranscriptionEvent) -> Iterable[TranscriptionStreamEvent]:
        if isinstance(event, Segment):
            self._segments.append(event)
            yield TranscriptTextDelta(
                delta=self._delta(event.text), logprobs=_logprobs([event]) if self._answer.logprobs else None
            )
        elif isinstance(event, ProgressEvent) and self._answer.progress:
            yield TranscriptionProgress(position=_seconds(event.position), duration=event.duration)
        elif isinstance(event, TranscriptionFinished):
            yield TranscriptTextDone(
                text=self._text, logprobs=_logprobs(self._segments) if self._answer.logprobs else None
            )

    def _delta(self, text: str) -> str:
        whole = self._space + text
        if not self._text:
            whole = whole.lstrip()
        delta = whole.rstrip()
        self._space = whole[len(delta) :]
        self._text += delta
        return delta


def _segments(segments: Sequence[Segment]) -> list[TranscriptionSegment]:
    return [
        TranscriptionSegment(
            id=number,
            seek=round(segment.seek * _SEEK_UNITS),
            start=segment.start,
            end=segment.end,
            text=segment.text,
            tokens=segment.tokens,
            temperature=segment.temperature,
            avg_logprob=segment.avg_logprob,
            compression_ratio=segment.compression_ratio,
            no_speech_prob=segment.no_speech_prob,
        )
        for number, segment in enumerate(segments)
    ]


def _words(segments: Sequence[Segment]) -> list[TranscriptionWord]:
    return [
        TranscriptionWord(word=word.text.strip(), start=word.start, end=word.end)
        for segment in segments
        for word in segment.words or ()
    ]


def _logprobs(segments: Sequence[Segment]) -> list[TranscriptionLogprob]:
    return [_logprob(token) for segment in segments for token in segment.logprobs or ()]


def _logprob(token: TokenProbability) -> TranscriptionLogprob:
    return TranscriptionLogprob(token=token.token, bytes=[*token.raw], logprob=token.logprob)


def _usage(finished: TranscriptionFinished) -> DurationUsage:
    return DurationUsage(seconds=_seconds(finished.duration))


def _seconds(value: float) -> float:
    return round(value, 3)
