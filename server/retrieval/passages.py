"""What a search finds."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

__all__ = ["Passage"]


@attrs.frozen(kw_only=True)
class Passage:
    """A part of a file. `start` and `end` are character offsets into the file's text; `score` is from 0 to 1."""

    file_id: str
    filename: str
    vector_store_id: str
    score: float
    text: str
    start: int
    end: int
    attributes: Mapping[str, str | float | bool]
