"""The SQLite file of retrieval: its schema, its settings, and the distance of vectors. Belongs to one thread."""

from __future__ import annotations

import sqlite3
from pathlib import Path

__all__ = ["connect", "scrub"]

_VERSION = 1
_SCHEMA = """
CREATE TABLE IF NOT EXISTS files (
    key INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    filename TEXT NOT NULL,
    purpose TEXT NOT NULL,
    bytes INTEGER NOT NULL,
    created INTEGER NOT NULL,
    expires INTEGER
);
CREATE TABLE IF NOT EXISTS stores (
    key INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    description TEXT,
    metadata TEXT NOT NULL,
    created INTEGER NOT NULL,
    active INTEGER NOT NULL,
    days INTEGER,
    model TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS batches (
    key INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    store INTEGER NOT NULL REFERENCES stores (key) ON DELETE CASCADE,
    created INTEGER NOT NULL,
    cancelled INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX IF NOT EXISTS batches_store ON batches (store);
CREATE TABLE IF NOT EXISTS store_files (
    key INTEGER PRIMARY KEY AUTOINCREMENT,
    store INTEGER NOT NULL REFERENCES stores (key) ON DELETE CASCADE,
    file INTEGER NOT NULL REFERENCES files (key) ON DELETE CASCADE,
    batch INTEGER REFERENCES batches (key) ON DELETE SET NULL,
    created INTEGER NOT NULL,
    status TEXT NOT NULL,
    error_code TEXT,
    error_message TEXT,
    attributes TEXT NOT NULL,
    size INTEGER NOT NULL,
    overlap INTEGER NOT NULL,
    bytes INTEGER NOT NULL DEFAULT 0,
    UNIQUE (store, file)
);
CREATE INDEX IF NOT EXISTS store_files_file ON store_files (file);
CREATE INDEX IF NOT EXISTS store_files_batch ON store_files (batch);
CREATE INDEX IF NOT EXISTS store_files_status ON store_files (status);
CREATE TABLE IF NOT EXISTS chunks (
    key INTEGER PRIMARY KEY AUTOINCREMENT,
    store_file INTEGER NOT NULL REFERENCES store_files (key) ON DELETE CASCADE,
    start INTEGER NOT NULL,
    stop INTEGER NOT NULL,
    text TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS chunks_store_file ON chunks (store_file);
CREATE TABLE IF NOT EXISTS vectors (
    key INTEGER PRIMARY KEY AUTOINCREMENT,
    store_file INTEGER NOT NULL,
    chunk INTEGER NOT NULL REFERENCES chunks (key) ON DELETE CASCADE,
    vector BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS vectors_chunk ON vectors (chunk);
CREATE INDEX IF NOT EXISTS vectors_store_file ON vectors (store_file);
CREATE VIRTUAL TABLE IF NOT EXISTS words USING fts5 (
    text, content = 'chunks', content_rowid = 'key', tokenize = 'porter unicode61 remove_diacritics 2'
);
CREATE TRIGGER IF NOT EXISTS chunk_indexed AFTER INSERT ON chunks
    BEGIN INSERT INTO words (rowid, text) VALUES (NEW.key, NEW.text); END;
CREATE TRIGGER IF NOT EXISTS chunk_removed AFTER DELETE ON chunks
    BEGIN INSERT INTO words (words, rowid, text) VALUES ('delete', OLD.key, OLD.text); END;
"""
_PAGE, _CACHE, _MAPPED = 16_384, 32_000_000, 4_000_000_000
"""Bytes. A search reads all vectors of a store: large pages hold several, and mapped ones are not copied."""


def connect(path: Path) -> sqlite3.Connection:
    """Open the database, or create it. Only this user can read it.

    `vec_distance_cosine` is sqlite-vec's where Python can load extensions, else a function of the same name.

    Raises:
        sqlite3.Error, OSError: it cannot be opened.
    """
    path.touch(mode=0o600)
    # Only the thread that owns the connection uses it; sqlite3 would require the thread that opened it.
    connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None, timeout=5.0)
    connection.execute(f"PRAGMA page_size = {_PAGE}")
    connection.execute(f"PRAGMA cache_size = {-_CACHE // 1024}")
    connection.execute(f"PRAGMA mmap_size = {_MAPPED}")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA secure_delete = ON")
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version not in (0, _VERSION):
        connection.close()
        raise sqlite3.DatabaseError(f"it was written by another version of this server (schema {version})")
    connection.executescript(_SCHEMA)
    connection.execute(f"PRAGMA user_version = {_VERSION}")
    _add_distance(connection)
    return connection


def scrub(connection: sqlite3.Connection) -> None:
    """Remove what deleted rows left in the index of words and in the log of writes.

    FTS5's own `secure-delete` would make a file that SQLite before 3.42 cannot read.
    """
    connection.execute("INSERT INTO words (words) VALUES ('optimize')")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _add_distance(connection: sqlite3.Connection) -> None:
    # Pythons whose SQLite loads no extensions: python.org's for macOS, and builds without the option.
    if hasattr(connection, "enable_load_extension"):
        try:
            import sqlite_vec

            connection.enable_load_extension(True)
            sqlite_vec.load(connection)
            connection.enable_load_extension(False)
            return
        except (ImportError, OSError, sqlite3.Error):
            connection.enable_load_extension(False)
    connection.create_function("vec_distance_cosine", 2, _distance, deterministic=True)


def _distance(one: bytes, other: bytes) -> float:
    """1 - the cosine of two vectors of float32, whose lengths are one."""
    import numpy as np  # here, because its import takes a tenth of the server's start

    return 1.0 - float(np.dot(np.frombuffer(one, "<f4"), np.frombuffer(other, "<f4")))
