"""`POST /v1/embeddings`: texts in, vectors out."""

from __future__ import annotations

from typing import Annotated, Literal

import attrs
from annotated_types import Ge, Le, MinLen

from contracts._fields import INT32_MAX, Seconds
from contracts.completions import TokenId

__all__ = ["CreateEmbeddingResponse", "Embedding", "EmbeddingRequest", "EmbeddingUsage", "Truncation"]

Name = Annotated[str, MinLen(1)]
Truncation = Literal["none", "end"]


@attrs.frozen(kw_only=True)
class EmbeddingRequest:
    """One input or several, as text or as token ids of the model's own.

    `null` means the same as leaving a field out; unknown fields are ignored.
    """

    model: Name
    input: str | Annotated[list[str | TokenId | list[TokenId]], MinLen(1)]
    """A text, a list of texts, a list of token ids, or a list of such lists."""
    encoding_format: Literal["float", "base64"] | None = None
    """Numbers, or base64 of little-endian float32."""
    dimensions: Annotated[int, Ge(1), Le(INT32_MAX)] | None = None
    """Length of the vectors, of models that were trained to be cut."""
    user: str | None = None

    # Extensions.
    truncate: Truncation | None = None
    """What happens to an input over the model's context: it is refused, or loses its end."""
    timeout: Seconds | None = None


@attrs.frozen(kw_only=True)
class Embedding:
    """The vector of one input."""

    object: Literal["embedding"] = "embedding"
    index: int
    embedding: list[float] | str


@attrs.frozen(kw_only=True)
class EmbeddingUsage:
    """What a request cost, in tokens."""

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
