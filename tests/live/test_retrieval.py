"""Files and vector stores with the embedded embedding model, through OpenAI's SDK."""

from __future__ import annotations

from collections.abc import Generator
from io import BytesIO
from pathlib import Path

import httpx
import openai
import pytest
from openai import OpenAI
from pypdf import PdfWriter
from pypdf.generic import DecodedStreamObject, DictionaryObject, NameObject

from tests.live.client import PATIENCE
from tests.live.facts import FACTS, documents
from tests.live.harness import LiveServer, start


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="module")
def embedder(folder: Path) -> Generator[LiveServer]:
    running = start("--model-type", "embeddings", "--data-dir", str(folder))
    yield running
    code = running.stop()
    assert code == 0, running.log.text
    assert "Traceback" not in running.log.text


@pytest.fixture(scope="module")
def client(embedder: LiveServer) -> Generator[OpenAI]:
    with OpenAI(base_url=embedder.base_url, api_key="unused", max_retries=0, timeout=PATIENCE) as client:
        yield client


@pytest.fixture(scope="module")
def library(client: OpenAI) -> str:
    """The id of a store with the documents of `facts`."""
    store = client.vector_stores.create(name="library", metadata={"kind": "test"})
    batch = client.vector_stores.file_batches.upload_and_poll(
        store.id, files=[(name, text.encode()) for name, text in documents().items()]
    )
    assert batch.status == "completed"
    assert (batch.file_counts.completed, batch.file_counts.total) == (len(FACTS), len(FACTS))
    return store.id


def found(client: OpenAI, store: str, question: str, results: int = 1) -> list[str]:
    page = client.vector_stores.search(store, query=question, max_num_results=results)
    assert all(0 <= result.score <= 1 for result in page.data)
    assert [result.score for result in page.data] == sorted((r.score for r in page.data), reverse=True)
    return [result.content[0].text for result in page.data]


def test_twenty_of_twenty_planted_facts_are_found(client: OpenAI, library: str) -> None:
    asked = [(fact, question) for facts in FACTS.values() for fact, question in facts]
    assert len(asked) == 20
    ranks = {}
    for fact, question in asked:
        texts = found(client, library, question, 5)
        ranks[question] = next((place for place, text in enumerate(texts) if fact in text), None)
    assert [question for question, rank in ranks.items() if rank is None] == []
    assert [*ranks.values()].count(0) >= 17


def test_passages_are_where_they_are_said_to_be(client: OpenAI, library: str) -> None:
    page = client.vector_stores.search(library, query="Who donated the cider press?")
    result = page.data[0]
    assert result.filename == "orchard.json"
    (content,) = client.vector_stores.files.content(result.file_id, vector_store_id=library).data
    assert content.text == documents()["orchard.json"]
    start, end = result.start, result.end  # type: ignore[attr-defined]
    assert content.text[start:end] == result.content[0].text


def test_a_deleted_file_is_never_found(client: OpenAI, folder: Path) -> None:
    store = client.vector_stores.create()
    secret = "The combination of the safe is Quagmirezzz forty-two."
    kept = client.vector_stores.files.upload_and_poll(vector_store_id=store.id, file=("a.txt", b"Safes are heavy."))
    gone = client.vector_stores.files.upload_and_poll(vector_store_id=store.id, file=("b.txt", secret.encode()))
    assert (kept.status, gone.status) == ("completed", "completed")
    assert found(client, store.id, "How do I open the safe?", 5)[0] == secret
    assert client.files.delete(gone.id).deleted
    for question in ("How do I open the safe?", "Quagmirezzz", secret):
        assert found(client, store.id, question, 50) == ["Safes are heavy."]
    files = client.vector_stores.files.list(store.id)
    assert [file.id for file in files] == [kept.id]
    with pytest.raises(openai.NotFoundError):
        client.files.content(gone.id)
    assert client.vector_stores.delete(store.id).deleted
    client.vector_stores.list()  # waits for the thread that overwrites what was deleted
    disk = b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
    assert b"uagmirezzz" not in disk.lower()


