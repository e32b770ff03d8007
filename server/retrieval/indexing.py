"""The indexing of files in the background: read, divide, embed, store."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context
from functools import partial
from typing import TypeVar

import otel
from contracts.retrieval.store_files import LastError
from providers.embeddings.protocol import EmbeddingProvider
from providers.errors import EngineCrashed, ModelNotReady, ServiceError
from server.retrieval.chunking import divide, windows
from server.retrieval.embedding import EmbeddingModels, embed, let_clients_first, locate, model_of
from server.retrieval.library import Library
from server.retrieval.tables.rows import StoreFileRow
from server.retrieval.tables.store_files import Chunk
from server.retrieval.texts.reading import Unreadable, read_text

__all__ = ["Indexer"]

WORKERS = 2
"""Files that are indexed together."""
TOGETHER = 32
"""Texts of one request to the embedding model. A client's request waits for one of these at most."""
AT_A_TIME = 16
"""Passages that are stored together."""
PATIENCE = 600.0
"""Seconds for which indexing tries again while the embedding model is busy, loads or restarts."""
RETRY_SECONDS = 1.0
MAX_CRASHES = 3
"""Deaths of the engine under the same passages, which may be their fault."""

T = TypeVar("T")
_log = otel.get_logger("server.retrieval")


class Gone(Exception):
    """The file was deleted or cancelled while it was indexed."""


class Indexer:
    """Indexes files by their keys in `store_files`, oldest first."""

    def __init__(self, models: EmbeddingModels, library: Library) -> None:
        self._models = models
        self._library = library
        self._waiting: asyncio.Queue[int] = asyncio.Queue()
        self._workers: list[asyncio.Task[None]] = []

    async def stop(self) -> None:
        """Stop in the middle of files. They stay `in_progress`, and a later start on the same folder resumes them."""
        for worker in self._workers:
            worker.cancel()
        await asyncio.gather(*self._workers, return_exceptions=True)
        self._workers = []

    def add(self, keys: Sequence[int]) -> None:
        if keys and not self._workers:
            self._workers = [asyncio.create_task(self._work(), context=Context()) for _ in range(WORKERS)]
        for key in keys:
            self._waiting.put_nowait(key)

    async def _work(self) -> None:
        while True:
            key = await self._waiting.get()
            try:
                await self._settle(key)
            except (sqlite3.Error, OSError, ServiceError):
                _log.exception("file not indexed")

    async def _settle(self, key: int) -> None:
        """Index a file, or record why it cannot be."""
        row = await self._library.ask(lambda tables: tables.store_files.by_key(key))
        if row is None or row.status != "in_progress":
            return
        try:
            await self._index(row)
            await self._library.ask(lambda tables: tables.store_files.complete(key))
        except Gone:
            return
        except FileNotFoundError:
            await self._fail(key, _server_error("the file is gone"))
        except Unreadable as unreadable:
            await self._fail(key, unreadable.error)
        except ServiceError as error:
            await self._fail(key, _server_error(error.message))
        except Exception:
            _log.exception("file not indexed", file_id=row.file_id, vector_store_id=row.store_id)
            await self._fail(key, _server_error("an internal error occurred; the server's log has the details"))

    async def _index(self, row: StoreFileRow) -> None:
        request_id = f"index-{row.file_id}"
        with otel.start_indexing(model=row.model, request_id=request_id, store=row.store_id) as span:
            provider = model_of(self._models, row.model)
            text = await read_text(self._library.path(row.file_id), row.filename)
            starts, room = await _patiently(lambda: locate(provider, text))
            strategy = row.strategy.within(room)
            await self._library.ask(lambda tables: tables.store_files.set_strategy(row.key, strategy))
            places = await asyncio.to_thread(divide, text, starts, strategy)
            parts = await asyncio.to_thread(windows, text, starts, places, room)
            for first in range(0, len(places), AT_A_TIME):
                some = slice(first, first + AT_A_TIME)
                vectors = await _vectors(provider, text, parts[some], request_id)
                chunks = [
                    Chunk(start, stop, text[start:stop], those)
                    for (start, stop), those in zip(places[some], vectors, strict=True)
                ]
                await self._add(row.key, chunks)
            span.indexed(len(places), len(text))

    async def _add(self, key: int, chunks: Sequence[Chunk]) -> None:
        """Raises: Gone."""
        if not await self._library.ask(lambda tables: tables.store_files.add_chunks(key, chunks)):
            raise Gone

    async def _fail(self, key: int, error: LastError) -> None:
        await self._library.ask(lambda tables: tables.store_files.fail(key, error))


def _server_error(message: str) -> LastError:
    return LastError(code="server_error", message=message)


async def _vectors(
    provider: EmbeddingProvider, text: str, parts: Sequence[Sequence[tuple[int, int]]], request_id: str
) -> list[list[bytes]]:
    """The vectors of the parts of each passage. Raises: as `embed`."""
    texts = [text[start:stop] for those in parts for start, stop in those]
    found: list[bytes] = []
    for first in range(0, len(texts), TOGETHER):
        await let_clients_first(provider)
        some = texts[first : first + TOGETHER]
        found += await _patiently(partial(embed, provider, some, id=request_id))
    vectors = iter(found)
    return [[next(vectors) for _ in those] for those in parts]


async def _patiently(work: Callable[[], Awaitable[T]]) -> T:
    """Do the work, again if the model is busy or not ready.

    Raises: what the work raises, if it is another error or lasts longer than `PATIENCE`.
    """
    waited, crashes = 0.0, 0
    while True:
        try:
            return await work()
        except ServiceError as error:
            crashes += isinstance(error, EngineCrashed)
            passes = error.retry_after is not None or isinstance(error, ModelNotReady)
            if not passes or waited >= PATIENCE or crashes >= MAX_CRASHES:
                raise
            pause = max(RETRY_SECONDS, min(error.retry_after or 0.0, 30.0))
        await asyncio.sleep(pause)
        waited += pause
