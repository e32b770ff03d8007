"""`POST /v1/embeddings`: vectors of texts."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import attrs
from annotated_types import MinLen

from contracts._fields import Count, ModelName, Seconds
from contracts.completions import TokenId
from contracts.parameters import honoured, noted

__all__ = ["MAX_INPUTS", "CreateEmbeddingResponse", "Embedding", "EmbeddingRequest", "EmbeddingUsage", "Truncation"]

Truncation = Literal["none", "end", "start", "NONE", "END", "START"]
"""The capitals are Cohere's."""

MAX_INPUTS = 2048
"""OpenAI's limit."""


@attrs.frozen(kw_only=True)
class EmbeddingRequest:
    """One input or several, as text or as token ids of the model.

    `null` means the same as leaving a field out; unknown fields are noted.
    """

    model: ModelName | None = attrs.field(
        default=None,
        metadata=honoured(
            "With one embedding model, any name works and the response names the real one.",
            otherwise="the only embedding model",
        ),
    )
    input: str | Annotated[list[str | TokenId | list[TokenId]], MinLen(1)] = attrs.field(
        metadata=honoured(
            "An empty text has a vector too. Token ids are the model's own and are used as they are: no special tokens "
            "are added.",
            values=f"a text, up to {MAX_INPUTS} texts, a list of token ids, or up to {MAX_INPUTS} such lists",
        )
    )
    encoding_format: Literal["float", "base64"] | None = attrs.field(
        default=None,
        metadata=honoured(
            "base64 is of little-endian float32 and a fifth of the bytes. Both hold the same numbers.", default="float"
        ),
    )
    dimensions: Count | None = attrs.field(
        default=None,
        metadata=honoured(
            "Up to the model's own. Fewer only where `config.json` has `matryoshka_dimensions` or `is_matryoshka`: "
            "vectors are cut and normalized to length one again. Elsewhere `400` `unsupported_parameter`.",
            otherwise="the model's own",
        ),
    )
    user: Any = attrs.field(default=None, metadata=noted("A label."))

    # Extensions.
    truncate: Truncation | bool | None = attrs.field(
        default=None,
        metadata=honoured(
            "Extension. An input over the model's context is `400` `context_length_exceeded`, with its index and the "
            "counts (`none`, false), or loses its end (`end`, true) or its start (`start`).",
            values="`none`, `end`, `start`, true, false",
            otherwise="`--embeddings-truncate`",
        ),
    )
    timeout: Seconds | None = attrs.field(
        default=None,
        metadata=honoured("Extension. Seconds from entering the engine; then `504`.", otherwise="no limit"),
    )


@attrs.frozen(kw_only=True)
class Embedding:
    """The vector of one input."""

    object: Literal["embedding"] = "embedding"
    index: int
    embedding: list[float] | str


@attrs.frozen(kw_only=True)
class EmbeddingUsage:
    """The token counts of a request."""

    prompt_tokens: int
    total_tokens: int


@attrs.frozen(kw_only=True)
class CreateEmbeddingResponse:
    """Vectors in the order of the inputs."""

    object: Literal["list"] = "list"
    data: list[Embedding]
    model: str
    usage: EmbeddingUsage
    request_id: str
