"""What an answer is given to read: the vector stores of a request, and the passages found in them."""

from __future__ import annotations

from typing import Annotated, Literal

import attrs
from annotated_types import Ge, Le, MaxLen, MinLen

from contracts._fields import Fraction
from contracts.retrieval.filters import Filter

__all__ = [
    "ChatContext",
    "ChatFileCitation",
    "ContextPassage",
    "FileCitationAnnotation",
    "ResultCount",
    "StoreIds",
    "UsedContext",
]

StoreIds = Annotated[list[Annotated[str, MinLen(1), MaxLen(256)]], MinLen(1), MaxLen(16)]
ResultCount = Annotated[int, Ge(1), Le(50)]


@attrs.frozen(kw_only=True)
class ChatContext:
    """Vector stores to search for passages, which the model reads in front of the last user turn."""

    vector_store_ids: StoreIds
    max_results: ResultCount | None = None
    filters: Filter | None = None
    score_threshold: Fraction | None = None


@attrs.frozen(kw_only=True)
class ContextPassage:
    """A passage that the prompt holds. `start` and `end` are its offsets in the file's text, in characters."""

    file_id: str
    filename: str
    vector_store_id: str
    score: float
    start: int
    end: int
    text: str


@attrs.frozen(kw_only=True)
class UsedContext:
    """The passages that the prompt holds, best first: number 1 is the first."""

    passages: list[ContextPassage]
    found: int
    """The number of passages found. There are fewer in the prompt if its context has no room for all."""


@attrs.frozen(kw_only=True)
class ChatFileCitation:
    """A mark such as `[1]` in the content, and the passage that it cites."""

    index: int
    """Offset of the mark in the content, in characters."""
    file_id: str
    filename: str
    start: int
    """Offset of the passage in the file's text, in characters, as `end`."""
    end: int


@attrs.frozen(kw_only=True)
class FileCitationAnnotation:
    """A citation of a file."""

    type: Literal["file_citation"] = "file_citation"
    file_citation: ChatFileCitation
