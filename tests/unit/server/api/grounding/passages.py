"""A search with a script: passages that it finds, and the calls that it gets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs
import pytest

from providers.errors import ServiceError
from server.retrieval.passages import Passage
from server.retrieval.retrieval import Retrieval

__all__ = ["BEES", "HIVES", "Found", "passage", "searching"]


def passage(text: str, filename: str = "bees.md", **fields: Any) -> Passage:
    known = {
        "file_id": f"file-{filename.partition('.')[0]}",
        "filename": filename,
        "vector_store_id": "vs_1",
        "score": 0.9,
        "text": text,
        "start": 10,
        "end": 10 + len(text),
        "attributes": {},
    }
    return Passage(**{**known, **fields})


BEES = passage("Bees dance.")
HIVES = passage("Hives hum.", "hives.txt", score=0.5, start=0, end=10, attributes={"year": 2020.0})


@attrs.define
class Found:
    """What the search returns or raises, and its calls."""

    passages: Sequence[Passage]
    error: ServiceError | None = None
    calls: list[dict[str, Any]] = attrs.field(factory=list)

    async def search(
        self, _: Retrieval, vector_store_ids: Sequence[str], queries: Sequence[str], **options: Any
    ) -> Sequence[Passage]:
        self.calls.append({"stores": [*vector_store_ids], "queries": [*queries], **options})
        if self.error is not None:
            raise self.error
        return self.passages


def searching(monkeypatch: pytest.MonkeyPatch, *passages: Passage, error: ServiceError | None = None) -> Found:
    """Make every search find these passages, or fail."""
    found = Found(passages, error)

    async def search(retrieval: Retrieval, *given: Any, **options: Any) -> Sequence[Passage]:
        return await found.search(retrieval, *given, **options)

    monkeypatch.setattr(Retrieval, "search", search)
    return found
