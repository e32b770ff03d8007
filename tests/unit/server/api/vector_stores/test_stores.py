"""`/v1/vector_stores`: stores, their files, batches, and deletion."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from litestar import Litestar

from providers.errors import EngineCrashed, InternalError
from server.retrieval import indexing
from tests.unit.server.fakes import FakeChat
from tests.unit.server.harness import ask, make_app, serving
from tests.unit.server.retrieval.embedder import WordEmbedder, indexed, made, served, store_of, texts_found, upload

CATS = "Cats sleep for most of the day."
DOGS = "Dogs like to run in the park."


@pytest.fixture
def embedder() -> WordEmbedder:
    return WordEmbedder()


@pytest.fixture
async def app(embedder: WordEmbedder) -> AsyncIterator[Litestar]:
    async with served(make_app(embedder)) as app:
        yield app


async def test_a_store_holds_what_was_given(app: Litestar) -> None:
    store = await store_of(
        app, CATS, name="pets", description="about pets", metadata={"a": "b"}, expires_after=AFTER_A_DAY
    )
    assert store["status"] == "completed"
    assert store["file_counts"] == {"in_progress": 0, "completed": 1, "failed": 0, "cancelled": 0, "total": 1}
    assert store["usage_bytes"] == len(CATS) + 4 * 64
    assert (store["name"], store["description"], store["metadata"]) == ("pets", "about pets", {"a": "b"})
    assert store["expires_at"] == store["last_active_at"] + 86_400
    assert store["embedding_model"] == "org/vectors"
    changed = await made(app, f"/vector_stores/{store['id']}", name="animals", metadata={})
    assert (changed["name"], changed["metadata"], changed["description"]) == ("animals", {}, "about pets")


AFTER_A_DAY = {"anchor": "last_active_at", "days": 1}


async def test_stores_come_in_pages(app: Litestar) -> None:
    ids = [(await made(app, "/vector_stores", name=str(place)))["id"] for place in range(5)]

    async def page(query: str) -> tuple[list[str], bool]:
        answer = (await ask(app, "GET", f"/v1/vector_stores?{query}")).json
        assert answer["first_id"] == answer["data"][0]["id"]
        assert answer["last_id"] == answer["data"][-1]["id"]
        return [item["id"] for item in answer["data"]], answer["has_more"]

    assert await page("limit=2") == ([ids[4], ids[3]], True)
    assert await page(f"limit=2&after={ids[3]}") == ([ids[2], ids[1]], True)
    assert await page(f"limit=2&after={ids[1]}") == ([ids[0]], False)
    assert await page(f"limit=2&order=asc&after={ids[0]}") == ([ids[1], ids[2]], True)
    assert await page(f"limit=2&before={ids[1]}") == ([ids[3], ids[2]], True)
    assert await page(f"limit=2&order=asc&before={ids[2]}") == ([ids[0], ids[1]], False)


async def test_a_text_becomes_a_file(app: Litestar) -> None:
    store = await made(app, "/vector_stores")
    file = await made(app, f"/vector_stores/{store['id']}/files", text=CATS, filename="cats.md", attributes={"n": 1})
    await indexed(app, store["id"])
    page = await made(app, f"/vector_stores/{store['id']}/search", query="cats")
    (result,) = page["data"]
    assert page["search_query"] == ["cats"]
    assert (result["filename"], result["attributes"], result["file_id"]) == ("cats.md", {"n": 1}, file["id"])
    assert (result["start"], result["end"]) == (0, len(CATS))
    assert 0 < result["score"] <= 1
    content = await ask(app, "GET", f"/v1/vector_stores/{store['id']}/files/{file['id']}/content")
    assert content.json["data"] == [{"type": "text", "text": CATS}]


async def test_sizes_are_bounded_by_the_model_and_reported(app: Litestar) -> None:
    text = "\n\n".join(f"Paragraph {n} has some words of its own: " + "word " * 20 for n in range(40))
    store = await store_of(app, text)
    (file,) = (await ask(app, "GET", f"/v1/vector_stores/{store['id']}/files")).json["data"]
    sizes = {"max_chunk_size_tokens": 60, "chunk_overlap_tokens": 30}
    assert file["chunking_strategy"] == {"type": "static", "static": sizes}
    content = await ask(app, "GET", f"/v1/vector_stores/{store['id']}/files/{file['id']}/content")
    assert content.json["data"][0]["text"] == text
    found = await texts_found(app, store["id"], "Paragraph 17", max_num_results=50)
    assert all(len(passage.split()) <= 60 for passage in found)


async def test_a_deleted_file_is_never_found_and_leaves_no_trace(embedder: WordEmbedder, tmp_path: Path) -> None:
    app = make_app(embedder, data_dir=str(tmp_path))
    async with serving(app):
        secret = "Zanzibarquux is the password of the vault."
        store = await store_of(app, CATS, secret)
        assert secret in await texts_found(app, store["id"], "password of the vault")
        files = (await ask(app, "GET", f"/v1/vector_stores/{store['id']}/files")).json["data"]
        gone = files[0]["id"]
        assert (await ask(app, "DELETE", f"/v1/files/{gone}")).json == {"id": gone, "object": "file", "deleted": True}
        assert await texts_found(app, store["id"], "password of the vault Zanzibarquux") == [CATS]
        assert (await ask(app, "GET", f"/v1/files/{gone}")).status == 404
        assert (await ask(app, "GET", f"/v1/vector_stores/{store['id']}/files/{gone}")).status == 404
    kept = await asyncio.to_thread(contents, tmp_path)
    assert b"Cats sleep" in kept
    assert b"anzibarquux" not in kept.lower()


def contents(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


async def test_a_file_that_left_a_store_stays_a_file(app: Litestar) -> None:
    store = await store_of(app, CATS)
    (file,) = (await ask(app, "GET", f"/v1/vector_stores/{store['id']}/files")).json["data"]
    removed = await ask(app, "DELETE", f"/v1/vector_stores/{store['id']}/files/{file['id']}")
    assert removed.json == {"id": file["id"], "object": "vector_store.file.deleted", "deleted": True}
    assert await texts_found(app, store["id"], "cats") == []
    assert (await ask(app, "GET", f"/v1/files/{file['id']}")).status == 200
    deleted = await ask(app, "DELETE", f"/v1/vector_stores/{store['id']}")
    assert deleted.json == {"id": store["id"], "object": "vector_store.deleted", "deleted": True}
    assert (await ask(app, path=f"/v1/vector_stores/{store['id']}/search", json={"query": "x"})).status == 404


@pytest.mark.parametrize(
    ("content", "name", "code", "message"),
    [
        (b"\x89PNG\r\n\x1a\n\0\xff", "a.png", "unsupported_file", "neither a PDF nor text"),
        (b"a\0b", "a.txt", "unsupported_file", "neither a PDF nor text"),
        (b"  \n", "a.txt", "invalid_file", "no text"),
        (b"%PDF-1.7\nbroken", "a.pdf", "invalid_file", "cannot be read"),
    ],
)
async def test_an_unreadable_file_fails_alone(
    app: Litestar, content: bytes, name: str, code: str, message: str
) -> None:
    store = await store_of(app, CATS)
    file = (await upload(app, content, name)).json["id"]
    await made(app, f"/vector_stores/{store['id']}/files", file_id=file)
    counts = (await indexed(app, store["id"]))["file_counts"]
    assert (counts["completed"], counts["failed"]) == (1, 1)
    failed = (await ask(app, "GET", f"/v1/vector_stores/{store['id']}/files?filter=failed")).json["data"]
    assert [entry["id"] for entry in failed] == [file]
    assert failed[0]["last_error"]["code"] == code
    assert message in failed[0]["last_error"]["message"]
    answer = await ask(app, "GET", f"/v1/vector_stores/{store['id']}/files/{file}/content")
    assert (answer.status, answer.error["param"]) == (400, "file_id")


async def test_indexing_waits_for_a_busy_model_and_gives_up_on_a_broken_one(
    app: Litestar, embedder: WordEmbedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(indexing, "RETRY_SECONDS", 0.0)
    embedder.failures = [EngineCrashed("died", retry_after=0.0), EngineCrashed("died", retry_after=0.0)]
    store = await store_of(app, CATS)
    assert store["file_counts"]["completed"] == 1
    embedder.failures = [InternalError.unforeseen()]
    await made(app, f"/vector_stores/{store['id']}/files", text=DOGS)
    assert (await indexed(app, store["id"]))["file_counts"]["failed"] == 1


async def test_a_batch_is_counted_listed_and_cancelled(app: Litestar, embedder: WordEmbedder) -> None:
    embedder.gate.clear()
    store = await made(app, "/vector_stores")
    ids = [(await upload(app, CATS, f"{place}.txt")).json["id"] for place in range(5)]
    path = f"/vector_stores/{store['id']}/file_batches"
    batch = await made(app, path, file_ids=[*ids, ids[0]], attributes={"kind": "cat"})
    assert (batch["status"], batch["object"]) == ("in_progress", "vector_store.files_batch")
    assert batch["file_counts"]["total"] == 5
    cancelled = await ask(app, path=f"/v1{path}/{batch['id']}/cancel")
    assert cancelled.json["status"] == "cancelled"
    assert cancelled.json["file_counts"]["cancelled"] == 5
    embedder.gate.set()
    other = await made(app, path, files=[{"file_id": ids[0], "attributes": {"n": 1}}])
    assert (await indexed(app, store["id"]))["file_counts"]["completed"] == 1
    listed = (await ask(app, "GET", f"/v1{path}/{other['id']}/files")).json["data"]
    assert [(file["id"], file["attributes"]) for file in listed] == [(ids[0], {"n": 1})]
    assert (await ask(app, "GET", f"/v1{path}/{other['id']}")).json["status"] == "completed"
    assert len((await ask(app, "GET", f"/v1{path}/{batch['id']}/files?filter=cancelled")).json["data"]) == 4
    assert len(await texts_found(app, store["id"], "cats")) == 1


async def test_attributes_choose_files(app: Litestar) -> None:
    store = await made(app, "/vector_stores")
    path = f"/vector_stores/{store['id']}"
    for text, attributes in ((CATS, {"kind": "cat", "year": 2020}), (DOGS, {"kind": "dog", "year": 2024})):
        await made(app, f"{path}/files", text=text, attributes=attributes)
    await indexed(app, store["id"])
    newer = {"type": "gte", "key": "year", "value": 2022}
    assert await texts_found(app, store["id"], "cats", filters=newer) == [DOGS]
    both = {"type": "and", "filters": [newer, {"type": "eq", "key": "kind", "value": "cat"}]}
    assert await texts_found(app, store["id"], "cats", filters=both) == []
    (file,) = [f for f in (await ask(app, "GET", f"/v1{path}/files")).json["data"] if f["attributes"]["kind"] == "cat"]
    changed = await made(app, f"{path}/files/{file['id']}", attributes={"year": 2025, "kind": "cat"})
    assert changed["attributes"] == {"year": 2025, "kind": "cat"}
    assert await texts_found(app, store["id"], "cats", filters=both) == [CATS]


async def test_an_interrupted_indexing_is_resumed(embedder: WordEmbedder, tmp_path: Path) -> None:
    embedder.gate.clear()
    async with serving(make_app(embedder, data_dir=str(tmp_path))) as app:
        store = await made(app, "/vector_stores")
        await made(app, f"/vector_stores/{store['id']}/files", text=CATS)
        assert (await ask(app, "GET", f"/v1/vector_stores/{store['id']}")).json["status"] == "in_progress"
    async with serving(make_app(WordEmbedder(), data_dir=str(tmp_path))) as app:
        await indexed(app, store["id"])
        assert await texts_found(app, store["id"], "cats") == [CATS]
    async with serving(make_app(WordEmbedder(name="other"), data_dir=str(tmp_path))) as app:
        answer = await ask(app, path=f"/v1/vector_stores/{store['id']}/search", json={"query": "cats"})
        assert (answer.status, "'org/vectors'" in answer.error["message"]) == (400, True)


async def test_a_server_without_an_embedding_model_says_so() -> None:
    async with serving(make_app(FakeChat())) as app:
        answer = await ask(app, path="/v1/vector_stores", json={})
        assert answer.status == 400
        assert "no embedding model" in answer.error["message"]


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "param"),
    [
        ("GET", "/vs_none", None, 404, "vector_store_id"),
        ("DELETE", "/vs_none", None, 404, "vector_store_id"),
        ("POST", "/vs_none/search", {"query": "a"}, 404, "vector_store_id"),
        ("POST", "/vs_none/files", {"text": "a"}, 404, "vector_store_id"),
        ("POST", "/{id}/files", {"file_id": "file-none"}, 404, "file_id"),
        ("POST", "/{id}/files", {}, 400, "file_id"),
        ("POST", "/{id}/files", {"file_id": "a", "text": "b"}, 400, "file_id"),
        ("POST", "/{id}/files", {"file_id": "a", "filename": "b"}, 400, "filename"),
        ("POST", "/{id}/files", {"text": "b", "attributes": {"a": {}}}, 400, "attributes.a"),
        ("POST", "/{id}/files", {"text": "b", "attributes": {str(n): 1 for n in range(17)}}, 400, "attributes"),
        ("GET", "/{id}/files/file-none", None, 404, "file_id"),
        ("GET", "/{id}/files?filter=done", None, 400, "filter"),
        ("GET", "/{id}/files?after=file-none", None, 400, "after"),
        ("GET", "?limit=0", None, 400, "limit"),
        ("GET", "?order=up", None, 400, "order"),
        ("POST", "/{id}/file_batches", {}, 400, "file_ids"),
        ("POST", "/{id}/file_batches", {"file_ids": ["file-none"]}, 404, "file_ids[0]"),
        ("POST", "/{id}/file_batches", {"file_ids": []}, 400, "file_ids"),
        ("GET", "/{id}/file_batches/vsfb_none", None, 404, "batch_id"),
        ("POST", "/{id}/search", {"query": ""}, 400, "query"),
        ("POST", "/{id}/search", {"query": "a", "max_num_results": 51}, 400, "max_num_results"),
        (
            "POST",
            "/{id}/search",
            {"query": "a", "filters": {"type": "in", "key": "a", "value": 1}},
            400,
            "filters.value",
        ),
        (
            "POST",
            "/{id}/search",
            {"query": "a", "ranking_options": {"score_threshold": 2}},
            400,
            "ranking_options.score_threshold",
        ),
        ("POST", "", {"file_ids": ["file-none"]}, 404, "file_ids"),
        ("POST", "", {"name": "a" * 257}, 400, "name"),
        ("POST", "", {"metadata": {str(n): "v" for n in range(17)}}, 400, "metadata"),
        ("POST", "", {"expires_after": {"anchor": "last_active_at", "days": 0}}, 400, "expires_after.days"),
        (
            "POST",
            "",
            {
                "chunking_strategy": {
                    "type": "static",
                    "static": {"max_chunk_size_tokens": 100, "chunk_overlap_tokens": 51},
                }
            },
            400,
            "chunking_strategy.static.chunk_overlap_tokens",
        ),
    ],
)
async def test_what_cannot_be_used_is_named(
    app: Litestar, method: str, path: str, body: Any, status: int, param: str
) -> None:
    store = await made(app, "/vector_stores")
    answer = await ask(app, method, f"/v1/vector_stores{path.replace('{id}', store['id'])}", json=body)
    assert (answer.status, answer.error["param"]) == (status, param), answer.body
    assert (await ask(app, "GET", f"/v1/vector_stores/{store['id']}")).json["file_counts"]["total"] == 0


async def test_parameters_without_effect_are_noted(app: Litestar) -> None:
    store = await made(app, "/vector_stores")
    body = {"query": "a", "rewrite_query": True, "ranking_options": {"ranker": "none"}, "other": 1}
    answer = await ask(app, path=f"/v1/vector_stores/{store['id']}/search", json=body)
    assert answer.status == 200
    assert answer.headers["x-ignored-parameters"] == "other, rewrite_query, ranking_options.ranker"
