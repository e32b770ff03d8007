"""`POST /v1/completions`: text to continue, and its continuations."""

from __future__ import annotations

from typing import Annotated, Literal

import attrs
from annotated_types import Ge, Le, MinLen

from contracts._fields import EXPLICIT_NULL, INT32_MAX, TopLogprobs
from contracts.chat.response_format import ResponseFormat
from contracts.parameters import honoured
from contracts.sampling import GenerationOptions
from contracts.usage import CompletionUsage

__all__ = [
    "DEFAULT_MAX_TOKENS",
    "MAX_PROMPTS",
    "MAX_TOKEN_ID",
    "Completion",
    "CompletionChoice",
    "CompletionLogprobs",
    "CompletionRequest",
    "TokenId",
]

MAX_TOKEN_ID = INT32_MAX
TokenId = Annotated[int, Ge(0), Le(MAX_TOKEN_ID)]

MAX_PROMPTS = 1024
DEFAULT_MAX_TOKENS = 16
"""OpenAI's default."""


@attrs.frozen(kw_only=True)
class CompletionRequest(GenerationOptions):
    """One prompt or several, as text or as token ids, without a chat template.

    `null` means the same as leaving a field out. A parameter that this server knows and cannot honour is refused
    with `unsupported_parameter`; unknown fields are noted.
    """

    prompt: str | Annotated[list[str | TokenId | Annotated[list[TokenId], MinLen(1)]], MinLen(1)] = attrs.field(
        metadata=honoured(
            f"Taken as it is, without a chat template. Up to {MAX_PROMPTS} prompts. Choices are numbered by prompt, "
            "then by `n`.",
            values="a text, a list of texts, a list of token ids, or a list of such lists",
        )
    )
    max_tokens: Annotated[int, Ge(-1)] | None = attrs.field(
        default=None,
        metadata=honoured(
            "Tokens to generate at most. More than the context has room for means as many as it has. 0 only with "
            "`echo`: the answer is the prompt.",
            values="0 or more, or -1 for no limit",
            default=DEFAULT_MAX_TOKENS,
        ),
    )
    max_completion_tokens: Annotated[int, Ge(-1)] | None = attrs.field(
        default=None,
        metadata=honoured(
            "Name of `max_tokens` in chat completions. Both may be sent if they agree.",
            values="0 or more, or -1 for no limit",
            otherwise="as `max_tokens`",
        ),
    )
    echo: bool | None = attrs.field(
        default=None,
        metadata=honoured(
            "The prompt's text comes before the answer, and with `logprobs` those of its tokens: `max_tokens` 0 or 1 "
            "scores a text, as lm-evaluation-harness does.",
            default=False,
        ),
    )
    logprobs: TopLogprobs | bool | None = attrs.field(
        default=None,
        metadata=honoured(
            "In the older shape: `tokens`, `token_logprobs`, `top_logprobs` (null for 0), `text_offset`. Nothing comes "
            "before the first token of an echoed prompt, which has null. True is 0, and false is none.",
            values="0 to 20, or true, false",
            otherwise="none",
        ),
    )
    response_format: ResponseFormat | None = attrs.field(
        default=None,
        metadata=honoured(
            "As in chat completions.", values="`text`, `json_object`, `json_schema`", default={"type": "text"}
        ),
    )

    best_of: Annotated[int, Ge(1), Le(128)] | None = attrs.field(
        default=None,
        metadata=honoured(
            "Generates this number of choices per prompt, and returns the `n` whose tokens have the highest mean "
            "log-probability. More than `n` cannot be streamed.",
            otherwise="`n`",
        ),
    )
    suffix: str | None = attrs.field(
        default=None,
        metadata=honoured(
            "The answer fills the gap between the prompt and this text. Needs a model whose tokenizer has tokens for "
            "it (Qwen2.5-Coder, StarCoder, CodeLlama, DeepSeek-Coder, Codestral, …); with others it is `400`.",
            default="",
        ),
    )


@attrs.frozen(kw_only=True)
class CompletionLogprobs:
    """For each token of the text: the token, its natural log-probability, the likeliest tokens in its place (null if
    none were requested), and the character offset in the text at which it begins.

    Nothing comes before the first token of an echoed prompt: it has null."""

    tokens: list[str]
    token_logprobs: list[float | None]
    top_logprobs: list[dict[str, float] | None] | None = attrs.field(default=None, metadata=EXPLICIT_NULL)
    text_offset: list[int]


@attrs.frozen(kw_only=True)
class CompletionChoice:
    """A choice, or a part of it in a stream."""

    index: int
    text: str
    logprobs: CompletionLogprobs | None = attrs.field(default=None, metadata=EXPLICIT_NULL)
    finish_reason: Literal["stop", "length"] | None = attrs.field(default=None, metadata=EXPLICIT_NULL)
    """Null if more parts follow."""


@attrs.frozen(kw_only=True)
class Completion:
    """A complete response, or a chunk of a stream."""

    id: str
    object: Literal["text_completion"] = "text_completion"
    created: int
    """Unix seconds, the same on every chunk of a stream."""
    model: str
    choices: list[CompletionChoice]
    usage: CompletionUsage | None = None
    system_fingerprint: str
    request_id: str
