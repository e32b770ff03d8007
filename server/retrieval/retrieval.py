"""Files and vector stores, and the search in them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import otel
from contracts.retrieval.filters import Filter
from server.retrieval.embedding import EmbeddingModels, embed, model_of
from server.retrieval.filters import check_filter
from server.retrieval.finding import Query, find
from server.retrieval.indexing import Indexer
from server.retrieval.library import Library, Tables
from server.retrieval.passages import Passage
from server.retrieval.uploads import Uploads
from server.retrieval.vector_stores import VectorStores, known_store

__all__ = ["Retrieval"]


class Retrieval:
    """Keeps files, divides their texts into passages, and finds passages by meaning and by words.

    `folder` is where everything is kept; None: a temporary folder. The first use opens it, or `open` does.
    """

    def __init__(
        self,
        models: EmbeddingModels,
        *,
        folder: str | None = None,
        max_bytes: int = 4_000_000_000,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._models = models
        self._library = Library(folder, clock=clock)
        self._indexer = Indexer(models, self._library)
        self._lasting = folder is not None
        self.files = Uploads(self._library, max_bytes=max_bytes)
        self.stores = VectorStores(self._library, models, self._indexer)

    async def open(self) -> None:
        """Open a folder that lasts, and index the files in it whose indexing was interrupted.

        Raises:
            OSError: it cannot be opened.
        """
        if self._lasting:
            await self._library.open()
            self._indexer.add(await self._library.ask(lambda tables: tables.store_files.unfinished()))

    async def close(self) -> None:
        """Stop indexing and close the folder. Idempotent."""
        await self._indexer.stop()
        await self._library.close()

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
            InvalidRequest: the filter cannot be used, or this server lacks the embedding model of a store.
            QueueFull, QueueTimeout, ModelNotReady, EngineCrashed: of the embedding model.
        """
        if filters is not None:
            check_filter(filters)
        ids = [*dict.fromkeys(vector_store_ids)]
        stores = await self._library.ask(lambda tables: [known_store(tables, id) for id in ids])
        by_model: dict[str, list[str]] = {}
        for store in stores:
            by_model.setdefault(store.model, []).append(store.id)
        passages: list[Passage] = []
        for model, ids in by_model.items():
            passages += await self._search(
                model, ids, queries, max_results=max_results, filters=filters, threshold=score_threshold
            )
        return sorted(passages, key=lambda passage: -passage.score)[:max_results]

    async def _search(
        self,
        model: str,
        ids: Sequence[str],
        queries: Sequence[str],
        *,
        max_results: int,
        filters: Filter | None,
        threshold: float,
    ) -> Sequence[Passage]:
        """The search in stores of one embedding model."""
        request_id = otel.request_id.get() or ""
        provider = model_of(self._models, model)
        with otel.start_retrieval(model=model, request_id=request_id, stores=ids) as span:
            vectors = await embed(provider, queries, id=request_id)
            asked = [Query(text, vector) for text, vector in zip(queries, vectors, strict=True)]

            def search(tables: Tables) -> tuple[list[Passage], float]:
                began = time.monotonic()
                for id in ids:
                    tables.stores.update(known_store(tables, id).key, {}, now=tables.now)
                found = find(tables.connection, ids, asked, limit=max_results, filters=filters, threshold=threshold)
                return found, time.monotonic() - began

            found, seconds = await self._library.ask(search)
            span.found(len(found), seconds)
        return found
