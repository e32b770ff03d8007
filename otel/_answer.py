"""Measurements of one answer, with or without a recording span, and their summary for the request's log line."""

from __future__ import annotations

import time
from contextvars import ContextVar
from typing import Any

import attrs

from otel import metric_names as m
from otel import names
from otel._histograms import RememberingHistogram
from otel._instruments import instruments
from otel._operations.operation import clean, error_type, guarded
from otel._readings import tally

__all__ = ["CANCELLED_ERROR", "Measure", "Summary", "arrived", "summary"]

CANCELLED_ERROR = "cancelled"
"""`error.type` of answers whose client disconnected."""

arrived: ContextVar[float | None] = ContextVar("arrived", default=None)
"""Time (`time.perf_counter`) at which the request admitted last in this task entered the queue."""


@attrs.define(eq=False)
class Summary:
    """Totals of the answers to one HTTP request, or of those over one WebSocket. Times are in seconds."""

    deferred: bool = True
    """Whether metrics are recorded when the request ends. False: a connection that lives on records each answer's."""

    model: str | None = None
    """Of the first answer: the speech of a chat is the chat's."""
    input_tokens: int | None = None
    cached_tokens: int | None = None
    output_tokens: int | None = None
    time_to_first: float | None = None
    """Time from entering the queue to the first output chunk, of the first answer."""
    decode_seconds: float = 0.0
    audio_seconds: float | None = None
    points: list[tuple[RememberingHistogram, float, dict[str, Any]]] = attrs.field(factory=list)
    """Values to record in metrics after the response has been sent."""

    @property
    def tokens_per_second(self) -> float | None:
        """Decoding speed; None with fewer than two tokens."""
        tokens = self.output_tokens or 0
        return (tokens - 1) / self.decode_seconds if tokens > 1 and self.decode_seconds > 0 else None

    def fields(self) -> dict[str, Any]:
        """Fields of the log line: all that have a value."""
        speed = self.tokens_per_second
        values = {
            "model": self.model,
            "input_tokens": self.input_tokens,
            "cached_tokens": self.cached_tokens or None,
            "output_tokens": self.output_tokens,
            "ttft": None if self.time_to_first is None else round(self.time_to_first, 4),
            "tokens_per_second": None if speed is None else round(speed, 2),
            "audio_seconds": None if self.audio_seconds is None else round(self.audio_seconds, 3),
        }
        return {name: value for name, value in values.items() if value is not None}


summary: ContextVar[Summary | None] = ContextVar("summary", default=None)
"""Summary of the request that this task serves."""


class Measure:
    """Clock and counters of one answer. The first `stop` or `fail` counts; no method raises."""

    __slots__ = ("_counted", "_done", "_labels", "_model", "_summary", "_tally", "first", "start")

    def __init__(self, operation: str, model: str) -> None:
        now = time.perf_counter()
        self.start = arrived.get() or now
        arrived.set(None)
        self.first: float | None = None
        self._done = False
        self._counted = 0
        self._model = model
        self._tally = tally(model)
        self._summary = summary.get()
        self._labels = {
            names.GEN_AI_OPERATION_NAME: operation,
            names.GEN_AI_PROVIDER_NAME: names.PROVIDER,
            names.GEN_AI_REQUEST_MODEL: clean(model),
        }
        if self._summary is not None and self._summary.model is None:
            self._summary.model = model

    def begin(self, prompt_tokens: int, cached_tokens: int) -> None:
        """Record that the engine accepted the request."""
        self._tally.prompt += prompt_tokens
        self._tally.cached += cached_tokens

    def count(self, tokens: int) -> None:
        """Count generated tokens. Called for each output chunk."""
        self._tally.generated += tokens
        self._counted += tokens
        if self.first is None:
            self.mark_first()

    def mark_first(self) -> None:
        if self.first is None:
            self.first = time.perf_counter()
            if self._summary is not None and self._summary.time_to_first is None:
                self._summary.time_to_first = self.first - self.start

    @guarded
    def stop(
        self,
        input_tokens: int | None = None,
        output_tokens: int | None = None,
        cached_tokens: int | None = None,
        decode_seconds: float | None = None,
    ) -> None:
        """Record a complete answer; None for counts that this kind of answer does not have."""
        if self._done:
            return
        self._done = True
        now, kit = time.perf_counter(), instruments()
        # Tokens without text (a marker, the end of the turn) were part of no chunk.
        self._tally.generated += max(0, (output_tokens or 0) - self._counted)
        self._point(kit.request_duration, now - self.start, self._labels)
        if self.first is not None:
            self._point(kit.time_to_first_token, self.first - self.start, self._labels)
        if decode_seconds is not None and output_tokens is not None and output_tokens > 1:
            self._point(kit.time_per_output_token, decode_seconds / (output_tokens - 1), self._labels)
        for kind, tokens in (
            (m.GenAiTokenTypeValues.INPUT, input_tokens),
            (m.GenAiTokenTypeValues.OUTPUT, output_tokens),
        ):
            if tokens is not None:
                self._point(kit.token_usage, tokens, {**self._labels, m.GEN_AI_TOKEN_TYPE: kind.value})
        self._sum_up(input_tokens, output_tokens, cached_tokens, decode_seconds)

    @guarded
    def audio(self, audio_seconds: float, work_seconds: float) -> None:
        """Record seconds of audio, synthesized or transcribed, and the engine's work for them."""
        if audio_seconds <= 0:
            return
        instruments().audio.add(audio_seconds, self._labels)
        if work_seconds > 0:
            instruments().real_time_factor.record(work_seconds / audio_seconds, self._labels)
        if self._summary is not None:
            self._summary.audio_seconds = (self._summary.audio_seconds or 0.0) + audio_seconds

    @guarded
    def fail(self, error: BaseException | None) -> None:
        """Record an answer that broke off: by `error`, or (None) because the client disconnected."""
        if self._done:
            return
        self._done = True
        kind = CANCELLED_ERROR if error is None else error_type(error)
        labels = {**self._labels, names.ERROR_TYPE: clean(kind)}
        self._point(instruments().request_duration, time.perf_counter() - self.start, labels)
        self._sum_up(None, self._counted or None, None, None)

    def _point(self, histogram: RememberingHistogram, value: float, labels: dict[str, Any]) -> None:
        """Record now or, within an HTTP request, after its last byte."""
        if self._summary is None or not self._summary.deferred:
            histogram.record(value, labels)
        else:
            self._summary.points.append((histogram, value, labels))

    def _sum_up(
        self,
        input_tokens: int | None,
        output_tokens: int | None,
        cached_tokens: int | None,
        decode_seconds: float | None,
    ) -> None:
        total = self._summary
        if total is None:
            return
        for name, value in (
            ("input_tokens", input_tokens),
            ("output_tokens", output_tokens),
            ("cached_tokens", cached_tokens),
        ):
            if value is not None:
                setattr(total, name, (getattr(total, name) or 0) + value)
        total.decode_seconds += decode_seconds or 0.0
