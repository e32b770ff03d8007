"""The folder of retrieval: a database and the uploaded files, behind a thread of its own."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import tempfile
import time
import weakref
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import attrs
from filelock import FileLock, Timeout

import otel
from providers.errors import ModelNotReady
from providers.folders import private_folder
from server.retrieval.tables.connection import connect, scrub
from server.retrieval.tables.files import FileTable
from server.retrieval.tables.store_files import StoreFileTable
from server.retrieval.tables.stores import StoreTable

__all__ = ["Library", "Tables"]

T = TypeVar("T")
_log = otel.get_logger("server.retrieval")


@attrs.frozen
class Tables:
    """The database as work in its thread sees it."""

    connection: sqlite3.Connection
    now: int
    """Unix seconds."""

    @property
    def files(self) -> FileTable:
        return FileTable(self.connection)

    @property
    def stores(self) -> StoreTable:
        return StoreTable(self.connection)

    @property
    def store_files(self) -> StoreFileTable:
        return StoreFileTable(self.connection)


class Library:
    """One thread does all work with the database, in order. The first use opens the folder, or `open` does.

    Without a folder, a temporary one is made, and deleted by `close`. A folder belongs to one server at a time.
    """

    def __init__(self, folder: str | None, *, clock: Callable[[], float] = time.time) -> None:
        self._given = folder
        self._clock = clock
        self._thread = ThreadPoolExecutor(1, "retrieval")
        self._folder: Path | None = None
        self._delete: Callable[[], object] | None = None
        """Deletes a temporary folder. Python calls it, too, at the end of a process that closes nothing."""
        self._lock: FileLock | None = None
        self._connection: sqlite3.Connection | None = None
        self._purged = 0
        self._scrubs = False
        self._closed = False

    async def open(self) -> None:
        """Open the folder now.

        Raises:
            OSError: it cannot be opened, or another server uses it.
        """
        try:
            await self.ask(lambda _: None)
        except (sqlite3.Error, OSError) as error:
            raise OSError(f"the data folder {self._given} cannot be opened: {error}") from None

    async def close(self) -> None:
        """Finish pending work, and delete a temporary folder. Idempotent."""
        if not self._closed:
            self._closed = True
            self._thread.submit(self._close)
            await asyncio.to_thread(self._thread.shutdown)

    async def ask(self, work: Callable[[Tables], T], *, deletes: bool = False) -> T:
        """Run this in the database's thread, as one transaction. After work that `deletes`, no trace of it stays.

        Raises:
            ModelNotReady: the server is shutting down.
            What the work raises; the transaction is then undone.
        """
        return await asyncio.wrap_future(self._submit(lambda: self._work(work, deletes=deletes)))

    async def folder(self) -> Path:
        """The folder of the uploaded files. Raises: as `ask`."""
        await self.ask(lambda _: None)
        return self._files

    def path(self, file_id: str) -> Path:
        """Where the content of a file is. The folder is open."""
        return self._files / file_id

    @property
    def _files(self) -> Path:
        assert self._folder is not None
        return self._folder / "files"

    def _submit(self, work: Callable[[], T]) -> Future[T]:
        if self._closed:
            raise ModelNotReady.shutting_down()
        return self._thread.submit(work)

    def _work(self, work: Callable[[Tables], T], *, deletes: bool) -> T:
        connection = self._opened()
        tables = Tables(connection, int(self._clock()))
        self._purge(tables)
        with connection:
            connection.execute("BEGIN IMMEDIATE")
            done = work(tables)
        if deletes:
            self._scrub_soon()
        return done

    def _purge(self, tables: Tables) -> None:
        """Delete what has expired, once per second."""
        if tables.now == self._purged:
            return
        self._purged = tables.now
        expired = tables.files.delete_expired(tables.now)
        for id in expired:
            self.path(id).unlink(missing_ok=True)
        if tables.stores.clear_expired(tables.now) or expired:
            self._scrub_soon()

    def _scrub_soon(self) -> None:
        """Scrub once after all work that waits already."""
        if not self._scrubs and not self._closed:
            self._scrubs = True
            self._thread.submit(self._scrub)

    def _scrub(self) -> None:
        self._scrubs = False
        assert self._connection is not None
        try:
            scrub(self._connection)
        except sqlite3.Error:
            _log.exception("deleted texts may still be in the database's file")

    def _opened(self) -> sqlite3.Connection:
        if self._connection is None:
            folder = Path(self._given or tempfile.mkdtemp(prefix="mlx-openai-server-"))
            if self._given is None:
                self._delete = weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
            self._folder = folder
            private_folder(self._files)
            self._lock = FileLock(folder / "lock")
            try:
                self._lock.acquire(timeout=0)
            except Timeout:
                raise OSError("another server uses it") from None
            self._connection = connect(folder / "retrieval.db")
            self._delete_orphans(self._connection)
        return self._connection

    def _delete_orphans(self, connection: sqlite3.Connection) -> None:
        """Delete files of which the database knows nothing: their upload or their deletion was interrupted."""
        known = FileTable(connection).ids()
        for path in self._files.iterdir():
            if path.name not in known:
                path.unlink()

    def _close(self) -> None:
        if self._connection is not None:
            if self._scrubs:
                self._scrub()
            self._connection.close()
        if self._lock is not None:
            self._lock.release()
        if self._delete is not None:
            self._delete()
