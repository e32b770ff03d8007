"""Token counts of the endpoints that generate text."""

from __future__ import annotations

import attrs

__all__ = ["CompletionTokensDetails", "CompletionUsage", "PromptTokensDetails"]


@attrs.frozen(kw_only=True)
class PromptTokensDetails:
    """The prompt tokens that were read from the prefix cache instead of computed, and those of passages."""

    cached_tokens: int = 0
    audio_tokens: int = 0
    """Always 0: prompts consist of text."""
    context_tokens: int | None = None
    """Extension: the prompt tokens that passages of files take. Only with `context`."""


@attrs.frozen(kw_only=True)
class CompletionTokensDetails:
    """The completion tokens that were reasoning."""

    reasoning_tokens: int = 0
    audio_tokens: int = 0
    """Always 0: the chat model generates text, and a voice speaks it without tokens."""


@attrs.frozen(kw_only=True)
class CompletionUsage:
    """The token counts of a request."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: PromptTokensDetails
    completion_tokens_details: CompletionTokensDetails
