"""The search in the database: candidates by vector and by words, one score for both.

A score is from 0 to 1, does not depend on the other results, and is the same for the same stores. It is the cosine of
the query's vector and the nearest one of the passage's, joined with the share of the query's rare words that the
passage has. ADR 13 has the reasons.
"""

from __future__ import annotations

import json
import math
import re
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import attrs

from contracts.retrieval.filters import Filter
from server.retrieval.filters import matches
from server.retrieval.passages import Passage

__all__ = ["Query", "find"]

CANDIDATES = 100
"""Passages that each of the two ways finds, before they are ordered together."""
MEANING, WORDS = 0.7, 0.3
"""The weights of a score's two parts."""
MAX_WORDS = 32

_WORD = re.compile(r"\w+")
_COMMON = (
    "a about an and are as at be been but by can could did do does for from had has have how i if in into is it its me "
    "my no not of on or our should so than that the their them then there these they this to was we were what when "
    "where which while who whose why will with would you your"
)
"""Words that nearly every English passage has."""
_SKIPPED = frozenset(_COMMON.split())

_SCOPE = "store_file IN (SELECT value FROM json_each(:files))"


@attrs.frozen
class Query:
    """A query as text, and its vector as little-endian float32."""

    text: str
    vector: bytes


def find(
    connection: sqlite3.Connection,
    stores: Sequence[str],
    queries: Sequence[Query],
    *,
    limit: int,
    filters: Filter | None,
    threshold: float,
) -> list[Passage]:
    """The passages with the highest scores, each with its best one. Equal scores are in the order of indexing."""
    files = _files(connection, stores, filters)
    best: dict[int, float] = {}
    for query in queries if files else ():
        for key, score in _scores(connection, json.dumps(files), query):
            best[key] = max(score, best.get(key, 0.0))
    ordered = sorted((-score, key) for key, score in best.items() if score >= threshold)[:limit]
    return [_passage(connection, key, -negative) for negative, key in ordered]


def _files(connection: sqlite3.Connection, stores: Sequence[str], filters: Filter | None) -> list[int]:
    rows = connection.execute(
        "SELECT store_files.key, attributes FROM store_files JOIN stores ON stores.key = store "
        "WHERE status = 'completed' AND stores.id IN (SELECT value FROM json_each(?))",
        (json.dumps([*stores]),),
    )
    return [key for key, attributes in rows if filters is None or matches(filters, json.loads(attributes))]


def _scores(connection: sqlite3.Connection, files: str, query: Query) -> Iterator[tuple[int, float]]:
    words = _words(query.text)
    names: dict[str, Any] = {"files": files, "vector": query.vector, "size": len(query.vector), "limit": CANDIDATES}
    # A vector of zeros has no cosine: sqlite-vec's distance is then null.
    cosine = "coalesce(max(1 - vec_distance_cosine(vector, :vector)), 0)"
    similar = f"SELECT chunk, {cosine} FROM vectors WHERE length(vector) = :size AND"
    found: dict[int, float] = dict(
        connection.execute(f"{similar} {_SCOPE} GROUP BY chunk ORDER BY 2 DESC, chunk LIMIT :limit", names).fetchall()
    )
    if not words:
        yield from ((key, _score(value)) for key, value in found.items())
        return
    by_words = connection.execute(
        "SELECT chunks.key FROM words JOIN chunks ON chunks.key = words.rowid "
        f"WHERE words MATCH :words AND {_SCOPE} ORDER BY rank, chunks.key LIMIT :limit",
        {**names, "words": " OR ".join(map(_quoted, words))},
    )
    others = [key for (key,) in by_words if key not in found]
    keys = f"{similar} chunk IN (SELECT value FROM json_each(:keys)) GROUP BY chunk"
    found |= dict.fromkeys(others, 0.0)
    found |= dict(connection.execute(keys, {**names, "keys": json.dumps(others)}).fetchall())
    shares = _shares(connection, words, found)
    yield from ((key, _score(MEANING * max(0.0, value) + WORDS * shares[key])) for key, value in found.items())


def _score(value: float) -> float:
    return round(min(1.0, max(0.0, value)), 6)


def _words(text: str) -> list[str]:
    """The words of a query, each once, without the commonest."""
    words = dict.fromkeys(word for word in _WORD.findall(text.lower()) if word not in _SKIPPED)
    return [*words][:MAX_WORDS]


def _quoted(word: str) -> str:
    return f'"{word}"'


def _shares(connection: sqlite3.Connection, words: Sequence[str], keys: Mapping[int, float]) -> dict[int, float]:
    """The share of the words that each passage has, in any inflected form. A word counts by its rarity."""
    (total,) = connection.execute("SELECT count(*) FROM chunks").fetchone()
    weights, shares = 0.0, dict.fromkeys(keys, 0.0)
    for word in words:
        having = [key for (key,) in connection.execute("SELECT rowid FROM words WHERE words MATCH ?", (_quoted(word),))]
        weight = math.log(1 + (total - len(having) + 0.5) / (len(having) + 0.5))
        weights += weight
        for key in having:
            if key in shares:
                shares[key] += weight
    return {key: share / weights for key, share in shares.items()}


def _passage(connection: sqlite3.Connection, key: int, score: float) -> Passage:
    file_id, filename, store, text, start, stop, attributes = connection.execute(
        "SELECT files.id, filename, stores.id, text, start, stop, attributes FROM chunks "
        "JOIN store_files ON store_files.key = store_file JOIN files ON files.key = file "
        "JOIN stores ON stores.key = store WHERE chunks.key = ?",
        (key,),
    ).fetchone()
    return Passage(
        file_id=file_id,
        filename=filename,
        vector_store_id=store,
        score=score,
        text=text,
        start=start,
        end=stop,
        attributes=json.loads(attributes),
    )
