"""The search in the database: by vectors, by words, and with sqlite-vec as without it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from server.retrieval.finding import Query, find
from server.retrieval.tables import connection as database
from server.retrieval.tables.connection import connect, scrub
from server.retrieval.tables.files import FileTable
from server.retrieval.tables.rows import Strategy
from server.retrieval.tables.store_files import Chunk, StoreFileTable
from server.retrieval.tables.stores import StoreTable
from tests.unit.server.retrieval.embedder import vector

Connect = Callable[[], sqlite3.Connection]
LOADS = hasattr(sqlite3.Connection, "enable_load_extension")


@pytest.fixture(params=["sqlite-vec", "python"])
def open_it(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Connect:
    if request.param == "sqlite-vec" and not LOADS:
        pytest.skip("this Python's sqlite3 loads no extensions")
    if request.param == "python":
        monkeypatch.setattr(database, "hasattr", lambda *_: False, raising=False)
    return lambda: connect(tmp_path / "retrieval.db")


def fill(connection: sqlite3.Connection, *texts: str, store: str = "vs_1") -> None:
    """A store with one file for each text."""
    files, stores, store_files = FileTable(connection), StoreTable(connection), StoreFileTable(connection)
    stores.add(store, name="", description=None, metadata={}, days=None, model="m", now=1)
    key = stores.get(store)
    assert key is not None
    for place, text in enumerate(texts):
        file = files.add(f"file-{store}-{place}", f"{place}.txt", "assistants", len(text), now=1, expires=None)
        added = store_files.add(key.key, file.key, attributes={}, strategy=Strategy(), batch=None, now=1)
        assert store_files.add_chunks(added, [Chunk(0, len(text), text, [vector("other words"), vector(text)])])
        store_files.complete(added)


def search(
    connection: sqlite3.Connection, text: str, *stores: str, limit: int = 10, threshold: float = 0.0
) -> list[str]:
    query = Query(text, vector(text))
    found = find(connection, stores or ["vs_1"], [query], limit=limit, filters=None, threshold=threshold)
    return [passage.text for passage in found]


def test_the_best_passage_comes_first(open_it: Connect) -> None:
    connection = open_it()
    fill(connection, "cats sleep all day", "dogs run in parks", "birds sing at dawn")
    assert search(connection, "where do dogs run")[0] == "dogs run in parks"
    assert search(connection, "dogs run in parks", threshold=0.9) == ["dogs run in parks"]
    assert len(search(connection, "cats dogs birds", limit=2)) == 2


def test_words_find_what_vectors_do_not(open_it: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.retrieval.finding.CANDIDATES", 1)
    connection = open_it()
    fill(connection, "the error E4711 means that no paper is left", "a general text about printers")
    query = Query("E4711", vector("a general text about printers"))
    found = find(connection, ["vs_1"], [query], limit=10, filters=None, threshold=0.0)
    assert {passage.filename for passage in found} == {"0.txt", "1.txt"}
    words = Query("errors meaning papers", vector("nothing of this"))
    assert find(connection, ["vs_1"], [words], limit=1, filters=None, threshold=0.0)[0].filename == "0.txt"


@pytest.mark.parametrize(
    "text", ['"', "a AND (b", "NEAR(", "*", "col:x", "the of and", "", "\0", "'; DROP TABLE chunks"]
)
def test_no_query_is_an_error(open_it: Connect, text: str) -> None:
    connection = open_it()
    fill(connection, "cats sleep")
    assert all(isinstance(found, str) for found in search(connection, text))


def test_only_the_given_stores_are_searched(open_it: Connect) -> None:
    connection = open_it()
    fill(connection, "cats sleep")
    fill(connection, "cats run", store="vs_2")
    assert search(connection, "cats", "vs_2") == ["cats run"]
    assert sorted(search(connection, "cats", "vs_1", "vs_2")) == ["cats run", "cats sleep"]


def test_passages_with_vectors_of_another_length_are_found_by_words_only(open_it: Connect) -> None:
    connection = open_it()
    fill(connection, "cats sleep")
    query = Query("cats", np.ones(3, "<f4").tobytes())
    (found,) = find(connection, ["vs_1"], [query], limit=10, filters=None, threshold=0.0)
    assert found.score == 0.3


@pytest.mark.parametrize("by", ["file", "store", "store file"])
def test_what_is_deleted_is_gone_from_every_table(open_it: Connect, tmp_path: Path, by: str) -> None:
    connection = open_it()
    fill(connection, "quagmire secrets", "cats sleep")
    if by == "file":
        assert FileTable(connection).delete("file-vs_1-0")
    elif by == "store":
        assert StoreTable(connection).delete("vs_1")
    else:
        StoreFileTable(connection).remove(1)
    scrub(connection)
    assert search(connection, "quagmire") in ([], ["cats sleep"])
    assert connection.execute("SELECT count(*) FROM words WHERE words MATCH 'quagmire'").fetchone() == (0,)
    connection.execute("INSERT INTO words (words) VALUES ('integrity-check')")
    connection.close()
    assert b"quagmir" not in (tmp_path / "retrieval.db").read_bytes()


def test_a_file_of_another_version_is_refused(open_it: Connect, tmp_path: Path) -> None:
    open_it().execute("PRAGMA user_version = 99").connection.close()
    with pytest.raises(sqlite3.DatabaseError, match="schema 99"):
        open_it()
    assert (tmp_path / "retrieval.db").stat().st_mode & 0o777 == 0o600
