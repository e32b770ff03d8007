"""Stored responses: one SQLite file, or memory, behind a thread of its own."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import attrs
import msgspec

import otel
from contracts.responses.items import OutputItem, StoredItem
from contracts.responses.response import Response
from providers.errors import ModelNotReady
from server.api.responses.stored.database import IN_MEMORY, ItemRow, ResponseDatabase, ResponseRow
from server.serialization import converter, encode_contract

__all__ = ["IN_MEMORY", "ResponseStore"]

MAX_WAITING = 1000
"""Responses that may wait in memory for the disk."""

LATE_LOOKS, LOOK_SECONDS = 50, 0.02
"""Times that a read looks for what another server may still write to the same file, and the time between them."""

_CALLS = ("function_call", "custom_tool_call")

T = TypeVar("T")

_log = otel.get_logger("server.store")


class ResponseStore:
    """Keeps responses for `time_to_live` seconds after their last use, and at most `max_bytes` of them.

    `put` returns immediately, and later reads find the response: one thread does all work in order. The first use opens
    the database, or `open` does. Several servers may use one file: a read of what is missing looks again for a
    second, because the client of another server has its answer before the file has it.
    """

    def __init__(
        self,
        path: str = IN_MEMORY,
        *,
        time_to_live: float = 86_400.0,
        max_bytes: int = 256_000_000,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._path = path
        self._time_to_live = time_to_live
        self._max_bytes = max_bytes
        self._clock = clock
        self._database: ResponseDatabase | None = None
        self._thread = ThreadPoolExecutor(1, "response-store")
        self._room = threading.Semaphore(MAX_WAITING)
        self._closed = False

    async def open(self) -> None:
        """Open the database now.

        Raises:
            OSError: it cannot be opened.
        """
        try:
            await self._ask(lambda _: None)
        except (sqlite3.Error, OSError) as error:
            raise OSError(f"the response store {self._path} cannot be opened: {error}") from None

    async def close(self) -> None:
        """Finish pending writes and close the database. Idempotent."""
        if not self._closed:
            self._closed = True
            self._thread.submit(self._close)
            await asyncio.to_thread(self._thread.shutdown)

    def put(self, response: Response, input: Sequence[StoredItem]) -> None:
        """Keep a response and the items of its own input.

        A response that cannot be kept is logged, because the client already has its answer: the disk fails, or
        `MAX_WAITING` responses wait for it already.
        """
        if self._closed:
            return
        if not self._room.acquire(blocking=False):
            _log.error("response not stored: the disk does not keep up", response_id=response.id)
            return
        now = self._clock()

        def put(database: ResponseDatabase) -> None:
            if not database.put(_encoded(response, input), now):
                _log.warning("response not stored: larger than the whole store", response_id=response.id)

        self._submit(put).add_done_callback(self._was_put)

    async def get(self, id: str) -> Response | None:
        """One response, or None."""
        now = self._clock()

        def get(database: ResponseDatabase) -> Response | None:
            row = database.get(id, now)
            return None if row is None else _decoded(row)

        return await self._ask_again(get, lambda found: found is not None)

    async def conversation(self, id: str, *, answered: bool = True) -> list[StoredItem] | None:
        """The items of a response and of all that it continues, in order. None where one of these is missing.

        Calls that were cut off are left out. `answered` includes the response's own output. The model's turns are
        `InputMessage`s.
        """
        now = self._clock()

        def conversation(database: ResponseDatabase) -> list[StoredItem] | None:
            bodies = database.conversation(id, now, answered=answered)
            if bodies is None:
                return None
            items = map(_item, bodies)
            return [item for item in items if item.type not in _CALLS or item.status == "completed"]

        return await self._ask_again(conversation, lambda found: found is not None)

    async def items(self, ids: Sequence[str], others: Sequence[str] = ()) -> dict[str, StoredItem]:
        """The stored ones of these items, by id. `others` may be missing: another server's are not awaited."""
        now = self._clock()

        def items(database: ResponseDatabase) -> dict[str, StoredItem]:
            found = ((id, database.item(id, now)) for id in (*ids, *others))
            return {id: _item(body) for id, body in found if body is not None}

        return await self._ask_again(items, lambda found: found.keys() >= set(ids))

    async def delete(self, id: str) -> bool:
        """Delete a response. Returns whether it existed."""
        now = self._clock()
        return await self._ask(lambda database: database.delete(id, now))

    async def usage(self) -> tuple[int, int]:
        """The number of responses, and their bytes."""
        return await self._ask(lambda database: database.usage())

    async def _ask(self, work: Callable[[ResponseDatabase], T]) -> T:
        """Run this in the store's thread. Raises: ModelNotReady, when the server is shutting down."""
        if self._closed:
            raise ModelNotReady.shutting_down()
        return await asyncio.wrap_future(self._submit(work))

    async def _ask_again(self, work: Callable[[ResponseDatabase], T], complete: Callable[[T], bool]) -> T:
        """Run this until it finds everything, or nothing more is to be expected of another server."""
        found = await self._ask(work)
        for _ in range(0 if self._path == IN_MEMORY else LATE_LOOKS):
            if complete(found):
                break
            await asyncio.sleep(LOOK_SECONDS)
            found = await self._ask(work)
        return found

    def _submit(self, work: Callable[[ResponseDatabase], T]) -> Future[T]:
        return self._thread.submit(lambda: work(self._opened()))

    def _opened(self) -> ResponseDatabase:
        if self._database is None:
            self._database = ResponseDatabase(self._path, time_to_live=self._time_to_live, max_bytes=self._max_bytes)
            self._database.purge(self._clock())
        return self._database

    def _was_put(self, done: Future[None]) -> None:
        self._room.release()
        if (error := done.exception()) is not None:
            _log.error("response not stored", exc_info=error)

    def _close(self) -> None:
        if self._database is not None:
            self._database.close()


def _encoded(response: Response, input: Sequence[StoredItem]) -> ResponseRow:
    return ResponseRow(
        id=response.id,
        previous=response.previous_response_id,
        body=encode_contract(attrs.evolve(response, output=[])),
        input=[_row(item) for item in input],
        output=[_row(item) for item in response.output],
    )


def _row(item: StoredItem | OutputItem) -> ItemRow:
    return ItemRow(item.id or "", encode_contract(item))


def _decoded(row: ResponseRow) -> Response:
    fields = msgspec.json.decode(row.body)
    fields["output"] = [msgspec.json.decode(item.body) for item in row.output]
    return converter.structure(fields, Response)


def _item(body: bytes) -> StoredItem:
    item: StoredItem = converter.structure(msgspec.json.decode(body), StoredItem)  # type: ignore[arg-type]
    return item
