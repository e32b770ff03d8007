"""Switches for reasoning, as arguments of chat templates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, cast, get_args

from contracts.chat.request import (
    ChatCompletionRequest,
    ReasoningEffort,
    ReasoningSwitch,
    ThinkingSwitch,
)
from providers.errors import InvalidRequest
from server.api.refusals import check_parameters

__all__ = [
    "agreed",
    "given_effort",
    "max_reasoning_tokens",
    "template_arguments",
    "thinking_kwargs",
    "thinking_switches",
    "to_budget",
]

T = TypeVar("T")

_EFFORTS = frozenset(get_args(ReasoningEffort))
_OFF: frozenset[ReasoningEffort] = frozenset({"none", "minimal"})
_SWITCHES = ("enable_thinking", "thinking")
"""The arguments by which templates switch reasoning on and off."""
_WORDS = {"true": True, "false": False}


def thinking_kwargs(effort: ReasoningEffort | None) -> dict[str, Any]:
    """Template arguments for this effort.

    Templates with levels read `reasoning_effort` (gpt-oss). Templates that only switch thinking on and off read
    `enable_thinking` (Qwen, GLM, SmolLM3); `none` and `minimal` switch it off.
    """
    if effort is None:
        return {}
    return {"reasoning_effort": effort, "enable_thinking": effort not in _OFF}


def thinking_switches(request: ChatCompletionRequest) -> dict[str, Any]:
    """Template arguments for the request's reasoning, by whichever fields it sets it.

    Raises:
        InvalidRequest: two fields contradict each other.
        UnsupportedParameter: a field has no effect, and the server has `--strict-parameters`.
    """
    reasoning, thinking = _reasoning_switch(request), request.thinking
    check_parameters(reasoning, path="reasoning.")
    think = _WORDS.get(request.think, request.think) if isinstance(request.think, str) else request.think
    efforts: dict[str, ReasoningEffort | None] = {
        "reasoning_effort": given_effort(request.reasoning_effort),
        "reasoning.effort": given_effort(reasoning.effort),
        "think": None if isinstance(think, bool) else given_effort(think),
    }
    effort: ReasoningEffort | None = agreed(efforts)
    switch = thinking.type != "disabled" if isinstance(thinking, ThinkingSwitch) else thinking
    on = agreed(
        {
            "enable_thinking": request.enable_thinking,
            "reasoning.enabled": reasoning.enabled,
            "think": think if isinstance(think, bool) else None,
            "thinking.type": switch,
        }
    )
    return thinking_kwargs(effort) if on is None else {**thinking_kwargs(effort), "enable_thinking": on}


def max_reasoning_tokens(request: ChatCompletionRequest) -> int | None:
    """The bound on the tokens of the reasoning, from the first field that sets it."""
    if request.max_reasoning_tokens is not None:
        return request.max_reasoning_tokens
    thinking = request.thinking
    budget = thinking.budget_tokens if isinstance(thinking, ThinkingSwitch) else None
    return to_budget(_reasoning_switch(request).max_tokens if budget is None else budget)


def to_budget(tokens: int | None) -> int | None:
    """The bound of a budget, of which -1 is none."""
    return None if tokens == -1 else tokens


def given_effort(effort: object) -> ReasoningEffort | None:
    """The effort of a field, if it has one: `auto`, `default` and an empty text have none."""
    return cast(ReasoningEffort, effort) if effort in _EFFORTS else None


def _reasoning_switch(request: ChatCompletionRequest) -> ReasoningSwitch:
    given = request.reasoning
    if isinstance(given, ReasoningSwitch):
        return given
    return ReasoningSwitch(enabled=given) if isinstance(given, bool) else ReasoningSwitch(effort=given)


def template_arguments(given: Mapping[str, Any] | None) -> dict[str, Any]:
    """A client's template arguments. The texts `true` and `false` are switches: a template reads any text as true."""
    return {
        name: _WORDS.get(value.strip().lower(), value) if name in _SWITCHES and isinstance(value, str) else value
        for name, value in (given or {}).items()
    }


def agreed(values: Mapping[str, T | None]) -> T | None:
    """The value of the fields that have one.

    Raises:
        InvalidRequest: two fields have different values.
    """
    found = {path: value for path, value in values.items() if value is not None}
    if not found:
        return None
    (first, value), *others = found.items()
    for path, other in others:
        if other != value:
            raise InvalidRequest(f"{path} and {first} contradict each other; send one of them", param=path)
    return value
