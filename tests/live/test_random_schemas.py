"""Eighty random JSON schemas at temperature 1.5: each answer is valid, or the schema is refused by its keyword."""

from __future__ import annotations

import asyncio
import functools
import json
from collections import Counter
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from openai import AsyncOpenAI, BadRequestError

from tests.live.harness import LiveServer
from tests.unit.providers.engines.random_schemas import assert_valid, schemas

DRAWN, COUNT = 200, 80
"""Hypothesis begins with small schemas, and how many there are depends on the number drawn."""
STREAMS = 8
MAX_TOKENS = 96
CLOSING = ('"', "}", "]", '"}', '"]', ",", '",')
"""Texts with a small bias: at this temperature, a small model rarely ends its strings and lists."""
FAVOUR = 12
UNWRITABLE = {0xF1, 0xF2}
"""Bytes of UTF-8 for which the embedded model has no token: a `const` with them cannot be answered by it."""
WHERE = "response_format.json_schema.schema"


@pytest.mark.timeout(900)
async def test_answers_to_random_schemas_are_valid_or_the_schema_is_refused(server: LiveServer) -> None:
    places = asyncio.Semaphore(STREAMS)
    async with AsyncOpenAI(base_url=server.base_url, api_key="unused", max_retries=0, timeout=600) as client:
        bias = {str(token): FAVOUR for text in CLOSING for token in await single_token(client, text)}
        ask = functools.partial(outcome, client, bias, places)
        outcomes = Counter(await asyncio.gather(*map(ask, drawn(DRAWN)[:COUNT], range(COUNT))))
    assert outcomes["valid"] + outcomes["refused"] + outcomes["cut"] == COUNT
    assert outcomes["valid"] > COUNT / 4, outcomes
    assert outcomes["cut"] < COUNT / 10, outcomes


async def single_token(client: AsyncOpenAI, text: str) -> list[int]:
    """Id of the token with this text, if there is one."""
    found: Any = await client.post("/tokenize", body={"prompt": text, "add_special_tokens": False}, cast_to=object)
    tokens: list[int] = found["tokens"]
    return tokens if len(tokens) == 1 else []


async def outcome(
    client: AsyncOpenAI, bias: dict[str, int], places: asyncio.Semaphore, schema: dict[str, Any], seed: int
) -> str:
    """Result of one schema. Fails on an invalid answer, and on a refusal that does not name what it refuses."""
    form: Any = {"type": "json_schema", "json_schema": {"name": "random", "strict": True, "schema": schema}}
    messages: Any = [{"role": "user", "content": "Fill in the form."}]
    try:
        async with places:
            answer = await client.chat.completions.create(
                model="any",
                messages=messages,
                response_format=form,
                temperature=1.5,
                seed=seed,
                logit_bias=bias,
                max_tokens=MAX_TOKENS,
            )
    except BadRequestError as error:
        return refused(error, schema)
    (choice,) = answer.choices
    if choice.finish_reason == "length":
        return "cut"
    assert_valid(choice.message.content or "", schema)
    return "valid"


def refused(error: BadRequestError, schema: dict[str, Any]) -> str:
    assert str(error.param).startswith(WHERE), error
    assert any(keyword in error.message for keyword in keywords(schema)), (schema, error)
    return "refused"


def drawn(count: int) -> list[dict[str, Any]]:
    """Random schemas, reproducible while the same modules are loaded: Hypothesis also draws from their constants."""
    found: list[dict[str, Any]] = []

    @settings(
        max_examples=count,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=[*HealthCheck],
    )
    @given(schemas())
    def draw(schema: dict[str, Any]) -> None:
        if UNWRITABLE.isdisjoint(json.dumps(schema, ensure_ascii=False).encode("utf-8", "surrogatepass")):
            found.append(schema)

    draw()
    return found[:count]


def keywords(schema: Any) -> set[str]:
    """All keys of the schema, at any depth."""
    if isinstance(schema, list):
        return set().union(*map(keywords, schema)) if schema else set()
    if not isinstance(schema, dict):
        return set()
    return set(schema).union(*map(keywords, schema.values()))
