"""`POST /v1/completions`: text to go on with, and how it goes on."""

from __future__ import annotations

from typing import Annotated, Literal

import attrs
from annotated_types import Ge, Le, MinLen

from contracts._fields import EXPLICIT_NULL, INT32_MAX, Count
from contracts.chat.response_format import ResponseFormat
from contracts.sampling import GenerationOptions
from contracts.usage import CompletionUsage

__all__ = ["Completion", "CompletionChoice", "CompletionLogprobs", "CompletionRequest", "TokenId"]

TokenId = Annotated[int, Ge(0), Le(INT32_MAX)]


@attrs.frozen(kw_only=True)
class CompletionRequest(GenerationOptions):
    """One prompt or several, as text or as token ids, without a chat template.

    `null` means the same as leaving a field out. A parameter that this server knows and cannot honour is refused
    with `unsupported_parameter`; unknown fields are ignored.
    """

    prompt: str | Annotated[list[str | TokenId | list[TokenId]], MinLen(1)]
    """A text, a list of texts, a list of token ids, or a list of such lists. Choices are numbered by prompt, then by
    answer."""
    echo: bool | None = None
    """Whether the prompt's text comes before the answer's."""
    logprobs: Annotated[int, Ge(0), Le(5)] | None = None
    response_format: ResponseFormat | None = None

    # Known, and refused unless they ask for what happens anyway.
    best_of: Count | None = None
    suffix: str | None = None


@attrs.frozen(kw_only=True)
class CompletionLogprobs:
    """Of every token of the text: itself, its natural log-probability, the likeliest in its place (null where none
    were asked for), and the character of the text at which it begins."""

    tokens: list[str]
    token_logprobs: list[float]
    top_logprobs: list[dict[str, float]] | None = attrs.field(default=None, metadata=EXPLICIT_NULL)
    text_offset: list[int]


@attrs.frozen(kw_only=True)
class CompletionChoice:
    """One answer, or a piece of it."""

    index: int
    text: str
    logprobs: CompletionLogprobs | None = attrs.field(default=None, metadata=EXPLICIT_NULL)
    finish_reason: Literal["stop", "length"] | None = attrs.field(default=None, metadata=EXPLICIT_NULL)
    """Null where more pieces follow."""


@attrs.frozen(kw_only=True)
class Completion:
    """Whole answers, or a chunk of a stream."""

    id: str
    object: Literal["text_completion"] = "text_completion"
    created: int
    """Unix seconds, the same on every chunk of a stream."""
    model: str
    choices: list[CompletionChoice]
    usage: CompletionUsage | None = None
    system_fingerprint: str
    request_id: str
