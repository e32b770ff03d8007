"""Embeddings and reranking with the embedded model through common clients, compared with torch's vectors."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from langchain_openai import OpenAIEmbeddings
from llama_index.embeddings.openai import OpenAIEmbedding
from openai import OpenAI
from pydantic import SecretStr

from tests.live.client import PATIENCE, assert_error, eventually, queue_stats, sent
from tests.live.harness import LiveServer, start

REFERENCE = json.loads((Path(__file__).parent / "data" / "minilm_reference.json").read_text())
TEXTS: list[str] = REFERENCE["texts"]
VECTORS = np.stack([np.frombuffer(base64.b64decode(vector), "<f4") for vector in REFERENCE["vectors"]])
SHORT = [text for text, tokens in zip(TEXTS, REFERENCE["tokens"], strict=True) if tokens < 256]


@pytest.fixture(scope="module")
def embedder() -> Generator[LiveServer]:
    running = start("--model-type", "embeddings")
    yield running
    code = running.stop()
    assert code == 0, running.log.text
    assert "Traceback" not in running.log.text


@pytest.fixture(scope="module")
def client(embedder: LiveServer) -> Generator[OpenAI]:
    with OpenAI(base_url=embedder.base_url, api_key="unused", max_retries=0, timeout=PATIENCE) as client:
        yield client


def post(server: LiveServer, path: str = "/embeddings", **body: Any) -> httpx.Response:
    return httpx.post(f"{server.base_url}{path}", json={"model": "any", **body}, timeout=PATIENCE)


def embed(server: LiveServer, given: Any, **body: Any) -> np.ndarray[Any, np.dtype[np.float64]]:
    answer = post(server, input=given, **body)
    assert answer.status_code == 200, answer.text
    data = answer.json()["data"]
    assert [item["index"] for item in data] == list(range(len(data)))
    return np.array([item["embedding"] for item in data])


def test_vectors_equal_those_of_torch(client: OpenAI) -> None:
    answer = client.embeddings.create(model="any", input=TEXTS, encoding_format="float", extra_body={"truncate": "end"})
    vectors = np.array([item.embedding for item in answer.data])
    assert np.abs(vectors - VECTORS).max() <= 1e-5
    assert answer.model == "all-minilm-l6-v2"
    assert answer.usage.prompt_tokens == answer.usage.total_tokens == sum(REFERENCE["tokens"])


def test_base64_has_the_values_of_float(client: OpenAI) -> None:
    # Without `encoding_format`, the SDK requests base64 and decodes it.
    by_base64 = client.embeddings.create(model="any", input=SHORT[:4])
    by_float = client.embeddings.create(model="any", input=SHORT[:4], encoding_format="float")
    assert [item.embedding for item in by_base64.data] == [item.embedding for item in by_float.data]


def test_a_batch_gives_each_text_its_own_vector(embedder: LiveServer) -> None:
    batch = embed(embedder, SHORT)
    alone = np.concatenate([embed(embedder, text) for text in SHORT])
    assert np.abs(batch - alone).max() <= 1e-5


def test_five_hundred_texts_keep_their_order(embedder: LiveServer) -> None:
    texts = [SHORT[index % len(SHORT)] for index in range(512)]
    expected = VECTORS[[index % len(SHORT) for index in range(512)]]
    assert np.abs(embed(embedder, texts) - expected).max() <= 1e-5


def test_concurrent_requests_get_their_own_vectors(embedder: LiveServer) -> None:
    found: dict[int, np.ndarray[Any, np.dtype[np.float64]]] = {}
    threads = [
        threading.Thread(target=lambda index=index: found.update({index: embed(embedder, SHORT[index])}))  # type: ignore[misc]
        for index in range(len(SHORT))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert np.abs(np.concatenate([found[index] for index in range(len(SHORT))]) - VECTORS[: len(SHORT)]).max() <= 1e-5


def test_token_ids_are_used_unchanged(embedder: LiveServer) -> None:
    # [CLS] the cat sits on the mat . [SEP]
    cat = [101, 1996, 4937, 7719, 2006, 1996, 13523, 1012, 102]
    assert np.abs(embed(embedder, cat) - VECTORS[1]).max() <= 1e-5
    assert np.abs(embed(embedder, [cat, cat[:5]])[0] - VECTORS[1]).max() <= 1e-5


def test_token_ids_of_openais_tokenizer_are_refused_with_the_cause(embedder: LiveServer) -> None:
    # "What is the capital of France?" in cl100k, as LangChain's class sends it by default
    answer = post(embedder, input=[[3923, 374, 279, 6864, 315, 9822, 30]], encoding_format="base64")

    message = assert_error(answer, 400, "invalid_request_error", param="input[1]")
    assert "check_embedding_ctx_length=False" in message


def test_langchains_class_works_unchanged(embedder: LiveServer) -> None:
    # Its length check would download OpenAI's tokenizer.
    embeddings = OpenAIEmbeddings(
        base_url=embedder.base_url, api_key=SecretStr("unused"), model="any", check_embedding_ctx_length=False
    )
    assert np.abs(np.array(embeddings.embed_documents(SHORT)) - VECTORS[: len(SHORT)]).max() <= 1e-5
    assert np.abs(np.array(embeddings.embed_query(SHORT[1])) - VECTORS[1]).max() <= 1e-5


def test_llamaindexs_class_works_unchanged(embedder: LiveServer) -> None:
    embeddings = OpenAIEmbedding(api_base=embedder.base_url, api_key="unused", model_name="any", max_retries=0)
    texts = [text for text in SHORT if "\n" not in text and text.strip() == text]  # the class joins lines itself
    expected = VECTORS[[TEXTS.index(text) for text in texts]]
    assert np.abs(np.array(embeddings.get_text_embedding_batch(texts)) - expected).max() <= 1e-5
    assert np.abs(np.array(embeddings.get_query_embedding(SHORT[1])) - VECTORS[1]).max() <= 1e-5


def test_documents_are_ranked_by_meaning_and_the_response_names_the_method(embedder: LiveServer) -> None:
    documents = ["Bananas are yellow.", {"text": "Paris is the capital of France."}, "Berlin is a city in Germany."]
    query = "What is the capital of France?"
    answer = post(embedder, "/rerank", query=query, documents=documents, return_documents=True, top_n=2)
    assert answer.status_code == 200, answer.text
    ranked = answer.json()
    assert ranked["method"] == "bi-encoder"
    assert [result["index"] for result in ranked["results"]] == [1, 2]
    assert ranked["results"][0]["document"] == {"text": "Paris is the capital of France."}
    first, second = embed(embedder, [query, "Paris is the capital of France."])
    assert ranked["results"][0]["relevance_score"] == pytest.approx(first @ second, abs=1e-5)


@pytest.mark.parametrize(
    ("given", "code", "param"),
    [
        ([], "invalid_request_error", "input"),
        (["a"] * 10_000, "invalid_request_error", "input"),
        (["a", [1]], "invalid_request_error", "input[1]"),
        ([[101, 40_000, 102], [101]], "invalid_request_error", "input[0][1]"),
        ([-1], "invalid_request_error", "input[0]"),
        ("word " * 200_000, "context_length_exceeded", "input"),
        (["a", TEXTS[-1]], "context_length_exceeded", "input[1]"),
        (["a" * 2_100_000], "context_length_exceeded", "input"),
    ],
    ids=["none", "10000", "mixed", "no such token", "negative", "1 MB", "one too long", "2 MB"],
)
def test_a_refusal_of_bad_input_names_the_parameter(embedder: LiveServer, given: Any, code: str, param: str) -> None:
    assert_error(post(embedder, input=given), 400, code, param=param)


def test_an_empty_text_has_a_vector_and_leaves_the_others_as_they_are(embedder: LiveServer) -> None:
    empty, text = embed(embedder, ["", TEXTS[0]])
    assert np.linalg.norm(empty) == pytest.approx(1, abs=1e-5)
    assert np.abs(text - VECTORS[0]).max() <= 1e-5


def test_an_overlong_text_is_refused_with_its_counts_or_truncated_on_request(embedder: LiveServer) -> None:
    message = assert_error(post(embedder, input=TEXTS[-1]), 400, "context_length_exceeded", param="input")
    assert "256 tokens" in message
    assert "482 tokens" in message
    assert np.abs(embed(embedder, TEXTS[-1], truncate="end") - VECTORS[-1]).max() <= 1e-5
    assert np.abs(embed(embedder, TEXTS[-1] * 500, truncate="end") - VECTORS[-1]).max() <= 1e-5


def test_one_overlong_text_of_many_is_named_with_its_place_and_counts(embedder: LiveServer) -> None:
    answer = post(embedder, input=["short text", "", "   ", TEXTS[-1]])

    message = assert_error(answer, 400, "context_length_exceeded", param="input[3]")
    assert all(part in message for part in ("input[3]", "256 tokens", "482 tokens", "--embeddings-truncate end"))


def test_a_server_may_cut_overlong_texts_by_itself(launch: Callable[..., LiveServer]) -> None:
    server = launch("--model-type", "embeddings", "--embeddings-truncate", "end")

    vectors = embed(server, ["short text", "", TEXTS[-1]])
    assert np.abs(vectors[2] - VECTORS[-1]).max() <= 1e-5
    assert_error(post(server, input=TEXTS[-1], truncate="none"), 400, "context_length_exceeded", param="input")


@pytest.mark.parametrize("path", ["/v1/rerank", "/rerank", "/v2/rerank"])
def test_documents_may_be_objects_and_other_servers_paths_work(embedder: LiveServer, path: str) -> None:
    documents = ["a dog", {"text": "a cat"}, {"text": "x", "title": "y"}]
    body = {"model": "any", "query": "cat", "documents": documents, "top_n": 1, "return_documents": True}

    answer = httpx.post(embedder.url + path, json=body, timeout=PATIENCE).json()

    assert [(result["index"], result["document"]) for result in answer["results"]] == [(1, {"text": "a cat"})]


def test_unusual_text_is_embedded_or_refused(embedder: LiveServer) -> None:
    assert embed(embedder, ["\x00", " ", "\u202e", "é" * 100]).shape == (4, 384)
    lone = httpx.post(
        f"{embedder.base_url}/embeddings",
        content=b'{"model": "any", "input": ["\\ud800"]}',
        headers={"content-type": "application/json"},
        timeout=PATIENCE,
    )
    assert_error(lone, 400, "invalid_request_error", param="input[0]")


def test_dimensions_are_refused_for_a_model_not_trained_for_them(embedder: LiveServer) -> None:
    assert_error(post(embedder, input="a", dimensions=128), 400, "unsupported_parameter", param="dimensions")
    assert embed(embedder, "a", dimensions=384).shape == (1, 384)


def test_a_disconnect_cancels_the_work(embedder: LiveServer) -> None:
    long = ["the quick brown fox jumps over the lazy dog " * 20] * 512
    with sent(embedder.url, {"model": "any", "input": long}, "/v1/embeddings"):
        eventually(lambda: queue_stats(embedder.url)["active"] == 1)
    eventually(lambda: queue_stats(embedder.url)["cancelled"] == 1)
    assert embed(embedder, "next").shape == (1, 384)


def test_a_request_over_its_timeout_is_a_504(embedder: LiveServer) -> None:
    answer = post(embedder, input=["the quick brown fox " * 40] * 512, timeout=0.05)
    assert_error(answer, 504, "timeout", type="server_error")


def test_the_name_of_a_chat_model_reaches_the_only_embedding_model(server: LiveServer) -> None:
    """In the embedded default, the chat model's name counts as any name, and the only model that embeds answers."""
    answer = post(server, model="smollm2-135m-instruct", input=SHORT[1])
    assert answer.json()["model"] == "all-minilm-l6-v2"
    assert np.abs(np.array(answer.json()["data"][0]["embedding"]) - VECTORS[1]).max() <= 1e-5


def test_without_an_embedding_model_the_response_is_a_404(echo_server: LiveServer) -> None:
    assert_error(post(echo_server, input="a"), 404, "model_not_found", param="model")
