"""The span of one answer other than a chat: `speech <model>`, `embeddings <model>` and so on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from otel import names
from otel._answer import Measure
from otel._operation import Operation, guarded, nanoseconds

__all__ = ["TaskSpan", "start_task"]


class TaskSpan(Operation):
    """One answer, from the engine's door to its last piece, with the engine's own work as children.

    Its first `stop`, `fail` or `cancel` ends it; later calls do nothing.
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
        """The engine took the request: its work begins."""
        if self._recording and not self._done and self._accepted_ns is None:
            self._accepted_ns = self._now()

    @guarded
    def first(self) -> None:
        """A piece of the answer came; the first of them counts."""
        self._measure.mark_first()
        if self._recording and not self._done and self._first_ns is None:
            self._first_ns = self._now()
            self._event(names.EVENT_FIRST_PIECE)

    def audio(self, audio_seconds: float, work_seconds: float) -> None:
        """So many seconds of audio were spoken or heard, by so many of the engine's work. Call it before `stop`."""
        self._measure.audio(audio_seconds, work_seconds)

    @guarded
    def child(self, name: str, begin: float, seconds: float, attributes: Mapping[str, Any] | None = None) -> None:
        """A piece of the engine's work that is over. It began `begin` seconds after acceptance and took `seconds`, by
        the engine's clock; drawn within this span and not past the present."""
        if not self._recording or self._done:
            return
        now = self._now()
        accepted = self._start_ns if self._accepted_ns is None else self._accepted_ns
        # Word of the acceptance comes late when the loop is busy; the work cannot have ended after the present.
        length = nanoseconds(seconds)
        start = max(self._start_ns, min(accepted + nanoseconds(begin), now - length))
        self._child(name, start, min(start + length, now), attributes or {})

    @guarded
    def stop(self, attributes: Mapping[str, Any] | None = None) -> None:
        """The answer is complete. Metrics take `gen_ai.usage.*` out of the attributes, where they are there."""
        told = attributes or {}
        if not self._done:
            self._measure.begin(told.get(names.GEN_AI_USAGE_INPUT_TOKENS) or 0, 0)
        self._measure.stop(
            told.get(names.GEN_AI_USAGE_INPUT_TOKENS),
            told.get(names.GEN_AI_USAGE_OUTPUT_TOKENS),
            told.get(names.GEN_AI_USAGE_CACHE_READ_INPUT_TOKENS),
        )
        if self._finish():
            self._leave(told)

    @guarded
    def fail(self, error: BaseException) -> None:
        """The answer broke off. A cancellation counts as `cancel`."""
        if self._is_cancellation(error):
            self.cancel()
            return
        self._measure.fail(error)
        if self._finish():
            self._error(error)
            self._leave({})

    @guarded
    def cancel(self) -> None:
        """The client went away."""
        self._measure.fail(None)
        if self._finish():
            self._event(names.EVENT_CANCELLED)
            self._leave({names.CANCELLED: True})

    def _leave(self, attributes: Mapping[str, Any]) -> None:
        first = None if self._first_ns is None else (self._first_ns - self._start_ns) / 1e9
        self._set({**attributes, names.GEN_AI_RESPONSE_TIME_TO_FIRST_CHUNK: first})
        self._end()


def start_task(operation: str, *, model: str, request_id: str, attributes: Mapping[str, Any] | None = None) -> TaskSpan:
    """Begin one answer of `model`, as a child of the current span. `operation` is its `gen_ai.operation.name`."""
    return TaskSpan(operation, model=model, request_id=request_id, attributes=attributes)
