"""Vector stores, the files in them, and batches of files."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from contracts.retrieval.store_files import FileStatus
from providers.errors import InvalidRequest, NotFound
from server.retrieval.embedding import EmbeddingModels, default_model, model_of
from server.retrieval.indexing import Indexer
from server.retrieval.library import Library, Tables
from server.retrieval.tables.pages import Page, PageRequest
from server.retrieval.tables.rows import Attributes, BatchRow, StoreFileRow, StoreRow, Strategy
from server.retrieval.uploads import known_file

__all__ = ["NewFile", "VectorStores", "known_store"]

MAX_STORES = 10_000
MAX_STORE_FILES = 10_000
"""Files of one store."""


@attrs.frozen
class NewFile:
    """A file to put into a store. `path` is where the request has its id, for errors."""

    id: str
    attributes: Attributes = attrs.field(factory=dict)
    strategy: Strategy = attrs.field(factory=Strategy)
    path: str = "file_id"


class VectorStores:
    """Changes are complete when a method returns; only the indexing of files continues in the background."""

    def __init__(self, library: Library, models: EmbeddingModels, indexer: Indexer) -> None:
        self._library = library
        self._models = models
        self._indexer = indexer

    async def create(
        self,
        *,
        name: str,
        description: str | None,
        metadata: Mapping[str, str],
        days: int | None,
        files: Sequence[NewFile],
    ) -> StoreRow:
        """Raises: InvalidRequest, where there is no embedding model, or too many stores; NotFound, of a file."""
        model = default_model(self._models)
        id = f"vs_{secrets.token_hex(12)}"

        def create(tables: Tables) -> tuple[StoreRow, list[int]]:
            if (count := tables.stores.count()) >= MAX_STORES:
                raise InvalidRequest(f"there are {count} vector stores, as many as this server keeps; delete some")
            tables.stores.add(
                id, name=name, description=description, metadata=metadata, days=days, model=model, now=tables.now
            )
            store = known_store(tables, id)
            keys = _add_files(tables, store, files)
            return known_store(tables, id), keys

        store, keys = await self._library.ask(create)
        self._indexer.add(keys)
        return store

    async def get(self, id: str) -> StoreRow:
        """Raises: NotFound."""
        return await self._library.ask(lambda tables: known_store(tables, id, expired=True))

    async def page(self, asked: PageRequest) -> Page[StoreRow]:
        """Raises: InvalidRequest, where the list has no entry of the cursor's id."""
        return await self._library.ask(lambda tables: tables.stores.page(asked))

    async def update(self, id: str, changes: Mapping[str, Any]) -> StoreRow:
        """Write these columns. Raises: NotFound."""

        def update(tables: Tables) -> StoreRow:
            tables.stores.update(known_store(tables, id, expired=True).key, changes, now=tables.now)
            return known_store(tables, id)

        return await self._library.ask(update)

    async def delete(self, id: str) -> None:
        """Delete a store with its texts; the files stay. Raises: NotFound."""

        def delete(tables: Tables) -> None:
            known_store(tables, id, expired=True)
            tables.stores.delete(id)

        await self._library.ask(delete, deletes=True)

    # ── files ───────────────────────────────────────────────────────────────────────────────────────────────

    async def add_file(self, id: str, file: NewFile) -> StoreFileRow:
        """Put a file into a store. Raises: NotFound, InvalidRequest."""

        def add(tables: Tables) -> tuple[StoreFileRow, list[int]]:
            store = known_store(tables, id)
            model_of(self._models, store.model)
            keys = _add_files(tables, store, [file])
            return _known(tables, store, file.id), keys

        row, keys = await self._library.ask(add)
        self._indexer.add(keys)
        return row

    async def file(self, id: str, file_id: str) -> StoreFileRow:
        """Raises: NotFound."""
        return await self._library.ask(lambda tables: _known(tables, known_store(tables, id), file_id))

    async def files(
        self, id: str, asked: PageRequest, *, status: FileStatus | None, batch_id: str | None = None
    ) -> Page[StoreFileRow]:
        """The files of a store, or of one batch. Raises: NotFound; InvalidRequest of the cursor."""

        def page(tables: Tables) -> Page[StoreFileRow]:
            store = known_store(tables, id)
            batch = None if batch_id is None else _known_batch(tables, store, batch_id).key
            return tables.store_files.page(asked, store=store.key, batch=batch, status=status)

        return await self._library.ask(page)

    async def set_attributes(self, id: str, file_id: str, attributes: Attributes) -> StoreFileRow:
        """Raises: NotFound."""

        def update(tables: Tables) -> StoreFileRow:
            store = known_store(tables, id)
            tables.store_files.set_attributes(_known(tables, store, file_id).key, attributes)
            tables.stores.update(store.key, {}, now=tables.now)
            return _known(tables, store, file_id)

        return await self._library.ask(update)

    async def remove_file(self, id: str, file_id: str) -> None:
        """Take a file out of a store. Raises: NotFound."""

        def remove(tables: Tables) -> None:
            store = known_store(tables, id)
            tables.store_files.remove(_known(tables, store, file_id).key)
            tables.stores.update(store.key, {}, now=tables.now)

        await self._library.ask(remove, deletes=True)

    async def text(self, id: str, file_id: str) -> str:
        """The text of an indexed file. Raises: NotFound; InvalidRequest, where it is not indexed."""

        def text(tables: Tables) -> str:
            row = _known(tables, known_store(tables, id), file_id)
            if row.status != "completed":
                raise InvalidRequest(f"the file is not indexed; its status is {row.status!r}", param="file_id")
            return tables.store_files.text(row.key)

        return await self._library.ask(text)

    # ── batches ─────────────────────────────────────────────────────────────────────────────────────────────

    async def add_batch(self, id: str, files: Sequence[NewFile]) -> BatchRow:
        """Put files into a store together. Raises: NotFound, InvalidRequest."""
        batch_id = f"vsfb_{secrets.token_hex(12)}"

        def add(tables: Tables) -> tuple[BatchRow, list[int]]:
            store = known_store(tables, id)
            model_of(self._models, store.model)
            key = tables.store_files.add_batch(batch_id, store.key, now=tables.now)
            keys = _add_files(tables, store, files, batch=key)
            return _known_batch(tables, store, batch_id), keys

        row, keys = await self._library.ask(add)
        self._indexer.add(keys)
        return row

    async def batch(self, id: str, batch_id: str) -> BatchRow:
        """Raises: NotFound."""
        return await self._library.ask(lambda tables: _known_batch(tables, known_store(tables, id), batch_id))

    async def cancel_batch(self, id: str, batch_id: str) -> BatchRow:
        """Cancel the files that are not indexed yet. Raises: NotFound."""

        def cancel(tables: Tables) -> BatchRow:
            store = known_store(tables, id)
            tables.store_files.cancel_batch(_known_batch(tables, store, batch_id).key)
            return _known_batch(tables, store, batch_id)

        return await self._library.ask(cancel)


