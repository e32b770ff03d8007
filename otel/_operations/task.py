"""The span of one answer other than a chat: `speech <model>`, `embeddings <model>` and so on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from otel import names
from otel._answer import Measure
from otel._operations.operation import Operation, guarded, nanoseconds

__all__ = ["TaskSpan", "start_task"]


class TaskSpan(Operation):
    """One answer, from its slot to its last output chunk, with the engine's work as children.

    The first `stop`, `fail` or `cancel` ends it; later calls do nothing.
    """

    __slots__ = ("_accepted_ns", "_first_ns", "_measure")

    def __init__(
        self, operation: str, *, model: str, request_id: str, attributes: Mapping[str, Any] | None = None
    ) -> None:
        known = {
            names.GEN_AI_OPERATION_NAME: operation,
            names.GEN_AI_PROVIDER_NAME: names.PROVIDER,
            names.GEN_AI_REQUEST_MODEL: model,
            **(attributes or {}),
        }
        super().__init__(f"{operation} {model}", attributes=known, request_id=request_id)
        self._measure = Measure(operation, model)
        self._accepted_ns: int | None = None
        self._first_ns: int | None = None

    @guarded
    def accepted(self) -> None:
        """Record that the engine accepted the request: its work begins."""
        if self._recording and not self._done and self._accepted_ns is None:
            self._accepted_ns = self._now()

    @guarded
    def first(self) -> None:
        """Record the first output chunk; later calls do nothing."""
        self._measure.mark_first()
        if self._recording and not self._done and self._first_ns is None:
            self._first_ns = self._now()
            self._event(names.EVENT_FIRST_PIECE)

    def audio(self, audio_seconds: float, work_seconds: float) -> None:
        """Record seconds of audio, synthesized or transcribed, and of work for them. Call it before `stop`."""
        self._measure.audio(audio_seconds, work_seconds)

    @guarded
    def child(
        self,
        name: str,
        begin: float,
        seconds: float,
        attributes: Mapping[str, Any] | None = None,
        events: Sequence[tuple[str, float]] = (),
    ) -> None:
        """Draw a finished part of the engine's work, within this span and not past the present.

        It began `begin` seconds after acceptance and took `seconds`, by the engine's clock. `events`: names, and
        seconds after its beginning.
        """
        if not self._recording or self._done:
            return
        now = self._now()
        accepted = self._start_ns if self._accepted_ns is None else self._accepted_ns
        # A busy event loop reports the acceptance late; the work cannot have ended in the future.
        length = nanoseconds(seconds)
        start = max(self._start_ns, min(accepted + nanoseconds(begin), now - length))
        end = min(start + length, now)
        known = [(event, min(start + nanoseconds(after), end)) for event, after in events]
        self._child(name, start, end, attributes or {}, events=known)

    @guarded
    def stop(self, attributes: Mapping[str, Any] | None = None) -> None:
        """Record a complete answer. Metrics use those of `gen_ai.usage.*` that are among the attributes."""
        known = attributes or {}
        if not self._done:
            self._measure.begin(known.get(names.GEN_AI_USAGE_INPUT_TOKENS) or 0, 0)
        self._measure.stop(
            known.get(names.GEN_AI_USAGE_INPUT_TOKENS),
            known.get(names.GEN_AI_USAGE_OUTPUT_TOKENS),
            known.get(names.GEN_AI_USAGE_CACHE_READ_INPUT_TOKENS),
        )
        if self._finish():
            self._leave(known)

    @guarded
    def fail(self, error: BaseException) -> None:
        """Record an answer that broke off. A cancellation counts as `cancel`."""
        if self._is_cancellation(error):
            self.cancel()
            return
        self._measure.fail(error)
        if self._finish():
            self._error(error)
            self._leave({})

    @guarded
    def cancel(self) -> None:
        """Record that the client disconnected."""
        self._measure.fail(None)
        if self._finish():
            self._event(names.EVENT_CANCELLED)
            self._leave({names.CANCELLED: True})

    def _leave(self, attributes: Mapping[str, Any]) -> None:
        first = None if self._first_ns is None else (self._first_ns - self._start_ns) / 1e9
        self._set({**attributes, names.GEN_AI_RESPONSE_TIME_TO_FIRST_CHUNK: first})
        self._end()


def start_task(operation: str, *, model: str, request_id: str, attributes: Mapping[str, Any] | None = None) -> TaskSpan:
    """Start the span of one answer by `model`, as a child of the current span.

    `operation` is its `gen_ai.operation.name`.
    """
    return TaskSpan(operation, model=model, request_id=request_id, attributes=attributes)
