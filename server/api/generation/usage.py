"""Usage, from the domain to the wire."""

from __future__ import annotations

from contracts.usage import CompletionTokensDetails, CompletionUsage, PromptTokensDetails
from providers.chat.types import Usage

__all__ = ["completion_usage"]


def completion_usage(usage: Usage, context_tokens: int | None = None) -> CompletionUsage:
    """`context_tokens`: those of the prompt that are passages of files; None: nothing was searched."""
    return CompletionUsage(
        prompt_tokens=usage.prompt_tokens,
        completion_tokens=usage.completion_tokens,
        total_tokens=usage.prompt_tokens + usage.completion_tokens,
        prompt_tokens_details=PromptTokensDetails(cached_tokens=usage.cached_tokens, context_tokens=context_tokens),
        completion_tokens_details=CompletionTokensDetails(reasoning_tokens=usage.reasoning_tokens),
    )
