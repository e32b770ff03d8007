"""Embeddings and reranking over HTTP, answered by a fake."""

from __future__ import annotations

import asyncio
import base64
import struct
from typing import Any

import pytest
from litestar import Litestar
from structlog.testing import capture_logs

from contracts.embeddings import EmbeddingRequest as EmbeddingContract
from contracts.rerank import RerankRequest as RerankContract
from providers.embeddings.types import EmbeddingRequest, RerankRequest
from server.api.embeddings.request import _warn_of_token_ids
from tests.unit.server.fakes import FakeChat, FakeEmbedder
from tests.unit.server.harness import WAIT, Exchange, ask, make_app, start
from tests.unit.server.parameters import with_status


@pytest.fixture
def embedder() -> FakeEmbedder:
    return FakeEmbedder()


@pytest.fixture
def app(embedder: FakeEmbedder) -> Litestar:
    return make_app(FakeChat(), embedder)


async def embed(app: Litestar, given: Any, **body: Any) -> Exchange:
    return await ask(app, path="/v1/embeddings", json={"model": "any", "input": given, **body})


async def rerank(app: Litestar, documents: Any, **body: Any) -> Exchange:
    return await ask(app, path="/v1/rerank", json={"model": "any", "query": "q", "documents": documents, **body})


async def test_vectors_come_in_the_order_of_the_inputs(app: Litestar) -> None:
    answer = await embed(app, ["aaa", "b", "cc", "dddd", "e"])
    assert answer.status == 200
    tenth = struct.unpack("<f", struct.pack("<f", 0.1))[0]
    lengths = [3, 1, 2, 4, 1]
    assert [item["embedding"] for item in answer.json["data"]] == [[n, i, tenth] for i, n in enumerate(lengths)]
    assert [item["index"] for item in answer.json["data"]] == [0, 1, 2, 3, 4]
    assert {item["object"] for item in answer.json["data"]} == {"embedding"}
    assert answer.json["usage"] == {"prompt_tokens": 11, "total_tokens": 11}
    assert (answer.json["object"], answer.json["model"]) == ("list", "org/vectors")
    assert answer.json["request_id"] == answer.headers["x-request-id"]


async def test_base64_holds_the_same_numbers(app: Litestar) -> None:
    numbers = (await embed(app, ["ab", "c"])).json["data"]
    packed = (await embed(app, ["ab", "c"], encoding_format="base64")).json["data"]
    for plain, coded in zip(numbers, packed, strict=True):
        assert [*struct.unpack("<3f", base64.b64decode(coded["embedding"]))] == plain["embedding"]


async def test_other_requests_run_while_a_long_list_is_encoded(app: Litestar) -> None:
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    exchange = start(app, path="/v1/embeddings", json={"model": "any", "input": ["a"] * 2048})
    counting = asyncio.create_task(count())
    await exchange.finished()
    counting.cancel()
    assert len(exchange.json["data"]) == 2048
    assert turns >= 2048 // 64 - 1


@pytest.mark.parametrize(
    ("given", "inputs"),
    [("a", ["a"]), (["a", "b"], ["a", "b"]), ([5, 6], [[5, 6]]), ([[5], [6, 7]], [[5], [6, 7]])],
)
async def test_every_form_of_input_is_accepted(
    app: Litestar, embedder: FakeEmbedder, given: Any, inputs: list[Any]
) -> None:
    await embed(app, given)
    (request,) = embedder.requests
    assert isinstance(request, EmbeddingRequest)
    assert request.inputs == inputs


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"input": []}, "input"),
        ({"input": [[5], []]}, "input[1]"),
        ({"input": [[]]}, "input"),
        ({"input": ["a", 5]}, "input[1]"),
        ({"input": [[5], "a"]}, "input[1]"),
        ({"input": [-1]}, "input[0]"),
        ({"input": [[2**31]]}, "input[0][0]"),
        ({"input": ["a"] * 2049}, "input"),
        ({"input": {"text": "a"}}, "input"),
        ({"input": "a", "encoding_format": "hex"}, "encoding_format"),
        ({"input": "a", "dimensions": 0}, "dimensions"),
        ({"input": "a", "truncate": "middle"}, "truncate"),
        ({"input": "a", "timeout": 0}, "timeout"),
        ({}, "input"),
    ],
)
async def test_an_invalid_input_is_named(
    app: Litestar, embedder: FakeEmbedder, body: dict[str, Any], param: str
) -> None:
    refused = await ask(app, path="/v1/embeddings", json={"model": "any", **body})
    assert refused.status == 400
    assert (refused.error["code"], refused.error["param"]) == ("invalid_request_error", param)
    assert embedder.requests == []


HONOURED: dict[str, tuple[Any, dict[str, Any]]] = {
    "dimensions": (2, {"dimensions": 2}),
    "truncate": ("start", {"truncate": "start"}),
    "timeout": (1.5, {"timeout": 1.5}),
}


