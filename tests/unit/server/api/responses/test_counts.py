"""The count of a response's input tokens, and spellings that are unmistakable."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from litestar import Litestar

from contracts.responses.request import TokenCountRequest
from tests.unit.server.api.responses.scripts import BODY, PATH
from tests.unit.server.fakes import FakeChat
from tests.unit.server.harness import ask, make_app
from tests.unit.server.parameters import with_status

DOCUMENT = Path(__file__).parents[5] / "docs" / "responses.md"
SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}}


@pytest.fixture
def app() -> Litestar:
    return make_app(FakeChat())


async def test_a_count_refuses_what_it_cannot_count(app: Litestar) -> None:
    answer = await ask(app, path=f"{PATH}/input_tokens", json={**BODY, "conversation": "conv_1"})
    assert answer.status == 400
    assert (answer.error["code"], answer.error["param"]) == ("unsupported_parameter", "conversation")


@pytest.mark.parametrize("name", ["personality", "truncation"])
async def test_a_count_notes_hints(app: Litestar, name: str) -> None:
    answer = await ask(app, path=f"{PATH}/input_tokens", json={**BODY, name: "auto"})
    assert (answer.status, answer.headers["x-ignored-parameters"]) == (200, name)


def test_a_count_takes_the_fields_that_make_the_prompt() -> None:
    named = re.search(r"the fields that make the prompt: (.*)\.\n", DOCUMENT.read_text())
    assert named is not None
    assert {*re.findall(r"`(\w+)`", named[1])} == with_status(TokenCountRequest, "honoured")


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"model": None}, 200),
        ({"model": ""}, 200),
        ({"input": ""}, 200),
        ({"input": None, "instructions": "Say hello."}, 200),
        ({"input": [], "instructions": "Say hello."}, 200),
        ({"previous_response_id": ""}, 200),
        ({"text": {"format": {"type": "json_schema", "schema": SCHEMA}}}, 200),
        ({"text": {"format": {"type": "json_schema", "name": "my schema v1.0", "schema": SCHEMA}}}, 200),
        ({"reasoning": {"effort": ""}}, 200),
        ({"max_output_tokens": -1}, 200),
        ({"max_output_tokens": 5, "max_tokens": 6}, 400),
        ({"input": None}, 400),
        ({"input": []}, 400),
        ({"tools": [{"type": "function"}]}, 400),
    ],
)
async def test_what_is_unmistakable_is_served(fields: dict[str, Any], status: int) -> None:
    answer = await ask(make_app(FakeChat()), path=PATH, json={**BODY, **fields})
    assert (answer.status, answer.headers.get("x-ignored-parameters")) == (status, None), answer.body
