"""`POST /v1/rerank`, in the shape that Jina and Cohere share: documents ordered by relevance to a query."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import attrs
from annotated_types import MaxLen, MinLen

from contracts._fields import Count, ModelName, Seconds, Text
from contracts.embeddings import Truncation
from contracts.parameters import honoured, noted

__all__ = ["MAX_DOCUMENTS", "RerankDocument", "RerankRequest", "RerankResponse", "RerankResult", "RerankUsage"]

MAX_DOCUMENTS = 2048


@attrs.frozen(kw_only=True)
class RerankDocument:
    """A document in the form of an object."""

    type: Literal["text"] = "text"
    text: str


@attrs.frozen(kw_only=True)
class RerankRequest:
    """A query and documents, each a text or `{"text": …}`.

    `null` means the same as leaving a field out; unknown fields are noted.
    """

    model: ModelName | None = attrs.field(
        default=None,
        metadata=honoured(
            "With one embedding model, any name works and the response names the real one.",
            otherwise="the only embedding model",
        ),
    )
    query: Text = attrs.field(metadata=honoured(values="text, not empty"))
    documents: Annotated[list[str | RerankDocument], MinLen(1), MaxLen(MAX_DOCUMENTS)] = attrs.field(
        metadata=honoured(values=f'up to {MAX_DOCUMENTS} texts or `{{"text": …}}`')
    )
    top_n: Count | None = attrs.field(default=None, metadata=honoured("Results to return.", otherwise="all"))
    return_documents: bool | None = attrs.field(
        default=None, metadata=honoured("Whether each result has `document`.", default=False)
    )
    user: Any = attrs.field(default=None, metadata=noted("A label."))
    truncate: Truncation | bool | None = attrs.field(
        default=None,
        metadata=honoured(
            "A document over the model's context is `400` `context_length_exceeded`, with its index and the counts "
            "(`none`, false), or loses its end (`end`, true) or its start (`start`). An overlong query is always "
            "refused.",
            values="`none`, `end`, `start`, true, false",
            otherwise="`--embeddings-truncate`",
        ),
    )
    timeout: Seconds | None = attrs.field(
        default=None, metadata=honoured("Seconds from entering the engine; then `504`.", otherwise="no limit")
    )


@attrs.frozen(kw_only=True)
class RerankedText:
    """A document, repeated in a result."""

    text: str


@attrs.frozen(kw_only=True)
class RerankResult:
    """The score of a document. `index` is its position in the request."""

    index: int
    relevance_score: float
    document: RerankedText | None = None


@attrs.frozen(kw_only=True)
class RerankUsage:
    """The token counts of a request."""

    prompt_tokens: int
    total_tokens: int


@attrs.frozen(kw_only=True)
class RerankResponse:
    """The results, the most relevant first. Equal scores keep the order of the request.

    `method` defines the scores. `cross-encoder`: the probability that the model assigns to query and document together.
    `bi-encoder`: the cosine of the vectors that an embedding model computes for them, from -1 to 1.
    """

    id: str
    object: Literal["list"] = "list"
    model: str
    method: Literal["cross-encoder", "bi-encoder"]
    results: list[RerankResult]
    usage: RerankUsage
    request_id: str
