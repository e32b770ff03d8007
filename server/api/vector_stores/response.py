"""Stores, files, batches and passages, from the domain to the wire."""

from __future__ import annotations

import time
from collections.abc import Sequence

from contracts.retrieval.search import VectorStoreSearchResult, VectorStoreSearchResultsPage
from contracts.retrieval.store_files import (
    FileContent,
    VectorStoreFile,
    VectorStoreFileBatch,
    VectorStoreFileList,
)
from contracts.retrieval.stores import (
    ChunkSizes,
    ExpiresAfter,
    FileCounts,
    StaticChunkingStrategy,
    VectorStore,
    VectorStoreList,
)
from server.retrieval.passages import Passage
from server.retrieval.tables.pages import Page
from server.retrieval.tables.rows import BatchRow, Counts, StoreFileRow, StoreRow

__all__ = ["batch", "search_results", "store", "store_file", "store_files", "stores"]


def store(row: StoreRow) -> VectorStore:
    expired = row.expires is not None and row.expires <= time.time()
    return VectorStore(
        id=row.id,
        created_at=row.created,
        name=row.name,
        description=row.description,
        usage_bytes=row.bytes,
        file_counts=_counts(row.counts),
        status="expired" if expired else "in_progress" if row.counts.in_progress else "completed",
        expires_after=None if row.days is None else ExpiresAfter(anchor="last_active_at", days=row.days),
        expires_at=row.expires,
        last_active_at=row.active,
        metadata=dict(row.metadata),
        embedding_model=row.model,
    )


def stores(page: Page[StoreRow]) -> VectorStoreList:
    data = [store(row) for row in page.rows]
    first, last = (data[0].id, data[-1].id) if data else (None, None)
    return VectorStoreList(data=data, first_id=first, last_id=last, has_more=page.has_more)


def store_file(row: StoreFileRow) -> VectorStoreFile:
    sizes = ChunkSizes(max_chunk_size_tokens=row.strategy.size, chunk_overlap_tokens=row.strategy.overlap)
    return VectorStoreFile(
        id=row.file_id,
        created_at=row.created,
        vector_store_id=row.store_id,
        status=row.status,
        last_error=row.error,
        usage_bytes=row.bytes,
        attributes=dict(row.attributes),
        chunking_strategy=StaticChunkingStrategy(static=sizes),
    )


def store_files(page: Page[StoreFileRow]) -> VectorStoreFileList:
    data = [store_file(row) for row in page.rows]
    first, last = (data[0].id, data[-1].id) if data else (None, None)
    return VectorStoreFileList(data=data, first_id=first, last_id=last, has_more=page.has_more)


def batch(row: BatchRow) -> VectorStoreFileBatch:
    return VectorStoreFileBatch(
        id=row.id,
        created_at=row.created,
        vector_store_id=row.store_id,
        status="cancelled" if row.cancelled else "in_progress" if row.counts.in_progress else "completed",
        file_counts=_counts(row.counts),
    )


def search_results(queries: Sequence[str], passages: Sequence[Passage]) -> VectorStoreSearchResultsPage:
    return VectorStoreSearchResultsPage(
        search_query=[*queries],
        data=[
            VectorStoreSearchResult(
                file_id=passage.file_id,
                filename=passage.filename,
                score=passage.score,
                attributes=dict(passage.attributes),
                content=[FileContent(text=passage.text)],
                start=passage.start,
                end=passage.end,
            )
            for passage in passages
        ],
    )


def _counts(counts: Counts) -> FileCounts:
    return FileCounts(
        in_progress=counts.in_progress,
        completed=counts.completed,
        failed=counts.failed,
        cancelled=counts.cancelled,
        total=counts.total,
    )
