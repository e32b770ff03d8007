"""The span of an answer's sound in its client, recorded in the trace of the answer's request after that has ended."""

from __future__ import annotations

import time
from collections.abc import Sequence

from opentelemetry import trace
from opentelemetry.trace import NonRecordingSpan, set_span_in_context

from otel import names
from otel._instruments import instruments
from otel._operations.operation import clean, cleaned, guarded, nanoseconds, tracer

__all__ = ["PlaybackSpan", "start_playback"]

_NAME = "client playback"
_EVENTS = {
    "started": names.EVENT_PLAYBACK_STARTED,
    "stalled": names.EVENT_PLAYBACK_STALLED,
    "paused": names.EVENT_PLAYBACK_PAUSED,
    "resumed": names.EVENT_PLAYBACK_RESUMED,
    "ended": names.EVENT_PLAYBACK_ENDED,
    "stopped": names.EVENT_PLAYBACK_STOPPED,
}


class PlaybackSpan:
    """What a listener heard of one answer. Holds the identity of the request's span instead of the span itself."""

    __slots__ = ("_began", "_model", "_parent", "_perf_ns", "_reported", "_request_id")

    def __init__(self, *, model: str, request_id: str) -> None:
        self._model = model
        self._request_id = request_id
        self._reported = False
        request, now = trace.get_current_span(), time.time_ns()
        self._parent = request.get_span_context()
        self._began: int = getattr(request, "start_time", None) or now
        self._perf_ns = time.perf_counter_ns() - max(0, now - self._began)

    @property
    def seconds(self) -> float:
        """Since the request began."""
        return (time.perf_counter_ns() - self._perf_ns) / 1e9

    @guarded
    def report(self, events: Sequence[tuple[str, float]], played: float) -> None:
        """Record the span and its metrics. Only the first report that has events counts.

        `events` are kinds (`started`, `stalled`, `paused`, `resumed`, `ended`, `stopped`) and seconds since the client
        sent its request. The request's start on this server's clock stands for that moment, so every event is early by
        the request's way to the server. No event is later than its report. `played` is seconds of the answer's audio.
        """
        if self._reported or not events:
            return
        self._reported = True
        latest = self.seconds
        marks = sorted(((kind, min(at, latest)) for kind, at in events), key=lambda mark: mark[1])
        first = next((at for kind, at in marks if kind == "started"), None)
        stalls = sum(kind == "stalled" for kind, _ in marks)
        labels = {names.GEN_AI_REQUEST_MODEL: clean(self._model)}
        if first is not None:
            instruments().first_sound.record(first, labels)
        instruments().stalls.add(stalls, labels)
        self._draw(
            marks,
            {
                names.GEN_AI_REQUEST_MODEL: self._model,
                names.PLAYBACK_TIME_TO_FIRST_SOUND: first,
                names.PLAYBACK_STALLS: stalls,
                names.PLAYBACK_STALLED: _stalled(marks),
                names.PLAYBACK_PLAYED: played,
                names.REQUEST_ID: self._request_id,
            },
        )

    def _draw(self, marks: Sequence[tuple[str, float]], attributes: dict[str, str | int | float | None]) -> None:
        if (made_by := tracer()) is None or not self._parent.is_valid:
            return
        times = [self._began + nanoseconds(at) for _, at in marks]
        span = made_by.start_span(
            _NAME,
            context=set_span_in_context(NonRecordingSpan(self._parent)),
            attributes=cleaned(attributes),
            start_time=times[0],
        )
        for (kind, _), at in zip(marks, times, strict=True):
            span.add_event(_EVENTS[kind], timestamp=at)
        span.end(times[-1])


def _stalled(marks: Sequence[tuple[str, float]]) -> float:
    """Seconds between each stall and the event that ends it."""
    total, since = 0.0, None
    for kind, at in marks:
        if kind == "stalled":
            since = at if since is None else since
        elif kind != "paused" and since is not None:
            total, since = total + at - since, None
    return total


def start_playback(*, model: str, request_id: str) -> PlaybackSpan:
    """Prepare the span of an answer's playback, as a child of the current request's span."""
    return PlaybackSpan(model=model, request_id=request_id)
