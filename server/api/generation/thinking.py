"""Switches for reasoning, as arguments of chat templates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from contracts.chat.request import ChatCompletionRequest, ReasoningEffort
from providers.errors import InvalidRequest
from server.api.refusals import check_parameters

__all__ = ["agreed", "max_reasoning_tokens", "template_arguments", "thinking_kwargs", "thinking_switches"]

T = TypeVar("T")

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
    reasoning, thinking, think = request.reasoning, request.thinking, request.think
    if reasoning is not None:
        check_parameters(reasoning, path="reasoning.")
    efforts: dict[str, ReasoningEffort | None] = {
        "reasoning_effort": request.reasoning_effort,
        "reasoning.effort": reasoning.effort if reasoning else None,
        "think": None if isinstance(think, bool) else think,
    }
    effort: ReasoningEffort | None = agreed(efforts)
    on = agreed(
        {
            "enable_thinking": request.enable_thinking,
            "reasoning.enabled": reasoning.enabled if reasoning else None,
            "think": think if isinstance(think, bool) else None,
            "thinking.type": thinking.type != "disabled" if thinking else None,
        }
    )
    return thinking_kwargs(effort) if on is None else {**thinking_kwargs(effort), "enable_thinking": on}


def max_reasoning_tokens(request: ChatCompletionRequest) -> int | None:
    """The bound on the tokens of the reasoning, from the first field that sets it."""
    if request.max_reasoning_tokens is not None:
        return request.max_reasoning_tokens
    if request.thinking is not None and request.thinking.budget_tokens is not None:
        return request.thinking.budget_tokens
    return request.reasoning.max_tokens if request.reasoning else None


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
