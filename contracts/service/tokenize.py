"""`POST /v1/tokenize` and `/v1/detokenize`, in vLLM's shapes."""

from __future__ import annotations

from typing import Annotated

import attrs
from annotated_types import MaxLen, MinLen

from contracts._fields import EXPLICIT_NULL, JsonObject, ModelName
from contracts.chat.messages import ChatCompletionRequestMessage
from contracts.chat.tools import MAX_TOOLS, ChatCompletionTool
from contracts.completions import TokenId
from contracts.parameters import honoured

__all__ = ["DetokenizeRequest", "DetokenizeResponse", "TokenizeRequest", "TokenizeResponse"]

MAX_TOKENS = 1 << 18
"""Token ids per request to detokenize."""


@attrs.frozen(kw_only=True)
class TokenizeRequest:
    """Text, or a conversation as the model reads it: either `prompt` or `messages`.

    `add_special_tokens` (default: true) is for `prompt`; the chat template adds its own. The fields
    after it are for `messages`.
    """

    model: ModelName | None = attrs.field(
        default=None, metadata=honoured("As in chat completions.", otherwise="the only chat model")
    )
    prompt: str | None = attrs.field(default=None, metadata=honoured(otherwise="`messages`"))
    messages: Annotated[list[ChatCompletionRequestMessage], MinLen(1)] | None = attrs.field(
        default=None, metadata=honoured("As in chat completions.", otherwise="`prompt`")
    )
    return_token_strs: bool | None = attrs.field(
        default=None, metadata=honoured("Whether the response has `token_strs`.", default=False)
    )
    add_special_tokens: bool | None = attrs.field(
        default=None, metadata=honoured("Whether `prompt` gets the model's special tokens.", default=True)
    )
    add_generation_prompt: bool | None = attrs.field(
        default=None, metadata=honoured("Whether the assistant's turn begins.", default=True)
    )
    tools: Annotated[list[ChatCompletionTool], MaxLen(MAX_TOOLS)] | None = attrs.field(
        default=None, metadata=honoured("As in chat completions.", default=[])
    )
    chat_template_kwargs: JsonObject | None = attrs.field(
        default=None, metadata=honoured("As in chat completions.", default={})
    )


@attrs.frozen(kw_only=True)
class TokenizeResponse:
    """Token ids, their count, and the context length of the model."""

    count: int
    max_model_len: int | None = attrs.field(default=None, metadata=EXPLICIT_NULL)
    tokens: list[int]
    token_strs: list[str] | None = attrs.field(default=None, metadata=EXPLICIT_NULL)
    """The tokens as the vocabulary writes them, if `return_token_strs` was true."""


@attrs.frozen(kw_only=True)
class DetokenizeRequest:
    """Token ids whose text is wanted."""

    model: ModelName | None = attrs.field(
        default=None, metadata=honoured("As in chat completions.", otherwise="the only chat model")
    )
    tokens: Annotated[list[TokenId], MaxLen(MAX_TOKENS)] = attrs.field(metadata=honoured("Ids of the model's tokens."))


@attrs.frozen(kw_only=True)
class DetokenizeResponse:
    """The text of the token ids, special tokens included."""

    prompt: str