def test_attributes_choose_files_and_a_threshold_leaves_out(client: OpenAI) -> None:
    store = client.vector_stores.create()
    for year, text in ((2023, b"The budget was nine million."), (2024, b"The budget was twelve million.")):
        file = client.files.create(file=(f"{year}.txt", text), purpose="assistants")
        client.vector_stores.files.create_and_poll(
            file.id, vector_store_id=store.id, attributes={"year": year, "draft": False}
        )
    newer = client.vector_stores.search(
        store.id,
        query=["What was the budget?", "How much money was there?"],
        filters={"type": "and", "filters": [{"type": "gte", "key": "year", "value": 2024}]},
        rewrite_query=False,
    )
    assert [result.content[0].text for result in newer.data] == ["The budget was twelve million."]
    assert newer.data[0].attributes == {"year": 2024, "draft": False}
    none = client.vector_stores.search(
        store.id, query="giraffes in the zoo", ranking_options={"ranker": "auto", "score_threshold": 0.5}
    )
    assert none.data == []
    files = list(client.vector_stores.files.list(store.id, filter="completed", limit=1))
    assert len(files) == 2  # the SDK turns the page


def test_a_pdf_is_read_and_a_broken_one_fails(client: OpenAI) -> None:
    store = client.vector_stores.create()
    file = client.vector_stores.files.upload_and_poll(
        vector_store_id=store.id, file=("a.pdf", pdf("The ferry to Hven leaves at noon."))
    )
    assert file.status == "completed", file.last_error
    assert "ferry to Hven" in found(client, store.id, "When does the boat go?")[0]
    broken = client.vector_stores.files.upload_and_poll(vector_store_id=store.id, file=("b.pdf", b"%PDF-1.7 broken"))
    assert broken.status == "failed"
    assert broken.last_error is not None
    assert broken.last_error.code == "invalid_file"
    assert client.vector_stores.retrieve(store.id).file_counts.failed == 1


def test_sizes_are_those_of_the_model(client: OpenAI, library: str) -> None:
    (file, *_) = client.vector_stores.files.list(library).data
    assert file.chunking_strategy is not None
    assert file.chunking_strategy.type == "static"
    sizes = file.chunking_strategy.static
    assert (sizes.max_chunk_size_tokens, sizes.chunk_overlap_tokens) == (254, 127)
    store = client.vector_stores.retrieve(library)
    assert store.usage_bytes > sum(len(text) for text in documents().values())


def test_stores_survive_a_restart(client: OpenAI, embedder: LiveServer, tmp_path: Path) -> None:
    """A server on a folder of its own is killed in the middle of indexing; the next one finishes."""
    options = ("--model-type", "embeddings", "--data-dir", str(tmp_path))
    first = start(*options)
    other = OpenAI(base_url=first.base_url, api_key="unused", max_retries=0, timeout=PATIENCE)
    store = other.vector_stores.create()
    text = "\n\n".join(documents().values()).encode()
    file = other.files.create(file=("all.txt", text), purpose="user_data")
    other.vector_stores.files.create(store.id, file_id=file.id)
    first.process.kill()
    first.process.wait()
    second = start(*options)
    other = OpenAI(base_url=second.base_url, api_key="unused", max_retries=0, timeout=PATIENCE)
    try:
        done = other.vector_stores.files.poll(file.id, vector_store_id=store.id)
        assert done.status == "completed", done.last_error
        assert other.files.content(file.id).read() == text
        assert "eleven goats" in "".join(found(other, store.id, "Which animals did the keeper own?", 3))
    finally:
        assert second.stop() == 0


def test_a_server_without_an_embedding_model_says_so(echo_server: LiveServer) -> None:
    answer = httpx.post(f"{echo_server.base_url}/vector_stores", json={}, timeout=PATIENCE)
    assert answer.status_code == 400
    assert "no embedding model" in answer.json()["error"]["message"]


def pdf(text: str) -> bytes:
    writer = PdfWriter()
    page = writer.add_blank_page(300, 100)
    font = DictionaryObject(
        {
            NameObject("/Type"): NameObject("/Font"),
            NameObject("/Subtype"): NameObject("/Type1"),
            NameObject("/BaseFont"): NameObject("/Helvetica"),
        }
    )
    page[NameObject("/Resources")] = DictionaryObject(
        {NameObject("/Font"): DictionaryObject({NameObject("/F1"): font})}
    )
    content = DecodedStreamObject()
    content.set_data(f"BT /F1 12 Tf 20 50 Td ({text}) Tj ET".encode())
    page[NameObject("/Contents")] = content
    written = BytesIO()
    writer.write(written)
    return written.getvalue()
