"""The fields that the endpoints which generate text share."""

from __future__ import annotations

from typing import Annotated, Any

import attrs
from annotated_types import Ge, Gt, Le, MaxLen, MinLen

from contracts._fields import (
    Bias,
    Count,
    Fraction,
    Half,
    JsonSchema,
    ModelName,
    Penalty,
    Seconds,
    Temperature,
    Text,
    TopK,
)
from contracts.parameters import honoured, noted

__all__ = ["MAX_STOP", "GenerationOptions", "GuidedOptions", "SamplingOptions", "StopText", "StreamOptions"]

MAX_STOP = 64
"""Stop strings in a request. OpenAI allows 4; each costs a search in every decode step."""


StopText = Annotated[str, MaxLen(1024)]


@attrs.frozen(kw_only=True)
class StreamOptions:
    """When a stream reports usage.

    `include_usage` true: a last chunk has `usage` and no choices. False: no chunk has it. Left out: `usage` is on the
    last chunk that has a `finish_reason`.
    """

    include_usage: bool | None = None
    include_obfuscation: Any = attrs.field(default=None, metadata=noted(accepted=(False,)))


@attrs.frozen(kw_only=True)
class SamplingOptions:
    """How tokens are sampled, where the answer ends, and which cached prompts it may use."""

    # The end.
    stop: StopText | Annotated[list[StopText | None], MaxLen(MAX_STOP)] | None = attrs.field(
        default=None,
        metadata=honoured(
            "Texts that end the answer. They are matched in its text and are not part of it. Empty ones mean nothing.",
            values=f"text of up to 1024 characters, or up to {MAX_STOP} such texts",
            default=[],
        ),
    )
    timeout: Seconds | None = attrs.field(
        default=None,
        metadata=honoured(
            "Extension. Seconds from entering the engine; then `504`, or in a stream the event of a failure.",
            otherwise="no limit",
        ),
    )

    cache_salt: Annotated[str, MaxLen(1024)] | None = attrs.field(
        default=None,
        metadata=honoured(
            "Extension, as in vLLM. A cached prompt is found only by requests with the same salt, and with the same "
            "API key if there are several (`--prefix-cache-scope`).",
            values="text of up to 1024 characters",
            otherwise="none",
        ),
    )

    # Sampling.
    temperature: Temperature | None = attrs.field(
        default=None,
        metadata=honoured(
            "0 always takes the likeliest token.",
            otherwise="the model's `generation_config.json` (0 where its `do_sample` is false), else 1",
        ),
    )
    top_p: Fraction | None = attrs.field(
        default=None,
        metadata=honoured(
            "Keeps the likeliest tokens whose probabilities sum to this.",
            otherwise="the model's `generation_config.json`, else 1",
        ),
    )
    top_k: TopK | None = attrs.field(
        default=None,
        metadata=honoured(
            "Extension. Keeps this number of the likeliest tokens. 0 and -1 turn it off.",
            otherwise="the model's `generation_config.json`, else 0",
        ),
    )
    min_p: Fraction | None = attrs.field(
        default=None,
        metadata=honoured(
            "Extension. Keeps tokens whose probability is at least this fraction of the likeliest token's.",
            otherwise="the model's `generation_config.json`, else 0",
        ),
    )
    xtc_probability: Fraction | None = attrs.field(
        default=None,
        metadata=honoured(
            "Extension. How often the likeliest tokens are excluded: all over `xtc_threshold` but the last of them.",
            default=0,
        ),
    )
    xtc_threshold: Half | None = attrs.field(default=None, metadata=honoured("Extension.", default=0.1))
    presence_penalty: Penalty | None = attrs.field(default=None, metadata=honoured(default=0))
    frequency_penalty: Penalty | None = attrs.field(default=None, metadata=honoured(default=0))
    repetition_penalty: Annotated[float, Gt(0), Le(100)] | None = attrs.field(
        default=None,
        metadata=honoured("Extension. 1 turns it off.", otherwise="the model's `generation_config.json`, else 1"),
    )
    repeat_penalty: Annotated[float, Gt(0), Le(100)] | None = attrs.field(
        default=None,
        metadata=honoured("Extension: llama.cpp's name of `repetition_penalty`.", otherwise="as `repetition_penalty`"),
    )
    repetition_context_size: Count | None = attrs.field(
        default=None, metadata=honoured("Extension. Tokens that `repetition_penalty` looks back.", default=20)
    )
    logit_bias: dict[str, Bias] | None = attrs.field(
        default=None,
        metadata=honoured(
            "An id outside the vocabulary is refused.", values="token ids as text, each with -100 to 100", default={}
        ),
    )
    seed: int | None = attrs.field(
        default=None,
        metadata=honoured(
            "Fixes the random draws. `system_fingerprint` changes with the model and the server's version. -1 is "
            "random, as in most front ends; the highest of 64 bits is dropped.",
            values="-9223372036854775808 to 18446744073709551615",
            otherwise="random",
        ),
    )


