"""Files and vector stores, and the search in them."""

from __future__ import annotations

from collections.abc import Sequence

from contracts.retrieval.filters import Filter
from providers.errors import NotFound
from server.retrieval.passages import Passage

__all__ = ["Retrieval"]


class Retrieval:
    """Keeps files, divides their texts into passages, and finds passages by meaning and by words."""

    async def search(
        self,
        vector_store_ids: Sequence[str],
        queries: Sequence[str],
        *,
        max_results: int = 10,
        filters: Filter | None = None,
        score_threshold: float = 0.0,
    ) -> Sequence[Passage]:
        """The passages of these stores that fit the queries best, in descending order of their scores.

        A passage that several queries find has its best score. `filters` chooses files by their attributes.

        Raises:
            NotFound: there is no such store; the message has its id.
            InvalidRequest: this server has no embedding model.
            QueueFull, QueueTimeout, ModelNotReady, EngineCrashed: of the embedding model.
        """
        for id in vector_store_ids:
            raise NotFound(f"Vector store with id '{id[:128]}' not found.", param="vector_store_id")
        return []
