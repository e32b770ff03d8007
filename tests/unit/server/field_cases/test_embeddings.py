"""Texts to embed as clients in the field send them. The numbers are those of public reports."""

from __future__ import annotations

from typing import Any

import pytest

from providers.embeddings.types import EmbeddingRequest
from tests.unit.server.fakes import FakeEmbedder
from tests.unit.server.harness import Exchange, ask, make_app


async def embedded(**body: Any) -> tuple[Exchange, list[EmbeddingRequest]]:
    embedder = FakeEmbedder()
    answer = await ask(make_app(embedder), path="/v1/embeddings", json={"model": "EMB", **body})
    return answer, [request for request in embedder.requests if isinstance(request, EmbeddingRequest)]


async def test_11_empty_texts_have_vectors() -> None:
    answer, (request,) = await embedded(input=["short text", "", "   "])

    assert (answer.status, len(answer.json["data"])) == (200, 3)
    assert request.inputs == ["short text", "", "   "]


@pytest.mark.parametrize(
    ("truncate", "expected"), [(True, "end"), (False, "none"), ("END", "end"), ("start", "start"), (None, "none")]
)
async def test_11_where_a_text_is_cut_is_spelled_in_several_ways(truncate: Any, expected: str) -> None:
    _, (request,) = await embedded(input="x", truncate=truncate)

    assert request.truncate == expected


async def test_12_token_ids_are_taken_as_they_are() -> None:
    answer, (request,) = await embedded(input=[[15339, 1917]], encoding_format="base64")

    assert answer.status == 200
    assert request.inputs == [[15339, 1917]]


async def test_85_dimensions_and_labels_reach_the_model_or_the_header() -> None:
    answer, (request,) = await embedded(input=["a", "b"], dimensions=3, encoding_format=None, user="u")

    assert (answer.status, answer.headers["x-ignored-parameters"]) == (200, "user")
    assert request.dimensions == 3


@pytest.mark.parametrize("given", [[], ["x"] * 2_049, [[]]])
async def test_85_no_inputs_and_too_many_are_a_400(given: list[Any]) -> None:
    answer, requests = await embedded(input=given)

    assert (answer.status, answer.error["param"]) == (400, "input")
    assert requests == []