@attrs.frozen(kw_only=True)
class GuidedOptions(SamplingOptions):
    """Sampling, and the form of the answer: at most one of these fields."""

    guided_json: JsonSchema | str | None = attrs.field(
        default=None,
        metadata=honoured(
            "Extension. The answer is JSON that the schema accepts, as far as a grammar can hold it; "
            "`X-Ignored-Parameters` names the rest. Of the `guided_…` fields and the endpoint's own field for a form, "
            "at most one may be sent.",
            values="a JSON schema, or its text",
            otherwise="any text",
        ),
    )
    guided_regex: Text | None = attrs.field(
        default=None,
        metadata=honoured(
            "Extension. The whole answer matches. Rust's syntax.", values="a regular expression", otherwise="any text"
        ),
    )
    guided_choice: Annotated[list[str], MinLen(1)] | None = attrs.field(
        default=None, metadata=honoured("Extension. The answer is one of these texts.", otherwise="any text")
    )
    guided_grammar: Text | None = attrs.field(
        default=None,
        metadata=honoured(
            "Extension. llguidance's variant of Lark, or llama.cpp's GBNF.", values="a grammar", otherwise="any text"
        ),
    )


@attrs.frozen(kw_only=True)
class GenerationOptions(GuidedOptions):
    """The model, its sampling, and where its choices end."""

    json_schema: JsonSchema | str | None = attrs.field(
        default=None,
        metadata=honoured(
            "Extension: llama.cpp's name of `guided_json`.",
            values="a JSON schema, or its text",
            otherwise="any text",
        ),
    )
    grammar: str | None = attrs.field(
        default=None,
        metadata=honoured(
            "Extension: llama.cpp's name of `guided_grammar`.", values="a grammar, or empty", otherwise="any text"
        ),
    )

    model: ModelName | None = attrs.field(
        default=None,
        metadata=honoured(
            "With one chat model, any name works and the response names the real one. With several, it must be the "
            "id or an alias of one.",
            otherwise="the only chat model",
        ),
    )
    stream: bool | None = attrs.field(
        default=None, metadata=honoured("Server-sent events, ended by `data: [DONE]`.", default=False)
    )
    stream_options: StreamOptions | None = attrs.field(
        default=None,
        metadata=honoured(
            "`include_usage` true: a last chunk has `usage` and no choices; false: no chunk has it. Noted without "
            "`stream`, as is `include_obfuscation` true.",
            values="`include_usage`",
            otherwise="`usage` is on the last chunk that has a `finish_reason`",
        ),
    )
    n: Annotated[int, Ge(1), Le(128)] | None = attrs.field(
        default=None,
        metadata=honoured(
            "Choices per prompt, which is computed once. More than the model's `--max-concurrency` is `400`.", default=1
        ),
    )
    user: Any = attrs.field(default=None, metadata=noted("A label."))
