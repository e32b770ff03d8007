"""The span of one text generation, `chat <model>`, with its children `prefill`, `decode` and `tool_call`."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

import attrs

from otel import names
from otel._answer import Measure
from otel._content import Content, captures_content, content_attributes
from otel._operations.operation import Operation, clean, error_type, guarded, nanoseconds

__all__ = ["ChatParams", "ChatSpan", "start_chat"]

_MAX_TOOL_CALLS = 64
_OPERATION: Final = names.GenAiOperationNameValues.CHAT.value
_WELL: Mapping[str, Any] = MappingProxyType({})


@attrs.frozen(kw_only=True)
class ChatParams:
    """Parameters of the request; None for those it does not set."""

    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    max_tokens: int | None = None
    seed: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    stop: tuple[str, ...] = ()
    stream: bool | None = None
    choices: int | None = None
    """Number of answers, if more than one."""


@attrs.define
class _ToolCall:
    """A function call by the model; times are on the span's clock."""

    id: str | None
    name: str | None
    begin: int
    end: int


class ChatSpan(Operation):
    """One generation, from its slot to the last token.

    The first `stop`, `fail` or `cancel` ends it; later calls do nothing.
    """

    __slots__ = (
        "_accepted_ns",
        "_cached_tokens",
        "_first_token_ns",
        "_measure",
        "_model",
        "_prompt_tokens",
        "_stream",
        "_tool_calls",
    )

    def __init__(self, *, model: str, request_id: str, params: ChatParams) -> None:
        super().__init__(f"{_OPERATION} {model}", attributes=_requested(model, params), request_id=request_id)
        self._measure = Measure(_OPERATION, model)
        self._model = model
        self._stream = bool(params.stream)
        self._accepted_ns: int | None = None
        self._first_token_ns: int | None = None
        self._prompt_tokens = self._cached_tokens = 0
        self._tool_calls: dict[tuple[int, int], _ToolCall] = {}

    @guarded
    def accepted(self, prompt_tokens: int, cached_tokens: int, pictures_encoded: int | None = None) -> None:
        """Record that the engine accepted the request: prefill begins.

        `pictures_encoded`: pictures whose features were not kept from earlier requests; None: the prompt has none.
        """
        if not self._done:
            self._measure.begin(prompt_tokens, cached_tokens)
        if self._recording and not self._done and self._accepted_ns is None:
            self._accepted_ns = self._now()
            self._prompt_tokens, self._cached_tokens = prompt_tokens, cached_tokens
            if pictures_encoded is not None:
                self._set({names.PICTURES_ENCODED: pictures_encoded})
            if cached_tokens:
                self._event(names.EVENT_PREFIX_CACHE_HIT, {names.GEN_AI_USAGE_CACHE_READ_INPUT_TOKENS: cached_tokens})

    def generated(self, tokens: int = 1) -> None:
        """Count tokens of one output chunk; called for each. The first chunk ends prefill, later ones only count."""
        self._measure.count(tokens)
        if self._recording and self._first_token_ns is None and not self._done:
            self._first_token_ns = self._now()
            self._event(names.EVENT_FIRST_TOKEN)

    @guarded
    def tool_call(self, answer: int, call: int, id: str | None, name: str | None) -> None:
        """Record a part of a function call. The first part has its name."""
        if not self._recording or self._done:
            return
        known = self._tool_calls.get((answer, call))
        if known is not None:
            known.end = self._now()
        elif len(self._tool_calls) < _MAX_TOOL_CALLS:
            now = self._now()
            self._tool_calls[answer, call] = _ToolCall(id, name, now, now)

    @guarded
    def content(self, content: Content) -> None:
        """Record prompt and answer, if `setup` permits contents; otherwise do nothing."""
        if self._recording and not self._done and captures_content():
            self._span.set_attributes(content_attributes(content))

    @guarded
    def stop(
        self,
        finish_reasons: tuple[str, ...],
        prompt_tokens: int,
        completion_tokens: int,
        cached_tokens: int,
        prefill_seconds: float,
        decode_seconds: float,
    ) -> None:
        """Record complete answers. The engine measured the seconds: acceptance to first token, first token to last."""
        self._measure.stop(prompt_tokens, completion_tokens, cached_tokens, decode_seconds)
        if not self._finish():
            return
        now = self._now()
        self._prompt_tokens, self._cached_tokens = prompt_tokens, cached_tokens
        self._usage(completion_tokens, finish_reasons)
        self._draw(now, prefill_seconds, decode_seconds, completion_tokens)
        self._end(now)

    @guarded
    def fail(self, error: BaseException) -> None:
        """Record an answer that broke off. A cancellation counts as `cancel`."""
        if self._is_cancellation(error):
            self.cancel()
            return
        self._measure.fail(error)
        if self._finish():
            self._error(error)
            self._break_off(error)

    @guarded
    def cancel(self) -> None:
        """Record that the client disconnected."""
        self._measure.fail(None)
        if self._finish():
            self._event(names.EVENT_CANCELLED)
            self._set({names.CANCELLED: True})
            self._break_off(None)

    @guarded
    def _draw(self, now: int, prefill_seconds: float, decode_seconds: float, tokens: int) -> None:
        """Draw the engine's durations on this clock: from acceptance on, within this span, one after the other."""
        prefill, decode = nanoseconds(prefill_seconds), nanoseconds(decode_seconds)
        # A busy event loop reports the acceptance late; the answer cannot have ended in the future.
        latest = now - prefill - decode
        begin = max(self._start_ns, min(self._accepted_ns or self._start_ns, latest))
        first = min(begin + prefill, now)
        self._prefill(begin, first, prefill / 1e9)
        # The first token belongs to prefill: n tokens take n - 1 decode steps.
        speed = (tokens - 1) * 1e9 / decode if decode and tokens > 1 else None
        self._child(
            "decode",
            first,
            min(first + decode, now),
            {names.GEN_AI_USAGE_OUTPUT_TOKENS: tokens, names.DECODE_TOKENS_PER_SECOND: speed},
        )
        self._draw_tool_calls(now)

    def _draw_tool_calls(self, now: int) -> None:
        """Draw function calls, each from its name to its last part, by this clock."""
        for call in self._tool_calls.values():
            attributes = {
                names.GEN_AI_TOOL_NAME: call.name,
                names.GEN_AI_TOOL_CALL_ID: call.id,
                names.GEN_AI_TOOL_TYPE: "function",
            }
            name = f"tool_call {call.name}" if call.name else "tool_call"
            self._child(clean(name), call.begin, min(call.end, now), attributes)

    def _break_off(self, error: BaseException | None) -> None:
        now = self._now()
        if self._accepted_ns is not None:
            self._usage(None, None)
            self._draw_broken(self._accepted_ns, now, error)
        self._end(now)

    @guarded
    def _draw_broken(self, accepted: int, now: int, error: BaseException | None) -> None:
        """Draw prefill and decode as far as they came, by this clock."""
        how = {names.ERROR_TYPE: error_type(error)} if error else {names.CANCELLED: True}
        first = self._first_token_ns
        if first is None:
            self._prefill(accepted, now, None, how=how, error=error)
        else:
            self._prefill(accepted, first, (first - accepted) / 1e9)
            self._child("decode", first, now, how, error=error)
            self._draw_tool_calls(now)

    def _prefill(
        self,
        begin: int,
        end: int,
        seconds: float | None,
        *,
        how: Mapping[str, Any] = _WELL,
        error: BaseException | None = None,
    ) -> None:
        """Draw prefill. `how` has attributes of its end, unless it completed."""
        attributes = {
            names.GEN_AI_SERVER_TIME_TO_FIRST_TOKEN: seconds,
            names.GEN_AI_USAGE_INPUT_TOKENS: self._prompt_tokens,
            names.GEN_AI_USAGE_CACHE_READ_INPUT_TOKENS: self._cached_tokens,
            **how,
        }
        self._child("prefill", begin, end, attributes, error=error)

    def _usage(self, completion_tokens: int | None, finish_reasons: tuple[str, ...] | None) -> None:
        first = self._first_token_ns
        self._set(
            {
                names.GEN_AI_RESPONSE_MODEL: self._model,
                names.GEN_AI_RESPONSE_FINISH_REASONS: finish_reasons,
                names.GEN_AI_USAGE_INPUT_TOKENS: self._prompt_tokens,
                names.GEN_AI_USAGE_OUTPUT_TOKENS: completion_tokens,
                names.GEN_AI_USAGE_CACHE_READ_INPUT_TOKENS: self._cached_tokens,
                names.GEN_AI_RESPONSE_TIME_TO_FIRST_CHUNK: (first - self._start_ns) / 1e9
                if self._stream and first is not None
                else None,
            }
        )


