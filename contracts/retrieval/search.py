"""`POST /v1/vector_stores/{id}/search`: passages that fit a query."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import attrs
from annotated_types import Ge, Le, MaxLen, MinLen

from contracts._fields import EXPLICIT_NULL, Fraction
from contracts.parameters import honoured, noted
from contracts.retrieval.filters import Attributes, Filter
from contracts.retrieval.store_files import FileContent

__all__ = ["RankingOptions", "VectorStoreSearchRequest", "VectorStoreSearchResult", "VectorStoreSearchResultsPage"]

Query = Annotated[str, MinLen(1), MaxLen(4_096)]


@attrs.frozen(kw_only=True)
class RankingOptions:
    """How results are chosen. There is one ranker; `ranker` is a label."""

    ranker: Any = attrs.field(
        default=None, metadata=noted("There is one ranker.", accepted=("auto", "default-2024-11-15"))
    )
    score_threshold: Fraction | None = attrs.field(
        default=None, metadata=honoured("Passages of a lower score are left out.", default=0)
    )


@attrs.frozen(kw_only=True)
class VectorStoreSearchRequest:
    """A question in words, or several, whose results are joined. Unknown fields are noted."""

    query: Query | Annotated[list[Query], MinLen(1), MaxLen(16)] = attrs.field(
        metadata=honoured(values="a text of up to 4096 characters, or up to 16 texts")
    )
    max_num_results: Annotated[int, Ge(1), Le(50)] | None = attrs.field(default=None, metadata=honoured(default=10))
    filters: Filter | None = attrs.field(
        default=None,
        metadata=honoured("See [Filters](#filters).", values="a comparison, or several", otherwise="all files"),
    )
    ranking_options: RankingOptions | None = attrs.field(
        default=None, metadata=honoured("Only `score_threshold` has an effect.", values="an object", otherwise="none")
    )
    rewrite_query: Any = attrs.field(
        default=None, metadata=noted("Queries are embedded as they are.", accepted=(False,))
    )


@attrs.frozen(kw_only=True)
class VectorStoreSearchResult:
    """A passage. `start` and `end`, an extension, are character offsets into the text of the file."""

    file_id: str
    filename: str
    score: float
    attributes: Attributes
    content: list[FileContent]
    start: int
    end: int


@attrs.frozen(kw_only=True)
class VectorStoreSearchResultsPage:
    """The passages that fit best, in descending order of their scores."""

    object: Literal["vector_store.search_results.page"] = "vector_store.search_results.page"
    search_query: list[str]
    data: list[VectorStoreSearchResult]
    has_more: bool = False
    next_page: None = attrs.field(default=None, metadata=EXPLICIT_NULL)
