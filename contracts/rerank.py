"""`POST /v1/rerank`, in the shape that Jina and Cohere share: documents by their relevance to a query."""

from __future__ import annotations

from typing import Annotated, Literal

import attrs
from annotated_types import MinLen

from contracts._fields import Count, Seconds

__all__ = ["RerankDocument", "RerankRequest", "RerankResponse", "RerankResult", "RerankUsage"]


@attrs.frozen(kw_only=True)
class RerankDocument:
    """A document as an object."""

    type: Literal["text"] = "text"
    text: Annotated[str, MinLen(1)]


@attrs.frozen(kw_only=True)
class RerankRequest:
    """A query and documents, each a text or `{"text": …}`.

    `null` means the same as leaving a field out; unknown fields are ignored.
    """

    model: Annotated[str, MinLen(1)]
    query: Annotated[str, MinLen(1)]
    documents: Annotated[list[str | RerankDocument], MinLen(1)]
    top_n: Count | None = None
    """How many results; all of them, where there are fewer or it is left out."""
    return_documents: bool | None = None
    """Whether each result repeats its document; left out: no."""
    user: str | None = None
    truncate: Literal["none", "end"] | None = None
    """What happens to a document over the model's context: it is refused, or loses its end."""
    timeout: Seconds | None = None


@attrs.frozen(kw_only=True)
class RerankedText:
    """A document that a result repeats."""

    text: str


@attrs.frozen(kw_only=True)
class RerankResult:
    """One document's place. `index` is its position in the request."""

    index: int
    relevance_score: float
    document: RerankedText | None = None


@attrs.frozen(kw_only=True)
class RerankUsage:
    """What a request cost, in tokens."""

    prompt_tokens: int
    total_tokens: int


@attrs.frozen(kw_only=True)
class RerankResponse:
    """The most relevant first; equal ones in the order of the request.

    `method` says what a score is: `cross-encoder`, the probability that the model gave query and document together; or
    `bi-encoder`, the cosine of their vectors by an embedding model, from -1 to 1.
    """

    id: str
    object: Literal["list"] = "list"
    model: str
    method: Literal["cross-encoder", "bi-encoder"]
    results: list[RerankResult]
    usage: RerankUsage
    request_id: str