def _requested(model: str, params: ChatParams) -> dict[str, Any]:
    """Attributes known at the start."""
    return {
        names.GEN_AI_OPERATION_NAME: _OPERATION,
        names.GEN_AI_PROVIDER_NAME: names.PROVIDER,
        names.GEN_AI_REQUEST_MODEL: model,
        names.GEN_AI_REQUEST_TEMPERATURE: params.temperature,
        names.GEN_AI_REQUEST_TOP_P: params.top_p,
        names.GEN_AI_REQUEST_TOP_K: params.top_k,
        names.GEN_AI_REQUEST_MAX_TOKENS: params.max_tokens,
        names.GEN_AI_REQUEST_SEED: params.seed,
        names.GEN_AI_REQUEST_PRESENCE_PENALTY: params.presence_penalty,
        names.GEN_AI_REQUEST_FREQUENCY_PENALTY: params.frequency_penalty,
        names.GEN_AI_REQUEST_STOP_SEQUENCES: params.stop or None,
        names.GEN_AI_REQUEST_STREAM: params.stream,
        names.GEN_AI_REQUEST_CHOICE_COUNT: params.choices,
    }


def start_chat(*, model: str, request_id: str, params: ChatParams) -> ChatSpan:
    """Start the span of one generation by `model`, as a child of the current span."""
    return ChatSpan(model=model, request_id=request_id, params=params)
