"""Reasoning effort, as arguments of chat templates."""

from __future__ import annotations

from typing import Any

from contracts.chat.request import ReasoningEffort

__all__ = ["thinking_kwargs"]

_OFF: frozenset[ReasoningEffort] = frozenset({"none", "minimal"})


def thinking_kwargs(effort: ReasoningEffort | None) -> dict[str, Any]:
    """Template arguments for this effort.

    Templates with levels read `reasoning_effort` (gpt-oss). Templates that only switch thinking on and off read
    `enable_thinking` (Qwen, GLM, SmolLM3); `none` and `minimal` switch it off.
    """
    if effort is None:
        return {}
    return {"reasoning_effort": effort, "enable_thinking": effort not in _OFF}
