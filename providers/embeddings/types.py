"""Embedding and reranking as the providers see them: two request types, and the events that answer them.

Vectors travel as little-endian float32, row after row; no number of theirs becomes a Python object on the way.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import msgspec

from providers.events import Event

__all__ = [
    "Embedded",
    "EmbeddingEvent",
    "EmbeddingRequest",
    "Ranked",
    "RerankRequest",
    "TokenPlaces",
    "Truncation",
    "Vectors",
]

Truncation = Literal["none", "end", "start"]
"""Where tokens are removed from a text over the model's context; `none` refuses it."""


class EmbeddingRequest(msgspec.Struct, frozen=True, tag="embedding"):
    """Texts, or token ids used as they are, to turn into unit vectors.

    `truncate` cuts what is over the model's context at its start or its end, instead of refusing it.
    `dimensions` is how many numbers of each vector to keep. `timeout` is in seconds from admission.
    """

    id: str
    inputs: list[str | list[int]]
    truncate: Truncation = "none"
    dimensions: int | None = None
    timeout: float | None = None


class RerankRequest(msgspec.Struct, frozen=True, tag="rerank"):
    """A query, and the documents to score against it. `truncate` cuts documents at their start or their end."""

    id: str
    query: str
    documents: list[str]
    truncate: Truncation = "none"
    timeout: float | None = None


class Vectors(Event, frozen=True, array_like=True, tag="v"):
    """The vectors of some inputs, one row each, in the order of `indexes`."""

    indexes: list[int]
    data: bytes


class Embedded(Event, frozen=True, array_like=True, tag="ve"):
    """Every vector was sent. `tokens` were computed, in `seconds` from the first batch on, by the engine's clock."""

    ends: ClassVar[bool] = True

    dimensions: int
    tokens: int
    seconds: float


class Ranked(Event, frozen=True, array_like=True, tag="vr"):
    """The documents' scores, little-endian float32 in their order.

    `cross_encoder`: the model read query and document together, and a score is its probability that the document is
    relevant. Else a score is the cosine of their two vectors.
    """

    ends: ClassVar[bool] = True

    scores: bytes
    cross_encoder: bool
    tokens: int
    seconds: float


class TokenPlaces(msgspec.Struct, frozen=True):
    """The place of each token's first character in a text, and how many tokens an input of the model may have."""

    starts: list[int]
    room: int


EmbeddingEvent = Vectors | Embedded | Ranked
