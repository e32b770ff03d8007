"""No request to the Responses API is answered with a 500."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import quote

import attrs
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from litestar import Litestar

from contracts.responses.request import CreateResponse, TokenCountRequest
from tests.unit.server.api.responses.scripts import BODY, PATH
from tests.unit.server.harness import WAIT, Exchange, ask, make_app

NAMES = [field.name for field in attrs.fields(CreateResponse)]
COUNTED = [field.name for field in attrs.fields(TokenCountRequest)]
TYPES = [
    "message",
    "function_call",
    "function_call_output",
    "reasoning",
    "item_reference",
    "input_text",
    "output_text",
    "summary_text",
    "reasoning_text",
    "input_image",
    "function",
    "web_search",
    "allowed_tools",
    "json_schema",
    "user",
    "assistant",
    "auto",
    "required",
    "completed",
]
KEYS = [
    "type",
    "id",
    "role",
    "content",
    "text",
    "call_id",
    "name",
    "arguments",
    "output",
    "summary",
    "encrypted_content",
    "status",
    "parameters",
    "strict",
    "format",
    "schema",
    "mode",
    "tools",
    "effort",
]

words = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-3, 3)
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | words
    | st.sampled_from(TYPES)
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS) | words, inner, max_size=5),
)
ids = st.sampled_from(["a", "b"])
parts = st.lists(
    st.fixed_dictionaries({"type": st.sampled_from(["input_text", "output_text", "refusal"]), "text": words}),
    max_size=2,
)
items = st.one_of(
    st.fixed_dictionaries({"role": st.sampled_from(["user", "assistant", "system"]), "content": words | parts}),
    st.fixed_dictionaries(
        {"type": st.just("function_call"), "call_id": ids, "name": words, "arguments": words}, optional={"id": words}
    ),
    st.fixed_dictionaries({"type": st.just("function_call_output"), "call_id": ids, "output": words | parts}),
    st.fixed_dictionaries(
        {"type": st.just("reasoning"), "summary": st.just([])}, optional={"encrypted_content": words}
    ),
    st.fixed_dictionaries({"type": st.just("item_reference"), "id": words}),
    values,
)
bodies = st.builds(
    lambda others, given: {**BODY, **others, "input": given},
    st.dictionaries(st.sampled_from(NAMES), values, max_size=3),
    st.lists(items, max_size=5) | values,
)


@pytest.fixture(scope="module")
def app() -> Litestar:
    return make_app()


async def answered(app: Litestar, path: str = PATH, method: str = "POST", **request: Any) -> Exchange:
    async with asyncio.timeout(WAIT):
        answer = await ask(app, method, path, **request)
    assert answer.complete
    if answer.status != 200:
        assert 400 <= answer.status < 500, answer.body
        assert answer.error["message"]
    return answer


fuzzed = settings(deadline=None, suppress_health_check=list(HealthCheck))


@settings(fuzzed, max_examples=200)
@given(body=bodies)
def test_no_body_is_a_500(app: Litestar, body: dict[str, Any]) -> None:
    asyncio.run(answered(app, content=msgspec.json.encode(body)))


@settings(fuzzed, max_examples=150)
@given(field=st.sampled_from(NAMES), value=values)
def test_no_value_of_a_single_field_is_a_500(app: Litestar, field: str, value: Any) -> None:
    asyncio.run(answered(app, content=msgspec.json.encode({**BODY, field: value})))


@settings(fuzzed, max_examples=50)
@given(field=st.sampled_from(COUNTED), value=values)
def test_no_count_request_is_a_500(app: Litestar, field: str, value: Any) -> None:
    asyncio.run(answered(app, f"{PATH}/input_tokens", content=msgspec.json.encode({**BODY, field: value})))


@settings(fuzzed, max_examples=50)
@given(body=bodies)
def test_an_accepted_response_can_be_fetched_and_continued(app: Litestar, body: dict[str, Any]) -> None:
    async def check() -> None:
        first = await answered(app, content=msgspec.json.encode({**body, "stream": False, "store": True}))
        if first.status != 200:
            return
        id = first.json["id"]
        assert (await ask(app, "GET", f"{PATH}/{id}")).json == first.json
        assert (await ask(app, "GET", f"{PATH}/{id}/input_items")).status == 200
        assert (await ask(app, path=PATH, json={**BODY, "previous_response_id": id})).status == 200

    asyncio.run(check())


@settings(fuzzed, max_examples=60)
@given(
    id=words,
    query=st.dictionaries(
        st.sampled_from(["limit", "order", "after", "include", "stream", "starting_after"]) | words, words, max_size=3
    ),
)
def test_no_id_or_query_is_a_500(app: Litestar, id: str, query: dict[str, str]) -> None:
    async def check() -> None:
        one = f"{PATH}/{quote(id, safe='')}"
        text = "&".join(f"{quote(name)}={quote(value)}" for name, value in query.items())
        for method, path in (("GET", one), ("GET", f"{one}/input_items"), ("DELETE", one), ("POST", f"{one}/cancel")):
            await answered(app, f"{path}?{text}", method)

    asyncio.run(check())
