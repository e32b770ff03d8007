"""Different random JSON schemas at temperature 1.5: each answer is valid, or the schema is refused by its keyword."""

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

DRAWN, COUNT = 200, 64
"""Hypothesis begins with small schemas, and how many there are depends on the number drawn. It also repeats schemas."""
STREAMS = 8
END = ("<|im_end|>", '"')
"""Texts that end an answer, and a string."""
CLOSING = ("}", "]", '"}', '"]')
WANTED = (*"0123456789./é", '\\"')
"""Texts without which a string does not match one of the random patterns."""
ATTEMPTS: tuple[tuple[dict[int, tuple[str, ...]], int], ...] = (
    ({12: ('"', *CLOSING, ",", '",')}, 32),
    ({40: END, 20: (*CLOSING, ":", "null")}, 64),
    ({40: END, 30: WANTED, 20: CLOSING}, 64),
)
"""Texts by bias, and the number of tokens allowed. A schema whose answer is cut is asked again with the next row.

At this temperature, a small model rarely ends its strings and lists, and which of them it ends depends on the processor
and on the other sequences of the batch. The first bias ends four fifths of the answers. The second ends strings and
numbers wherever it may; it loses the strings that have to match a pattern first, which the third ends.
"""
UNWRITABLE = {0xF1, 0xF2}
"""Bytes of UTF-8 for which the embedded model has no token: a `const` with them cannot be answered by it."""
WHERE = "response_format.json_schema.schema"


@pytest.mark.timeout(900)
async def test_answers_to_random_schemas_are_valid_or_the_schema_is_refused(server: LiveServer) -> None:
    places = asyncio.Semaphore(STREAMS)
    async with AsyncOpenAI(base_url=server.base_url, api_key="unused", max_retries=0, timeout=600) as client:
        attempts = [(await tokens(client, texts), max_tokens) for texts, max_tokens in ATTEMPTS]
        ask = functools.partial(outcome, client, attempts, places)
        outcomes = Counter(await asyncio.gather(*map(ask, drawn(DRAWN)[:COUNT], range(COUNT))))
    assert outcomes["valid"] + outcomes["refused"] + outcomes["cut"] == COUNT
    assert outcomes["valid"] > COUNT / 4, outcomes
    assert outcomes["cut"] < COUNT / 8, outcomes  # in six runs with other seeds and schemas: once 1, otherwise 0


async def tokens(client: AsyncOpenAI, texts: dict[int, tuple[str, ...]]) -> dict[str, int]:
    """Bias by token, of the texts that are one token."""
    found = {(bias, text): await single_token(client, text) for bias, several in texts.items() for text in several}
    return {str(token): bias for (bias, _), token in found.items() if token is not None}


async def single_token(client: AsyncOpenAI, text: str) -> int | None:
    """Id of the token with this text, if there is one."""
    found: Any = await client.post("/tokenize", body={"prompt": text, "add_special_tokens": False}, cast_to=object)
    match found["tokens"]:
        case [int(token)]:
            return token
    return None


async def outcome(
    client: AsyncOpenAI,
    attempts: list[tuple[dict[str, int], int]],
    places: asyncio.Semaphore,
    schema: dict[str, Any],
    seed: int,
) -> str:
    """Result of one schema. Fails on an invalid answer, and on a refusal that does not name what it refuses."""
    form: Any = {"type": "json_schema", "json_schema": {"name": "random", "strict": True, "schema": schema}}
    messages: Any = [{"role": "user", "content": "Fill in the form."}]
    for bias, max_tokens in attempts:
        try:
            async with places:
                answer = await client.chat.completions.create(
                    model="any",
                    messages=messages,
                    response_format=form,
                    temperature=1.5,
                    seed=seed,
                    logit_bias=bias,
                    max_tokens=max_tokens,
                )
        except BadRequestError as error:
            return refused(error, schema)
        (choice,) = answer.choices
        if choice.finish_reason != "length":
            assert_valid(choice.message.content or "", schema)
            return "valid"
    return "cut"


def refused(error: BadRequestError, schema: dict[str, Any]) -> str:
    assert str(error.param).startswith(WHERE), error
    assert any(keyword in error.message for keyword in keywords(schema)), (schema, error)
    return "refused"


def drawn(count: int) -> list[dict[str, Any]]:
    """Schemas without repetitions. They depend on the modules loaded: Hypothesis also draws from their constants."""
    found: dict[str, dict[str, Any]] = {}

    @settings(
        max_examples=count,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=[*HealthCheck],
    )
    @given(schemas())
    def draw(schema: dict[str, Any]) -> None:
        text = json.dumps(schema, ensure_ascii=False)
        if UNWRITABLE.isdisjoint(text.encode("utf-8", "surrogatepass")):
            found.setdefault(text, schema)

    draw()
    return list(found.values())[:count]


def keywords(schema: Any) -> set[str]:
    """All keys of the schema, at any depth."""
    if isinstance(schema, list):
        return set().union(*map(keywords, schema)) if schema else set()
    if not isinstance(schema, dict):
        return set()
    return set(schema).union(*map(keywords, schema.values()))