def known_store(tables: Tables, id: str, *, expired: bool = False) -> StoreRow:
    """Raises: NotFound, where there is no such store, or it has expired and `expired` is false."""
    found = tables.stores.get(id)
    if found is None:
        raise NotFound(f"Vector store with id '{id[:128]}' not found.", param="vector_store_id")
    if not expired and found.expires is not None and found.expires <= tables.now:
        raise NotFound(f"Vector store with id '{id[:128]}' has expired.", param="vector_store_id")
    return found


def _known(tables: Tables, store: StoreRow, file_id: str) -> StoreFileRow:
    found = tables.store_files.get(store.key, file_id)
    if found is None:
        raise NotFound(f"File with id '{file_id[:128]}' not found in vector store '{store.id}'.", param="file_id")
    return found


def _known_batch(tables: Tables, store: StoreRow, batch_id: str) -> BatchRow:
    found = tables.store_files.batch(store.key, batch_id)
    if found is None:
        raise NotFound(
            f"File batch with id '{batch_id[:128]}' not found in vector store '{store.id}'.", param="batch_id"
        )
    return found


def _add_files(tables: Tables, store: StoreRow, files: Sequence[NewFile], *, batch: int | None = None) -> list[int]:
    """Put files into a store and return their keys, to be indexed after the transaction."""
    if store.counts.total + len(files) > MAX_STORE_FILES:
        raise InvalidRequest(f"a vector store has up to {MAX_STORE_FILES} files", param="file_ids")
    tables.stores.update(store.key, {}, now=tables.now)
    return [
        tables.store_files.add(
            store.key,
            known_file(tables, file.id, param=file.path).key,
            attributes=file.attributes,
            strategy=file.strategy,
            batch=batch,
            now=tables.now,
        )
        for file in files
    ]