@pytest.mark.parametrize("name", HONOURED)
async def test_a_parameter_reaches_the_engine(app: Litestar, embedder: FakeEmbedder, name: str) -> None:
    value, expected = HONOURED[name]
    await embed(app, "a")
    await embed(app, "a", **{name: value})
    plain, request = ({**attrs_of(one), "id": ""} for one in embedder.requests)
    assert request == {**plain, **expected}


@pytest.mark.parametrize("inputs", ["", ["short text", "", "   "]])
async def test_an_empty_text_has_a_vector(app: Litestar, embedder: FakeEmbedder, inputs: Any) -> None:
    answer = await embed(app, inputs)
    assert len(answer.json["data"]) == (3 if isinstance(inputs, list) else 1)
    (request,) = embedder.requests
    assert request.inputs == (inputs if isinstance(inputs, list) else [inputs])  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("default", "asked", "expected"),
    [
        ("none", None, "none"),
        ("end", None, "end"),
        ("start", None, "start"),
        ("end", "none", "none"),
        ("none", "END", "end"),
        ("none", True, "end"),
        ("end", False, "none"),
    ],
)
async def test_a_request_overrides_where_the_server_cuts(default: str, asked: Any, expected: str) -> None:
    embedder = FakeEmbedder()
    app = make_app(embedder, embeddings_truncate=default)
    await embed(app, "a", truncate=asked)
    await rerank(app, ["a", ""], truncate=asked)
    assert [request.truncate for request in embedder.requests] == [expected, expected]


async def test_the_first_token_ids_are_warned_of() -> None:
    _warn_of_token_ids.cache_clear()
    with capture_logs() as logs:
        for _ in range(2):
            await embed(make_app(FakeEmbedder()), [[15339, 1917]])
    (line,) = [entry for entry in logs if entry["log_level"] == "warning"]
    assert "check_embedding_ctx_length=False" in line["event"]


def attrs_of(request: Any) -> dict[str, Any]:
    return {name: getattr(request, name) for name in request.__struct_fields__}


def test_every_field_has_a_test_of_its_status() -> None:
    tested_elsewhere = {"model", "input", "encoding_format"}
    assert with_status(EmbeddingContract, "honoured") == HONOURED.keys() | tested_elsewhere
    assert with_status(EmbeddingContract, "noted") == with_status(RerankContract, "noted") == {"user"}


async def test_a_label_is_noted(app: Litestar) -> None:
    for answer in (await embed(app, "a", user="ann"), await rerank(app, ["a"], user="ann")):
        assert (answer.status, answer.headers["x-ignored-parameters"]) == (200, "user")


async def test_a_disconnect_ends_the_work(embedder: FakeEmbedder) -> None:
    embedder.blocks = True
    exchange = start(make_app(embedder), path="/v1/embeddings", json={"model": "any", "input": "a"})
    async with asyncio.timeout(WAIT):
        await embedder.started.wait()
        exchange.disconnect()
        await embedder.closed.wait()


async def test_without_an_embedding_model_the_request_is_not_found() -> None:
    app = make_app(FakeChat())
    for answer in (await embed(app, "a"), await rerank(app, ["a"])):
        assert (answer.status, answer.error["code"], answer.error["param"]) == (404, "model_not_found", "model")


async def test_the_best_documents_come_first_and_equals_keep_their_order(app: Litestar) -> None:
    answer = await rerank(app, ["bb", {"text": "cccc"}, "dd", "a"], top_n=3)
    assert answer.status == 200
    assert answer.json["method"] == "bi-encoder"
    assert answer.json["results"] == [
        {"index": 1, "relevance_score": 4.0},
        {"index": 0, "relevance_score": 2.0},
        {"index": 2, "relevance_score": 2.0},
    ]
    assert answer.json["usage"] == {"prompt_tokens": 7, "total_tokens": 7}


async def test_the_method_is_reported_and_documents_are_returned_on_request() -> None:
    answer = await rerank(make_app(FakeEmbedder(name="cross")), ["a", {"text": "bb"}], return_documents=True)
    assert answer.json["method"] == "cross-encoder"
    assert [result["document"] for result in answer.json["results"]] == [{"text": "bb"}, {"text": "a"}]


async def test_the_parameters_of_a_ranking_reach_the_engine(app: Litestar, embedder: FakeEmbedder) -> None:
    await rerank(app, ["a", {"text": "bb"}], truncate="end", timeout=2)
    (request,) = embedder.requests
    assert isinstance(request, RerankRequest)
    assert attrs_of(request) == {
        "id": request.id,
        "query": "q",
        "documents": ["a", "bb"],
        "truncate": "end",
        "timeout": 2.0,
    }


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"query": ""}, "query"),
        ({"documents": []}, "documents"),
        ({"documents": [{"image": "x"}]}, "documents[0].text"),
        ({"documents": ["a"] * 2049}, "documents"),
        ({"documents": "a"}, "documents"),
        ({"top_n": 0}, "top_n"),
    ],
)
async def test_an_invalid_ranking_request_names_its_parameter(app: Litestar, body: dict[str, Any], param: str) -> None:
    refused = await ask(app, path="/v1/rerank", json={"model": "any", "query": "q", "documents": ["a"], **body})
    assert (refused.status, refused.error["param"]) == (400, param)
