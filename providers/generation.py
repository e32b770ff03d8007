"""Text generation as the providers see it: one request type, and the events that answer it.

These travel over the engine's socket once a decode step, so they are `msgspec.Struct`s (arrays on the wire, no
field names), not attrs classes: msgspec cannot tell two attrs classes of a union apart.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

__all__ = [
    "Accepted",
    "ChatMessage",
    "ChatPrompt",
    "FinishReason",
    "Finished",
    "GenerationEvent",
    "GenerationRequest",
    "Prompt",
    "SamplingParams",
    "TextDelta",
    "TextPrompt",
    "TokenPrompt",
    "Usage",
]

FinishReason = Literal["stop", "length"]


class ChatMessage(msgspec.Struct, frozen=True, omit_defaults=True):
    """One turn, in the names that Hugging Face chat templates use."""

    role: str
    content: str | None = None
    name: str | None = None
    tool_calls: list[dict[str, Any]] | None = None
    tool_call_id: str | None = None
    reasoning_content: str | None = None


class ChatPrompt(msgspec.Struct, frozen=True, tag="chat"):
    """Turns that the engine renders with the model's chat template."""

    messages: list[ChatMessage]
    template_kwargs: dict[str, Any] = {}


class TextPrompt(msgspec.Struct, frozen=True, tag="text"):
    """Raw text, tokenised as it is."""

    text: str


class TokenPrompt(msgspec.Struct, frozen=True, tag="tokens"):
    """Token ids, used as they are."""

    tokens: list[int]


Prompt = ChatPrompt | TextPrompt | TokenPrompt


class SamplingParams(msgspec.Struct, frozen=True):
    """How the next token is chosen. `None` means: what the model's generation_config says, else OpenAI's default."""

    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    xtc_probability: float | None = None
    xtc_threshold: float | None = None
    repetition_penalty: float | None = None
    repetition_context_size: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    logit_bias: dict[int, float] | None = None
    seed: int | None = None


class GenerationRequest(msgspec.Struct, frozen=True):
    """One answer to generate.

    `max_tokens` counts generated tokens (None: up to the context); `stop` strings end the answer and are not
    part of it; `timeout` is in seconds from admission into the engine.
    """

    id: str
    prompt: Prompt
    sampling: SamplingParams = SamplingParams()
    max_tokens: int | None = None
    stop: list[str] = []
    timeout: float | None = None


class Usage(msgspec.Struct, frozen=True, array_like=True):
    """Token counts. `cached_tokens` of the prompt were read from the prefix cache."""

    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int = 0


class Accepted(msgspec.Struct, frozen=True, array_like=True, tag="a"):
    """The request passed every check and entered the batch. Always the first event, and sent once."""

    prompt_tokens: int
    cached_tokens: int


class TextDelta(msgspec.Struct, frozen=True, array_like=True, tag="t"):
    """Text to append: whole characters, never part of a stop string. `tokens` is how many decode steps made it."""

    text: str
    tokens: int = 1


class Finished(msgspec.Struct, frozen=True, array_like=True, tag="f"):
    """The answer is complete. Always the last event.

    Times are the engine's own, in seconds: `prefill_seconds` from acceptance to the first token,
    `decode_seconds` from the first token to the last.
    """

    finish_reason: FinishReason
    usage: Usage
    prefill_seconds: float
    decode_seconds: float


GenerationEvent = Accepted | TextDelta | Finished
