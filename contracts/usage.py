"""Token counts, shared by everything that generates text."""

from __future__ import annotations

import attrs

__all__ = ["CompletionTokensDetails", "CompletionUsage", "PromptTokensDetails"]


@attrs.frozen(kw_only=True)
class PromptTokensDetails:
    """Of the prompt's tokens, those read from the prefix cache instead of computed."""

    cached_tokens: int = 0


@attrs.frozen(kw_only=True)
class CompletionTokensDetails:
    """Of the answers' tokens, those spent on thinking."""

    reasoning_tokens: int = 0


@attrs.frozen(kw_only=True)
class CompletionUsage:
    """What a request cost, in tokens."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: PromptTokensDetails
    completion_tokens_details: CompletionTokensDetails
