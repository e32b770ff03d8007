"""What chat completions, completions and responses ask for in the same words."""

from __future__ import annotations

from typing import Annotated

import attrs
from annotated_types import Ge, Gt, Le, MaxLen, MinLen

from contracts._fields import (
    INT32_MAX,
    Bias,
    Count,
    Fraction,
    Half,
    JsonObject,
    NonEmpty,
    Penalty,
    Seconds,
    Temperature,
)

__all__ = ["MAX_STOP", "GenerationOptions", "GuidedOptions", "SamplingOptions", "StreamOptions"]

MAX_STOP = 64
"""Stop strings a request may carry. OpenAI allows 4; each one costs a search in every decode step."""


@attrs.frozen(kw_only=True)
class StreamOptions:
    """How a stream reports usage.

    `include_usage` true adds a last chunk with `usage` and no choices; false reports none; left out, `usage`
    is on the (last) chunk that carries `finish_reason`.
    """

    include_usage: bool | None = None
    include_obfuscation: bool | None = None


@attrs.frozen(kw_only=True)
class SamplingOptions:
    """How tokens are chosen, and where an answer ends."""

    # The end.
    stop: NonEmpty | Annotated[list[NonEmpty], MaxLen(MAX_STOP)] | None = None
    timeout: Seconds | None = None

    # Sampling.
    temperature: Temperature | None = None
    top_p: Fraction | None = None
    top_k: Annotated[int, Ge(-1), Le(INT32_MAX)] | None = None
    min_p: Fraction | None = None
    xtc_probability: Fraction | None = None
    xtc_threshold: Half | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    repetition_penalty: Annotated[float, Gt(0), Le(100)] | None = None
    repetition_context_size: Count | None = None
    logit_bias: dict[str, Bias] | None = None
    seed: int | None = None
    """Any 64-bit integer."""


@attrs.frozen(kw_only=True)
class GuidedOptions(SamplingOptions):
    """Sampling, and the form that an answer must have: one of these at most."""

    guided_json: JsonObject | str | None = None
    """A JSON schema, or its text."""
    guided_regex: Annotated[str, MinLen(1)] | None = None
    guided_choice: Annotated[list[str], MinLen(1)] | None = None
    guided_grammar: Annotated[str, MinLen(1)] | None = None
    """In llguidance's variant of Lark."""


@attrs.frozen(kw_only=True)
class GenerationOptions(GuidedOptions):
    """Which model, how it samples, and where its answers end."""

    model: Annotated[str, MinLen(1), MaxLen(1024)]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    n: Annotated[int, Ge(1), Le(128)] | None = None
    """Answers to the same prompt."""

    max_tokens: Count | None = None

    user: str | None = None
    """A label; it changes nothing in the answer."""
